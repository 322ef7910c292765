"""Reads releases from files, folders and standard input, one at a time, whatever their number and size.

Every format gives a ``Record`` for each record of a file, in order: a ``Release``, or a ``Defect`` where it must be
refused.
"""

from __future__ import annotations

import io
import os
import re
import unicodedata
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import (
    IO,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Tuple,
    Union,
)

from ..errors import Defect
from ..release import Release
from .records import UNDECODED, parse_json, refusal
from .streams import STDIN, Tally, lines, open_stream, plain_name, stamp

RULE = re.compile(r"-+[ \t]*")
DATE = re.compile(r"\s*date\s*(\d{4}-\d\d-\d\d)\s*\Z")
SNIFFED = 4096  # bytes from which the format of a file without a telling name is told
SLUG_WORDS = 8
SPLIT = "split it"

Item = Union[Release, Defect]


class NoReleases(Exception):
    """Raised by a reader for a file of ours that holds no releases, and is not meant to."""


class Seen(Protocol):
    """Where each id was read first; a dict is one."""

    def setdefault(self, key: str, default: str, /) -> str: ...


class Record(NamedTuple):
    """One record of an input. line: where it begins, from 1; 0 is the whole file. raw: the record as it was there."""

    file: str
    line: int
    item: Item
    raw: bytes


@dataclass(frozen=True)
class Reading:
    """How inputs are read. format: one of ``FORMATS`` in place of what the name says. max_chars: of a release's text.
    line_bytes: of a line of JSONL, or of a file that is one record. ignored: absolute paths that are left out of
    folders. longer: how the user allows longer texts."""

    max_chars: int
    line_bytes: int
    format: Optional[str] = None
    ignored: Tuple[str, ...] = ()
    longer: str = "raise --max-chars"


def read_inputs(inputs: Iterable[str], reading: Reading, seen: Seen, tally: Optional[Tally] = None) -> Iterator[Record]:
    """All records of files, folders and ``-`` (standard input), lazily.

    A second release with the same id is refused, since the output could not tell the two apart. seen: where each id
    was read.
    """
    tally = tally or Tally()
    for name in chain.from_iterable(list_files(name, reading) for name in inputs):
        for record in _read_file(name, reading, tally) if isinstance(name, str) else [name]:
            if isinstance(record.item, Release):
                record = record._replace(item=_checked(record, record.item, reading, seen))
            yield record


def list_files(name: str, reading: Reading) -> "Iterator[Union[str, Record]]":
    """The files of a folder that can be read, in order of their names; the name itself of all else."""
    if name == STDIN or not os.path.isdir(name):
        yield name
        return
    found = False
    for file in _walk(name, reading.ignored):
        if not isinstance(file, str) or reading.format or format_of(file):
            found = True
            yield file
    if not found:
        message = f"the folder holds no file to read ({', '.join(sorted(SUFFIXES))})"
        shown = printable(name)
        yield Record(shown, 0, Defect(shown, 0, 0, "empty", message, "name another folder"), b"")


def _walk(folder: str, ignored: Tuple[str, ...]) -> "Iterator[Union[str, Record]]":
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as err:
        shown = printable(folder)
        yield Record(shown, 0, Defect(shown, 0, 0, "unreadable", str(err.strerror), "check the permissions"), b"")
        return
    for entry in entries:
        if os.path.abspath(entry.path) in ignored:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, ignored)
        elif entry.is_file():
            yield entry.path


def total_size(inputs: Iterable[str], reading: Reading) -> Optional[int]:
    """Bytes of all files that will be read; None where standard input is among them."""
    total = 0
    for name in chain.from_iterable(list_files(name, reading) for name in inputs):
        if name == STDIN:
            return None
        if isinstance(name, str) and os.path.isfile(name):
            total += os.path.getsize(name)
    return total


def printable(name: str) -> str:
    """A file's name as text, what is no UTF-8 in it shown as escapes."""
    return os.fsencode(name).decode("utf8", "backslashreplace")


def format_of(name: str) -> Optional[str]:
    """The format that a file's name says it has."""
    return SUFFIXES.get(plain_name(Path(name)).suffix.lower())


def _read_file(name: str, reading: Reading, tally: Tally) -> Iterator[Record]:
    """The records of a file, and a defect more where it can't be read to its end or was changed meanwhile."""
    shown = "<stdin>" if name == STDIN else printable(name)
    stem = "stdin" if name == STDIN else plain_name(Path(shown)).stem

    def defect(code: str, message: str, mend: str) -> Record:
        return Record(shown, 0, Defect(shown, 0, 0, code, message, mend), b"")

    try:
        before = stamp(name)
        with open_stream(name, tally) as stream:
            kind = reading.format or (format_of(name) if name != STDIN else None)
            if kind in (None, "text"):
                kind, stream = _sniffed(stream, kind)
            found = False
            for line, item, raw in READERS[kind](stream, File(shown, stem, reading)):
                found = True
                yield Record(shown, line, item, raw)
            if not found:
                yield defect("empty", "the file is empty", "leave it out")
        if before != stamp(name):
            yield defect("changed", "the file was changed while it was read", "run again")
    except NoReleases:
        return
    except OSError as err:
        yield defect("unreadable", err.strerror or str(err), "check the name, the permissions and the file")
    except Exception as err:  # a fault of ours or of a library: it must not cost the files behind it
        yield defect("unreadable", f"{type(err).__name__}: {err}", "please report it with the file")


def _checked(record: Record, release: Release, reading: Reading, seen: Seen) -> Item:
    """The release, or why it can't be annotated."""
    file, line = record.file, record.line
    found = refusal(release, reading.max_chars)
    if found is not None:
        mend = f"{found.mend}, or {reading.longer}" if found.code == "length" else found.mend
        return Defect(file, line, 0, found.code, f"{release.id}: {found.message}", mend)
    place = f"{file}:{line}"
    first = seen.setdefault(release.id, place)
    if first != place:
        message = f"the id {release.id!r} was read before, at {first}"
        return Defect(file, line, 0, "duplicate-id", message, "give each release an id of its own")
    return release


class File(NamedTuple):
    """What a reader is told of the file that it reads. stem: its name without endings, from which ids are made."""

    name: str
    stem: str
    reading: Reading

    def defect(self, line: int, code: str, message: str, mend: str, column: int = 0) -> Defect:
        return Defect(self.name, line, column, code, message, mend)


Found = Tuple[int, Item, bytes]  # line, item, raw


def _sniffed(stream: IO[bytes], kind: Optional[str]) -> "Tuple[str, IO[bytes]]":
    """The format of a text, told from its beginning, and the stream from its beginning."""
    stream = stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var]
    head = _peek(stream).decode("utf-8-sig", errors="replace").lstrip()
    if kind is None and head.startswith("{"):
        return "jsonl", stream
    return ("listing" if head and RULE.fullmatch(head.splitlines()[0]) else "release"), stream


def _peek(stream: Any) -> bytes:
    data: bytes = stream.peek(SNIFFED)
    return data


# JSON lines


def _jsonl(stream: IO[bytes], file: File) -> Iterator[Found]:
    for number, raw in enumerate(lines(stream, file.reading.line_bytes), 1):
        if raw is None:
            yield number, _too_long(file, number, "line"), b""
        elif raw.strip():
            yield number, _json_line(raw.decode("utf-8-sig", errors="surrogateescape"), number, file), raw


def _too_long(file: File, number: int, what: str) -> Defect:
    return file.defect(number, "length", f"a {what} of more than {file.reading.line_bytes:,} bytes", SPLIT)


def _json_line(line: str, number: int, file: File) -> Item:
    if UNDECODED.search(line):
        return file.defect(number, "encoding", "no UTF-8", "save it as UTF-8")
    try:
        data = parse_json(line)
    except ValueError as err:
        message, column = f"no JSON: {getattr(err, 'msg', err)}", getattr(err, "colno", 0)
        return file.defect(number, "json", message, "one JSON object a line", column)
    return to_release(data, number, file)


def to_release(data: Any, number: int, file: File) -> Item:
    """The release of a record in the exchange format; one without an id gets the file's name and its number."""
    try:
        if isinstance(data, dict):
            data.setdefault("id", f"{file.stem}-{number}")
        return Release.from_dict(data)
    except ValueError as err:
        return file.defect(number, "record", str(err), "see the exchange format in docs/formats.md")


# texts


def _texts(stream: IO[bytes]) -> Iterator[str]:
    """Lines without their ends, which may be of any kind."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline=None)
    try:
        for line in text:
            yield line.rstrip("\n")
    finally:
        text.detach()


def _listing(stream: IO[bytes], file: File) -> Iterator[Found]:
    """Blocks between lines of dashes: a title line, the body, ``dateYYYY-MM-DD`` at its end."""
    block: List[str] = []
    start = 1
    for number, line in enumerate(chain(_texts(stream), ["-"]), 1):
        if not RULE.fullmatch(line):
            block.append(line)
            continue
        if any(part.strip() for part in block):
            yield *_block(block, start, file), _encode(block)
        block, start = [], number + 1


def _encode(block: List[str]) -> bytes:
    return "\n".join(block).encode("utf8", errors="surrogateescape")


def _block(block: List[str], start: int, file: File) -> Tuple[int, Item]:
    skipped = next(i for i, line in enumerate(block) if line.strip())
    start += skipped
    title, body = block[skipped].strip(), "\n".join(block[skipped + 1 :]).strip()
    match = DATE.search(body) or DATE.search(title)
    if match is None:
        return start, file.defect(start, "date", f"the block {title[:40]!r} has no date", "end it with dateYYYY-MM-DD")
    if match.string is title:
        return start, file.defect(start, "title", "the block has no title line", "begin it with the title")
    body = body[: match.start()].strip()
    if not body:
        return start, file.defect(start, "body", f"the block {title[:40]!r} has no body", "write it below the title")
    return start, Release(f"{match[1]}-{slug(title)}", f"{title}\n{body}", title=title, date=match[1])


def _release(stream: IO[bytes], file: File) -> Iterator[Found]:
    raw = stream.read(file.reading.line_bytes + 1)
    if len(raw) > file.reading.line_bytes:
        yield 0, _too_long(file, 0, "file"), b""
        return
    block = list(_texts(io.BytesIO(raw)))
    text = "\n".join(block).strip()
    if not text:
        return
    start = 1 + next(i for i, line in enumerate(block) if line.strip())
    title, _, body = (part.strip() for part in text.partition("\n"))
    match = DATE.search(body)
    body = body[: match.start()].strip() if match else body
    if not body:
        message = "the release has a title but no body"
        yield start, file.defect(start, "body", message, "write it below the title"), raw
        return
    yield start, Release(file.stem, f"{title}\n{body}", title=title, date=match[1] if match else None), raw


def slug(title: str) -> str:
    """A title as part of an id."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", re.sub(r"['.]", "", plain))
    return "-".join(words[:SLUG_WORDS]) or "release"


# what needs an extra


def _parquet(stream: IO[bytes], file: File) -> Iterator[Found]:
    from .parquet import read_parquet

    return read_parquet(stream, file)


def _html(stream: IO[bytes], file: File) -> Iterator[Found]:
    from .web import read_html

    return read_html(stream, file)


def _feed(stream: IO[bytes], file: File) -> Iterator[Found]:
    from .web import read_feed

    return read_feed(stream, file)


Reader = Callable[[IO[bytes], File], Iterator[Found]]
READERS: Dict[Optional[str], Reader] = {
    "jsonl": _jsonl,
    "listing": _listing,
    "release": _release,
    "parquet": _parquet,
    "html": _html,
    "feed": _feed,
}
FORMATS = tuple(name for name in READERS if name)
SUFFIXES = {
    ".jsonl": "jsonl",
    ".txt": "text",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
    ".rss": "feed",
    ".atom": "feed",
    ".xml": "feed",
}
