"""Reads releases from listing pages, JSONL, text files, folders and standard input, one at a time.

Every source yields a ``Release`` for each good record and a ``Defect`` for each that must be refused, in order.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from itertools import chain
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Tuple, Union

from ..errors import Defect
from ..release import Release
from .records import UNDECODED, parse_json, refusal

Item = Union[Release, Defect]
RULE = re.compile(r"-+[ \t]*")
DATE = re.compile(r"\s*date\s*(\d{4}-\d\d-\d\d)\s*\Z")
SUFFIXES = (".jsonl", ".txt")
STDIN = "-"
SLUG_WORDS = 8


def read_inputs(inputs: Iterable[str], *, max_chars: int) -> Iterator[Item]:
    """All releases of files, folders and ``-`` (standard input), lazily.

    A second release with the same id is refused, since the output could not tell the two apart; so is one of more
    than ``max_chars`` characters.
    """
    seen: Dict[str, str] = {}
    for file, line, item in chain.from_iterable(map(_read_one, inputs)):
        if isinstance(item, Release):
            defect = _refusal(item, file, line, max_chars)
            if defect is None and item.id in seen:
                message = f"the id {item.id!r} was read before, at {seen[item.id]}"
                defect = Defect(file, line, 0, "duplicate-id", message, "give each release an id of its own")
            if defect is None:
                seen[item.id] = f"{file}:{line}"
            else:
                item = defect
        yield item


def _read_one(name: str) -> Iterator[Tuple[str, int, Item]]:
    """(file, line, item) of one input."""
    if name == STDIN:
        for line, item in _parse(sys.stdin.buffer.read(), "<stdin>", None, "stdin"):
            yield "<stdin>", line, item
        return
    path = Path(name)
    files = sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and f.is_file()) if path.is_dir() else [path]
    if not files:
        yield name, 0, Defect(name, 0, 0, "empty", "the folder holds no .txt or .jsonl file", "name another folder")
    for file in files:
        for line, item in _read_file(file):
            yield str(file), line, item


def _read_file(path: Path) -> Iterator[Tuple[int, Item]]:
    name = str(path)
    if path.suffix == ".jsonl":
        yield from _jsonl_file(path)
        return
    try:
        data = path.read_bytes()
    except OSError as err:
        yield 0, Defect(name, 0, 0, "unreadable", err.strerror or str(err), "check the name and the permissions")
        return
    yield from _parse(data, name, path.suffix, path.stem)


def _jsonl_file(path: Path) -> Iterator[Tuple[int, Item]]:
    try:
        with path.open("rb") as stream:
            yield from _jsonl(stream, str(path), path.stem)
    except OSError as err:
        yield 0, Defect(str(path), 0, 0, "unreadable", err.strerror or str(err), "check the name and the permissions")


def _parse(data: bytes, name: str, suffix: Optional[str], stem: str) -> Iterator[Tuple[int, Item]]:
    """Releases of a whole file, its format told from its beginning."""
    if not _decode(data).strip():
        yield 0, Defect(name, 0, 0, "empty", "the file is empty", "leave it out")
        return
    if suffix != ".txt" and data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        yield from _jsonl(data.splitlines(keepends=True), name, stem)
        return
    text = _decode(data).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    first = next(line for line in lines if line.strip())
    if RULE.fullmatch(first):
        yield from _listing(lines, name)
    else:
        yield _single(lines, name, stem)


def _decode(data: bytes) -> str:
    return data.decode("utf-8-sig", errors="surrogateescape")


def _jsonl(lines: Iterable[bytes], name: str, stem: str) -> Iterator[Tuple[int, Item]]:
    found = False
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        found = True
        yield number, _json_line(_decode(raw), name, number, stem)
    if not found:
        yield 0, Defect(name, 0, 0, "empty", "the file is empty", "leave it out")


def _json_line(line: str, name: str, number: int, stem: str) -> Item:
    if UNDECODED.search(line):
        return Defect(name, number, 0, "encoding", "no UTF-8", "save it as UTF-8")
    try:
        data = parse_json(line)
    except ValueError as err:
        column = getattr(err, "colno", 0)
        return Defect(name, number, column, "json", f"no JSON: {getattr(err, 'msg', err)}", "one JSON object a line")
    try:
        if isinstance(data, dict):
            data.setdefault("id", f"{stem}-{number}")
        return Release.from_dict(data)
    except ValueError as err:
        return Defect(name, number, 0, "record", str(err), "see the exchange format in docs/formats.md")


def _listing(lines: List[str], name: str) -> Iterator[Tuple[int, Item]]:
    """Blocks between lines of dashes: a title line, the body, ``dateYYYY-MM-DD`` at its end."""
    block: List[str] = []
    start = 1
    for number, line in enumerate(chain(lines, ["-"]), 1):
        if not RULE.fullmatch(line):
            block.append(line)
            continue
        if any(part.strip() for part in block):
            yield _block(block, name, start)
        block, start = [], number + 1


def _block(lines: List[str], name: str, start: int) -> Tuple[int, Item]:
    skipped = next(i for i, line in enumerate(lines) if line.strip())
    start += skipped
    title, body = lines[skipped].strip(), "\n".join(lines[skipped + 1 :]).strip()
    match = DATE.search(body) or DATE.search(title)
    if match is None:
        return start, Defect(
            name, start, 0, "date", f"the block {title[:40]!r} has no date", "end it with dateYYYY-MM-DD"
        )
    if match.string is title:
        return start, Defect(name, start, 0, "title", "the block has no title line", "begin it with the title")
    body = body[: match.start()].strip()
    if not body:
        return start, Defect(
            name, start, 0, "body", f"the block {title[:40]!r} has no body", "write it below the title"
        )
    return start, Release(f"{match[1]}-{_slug(title)}", f"{title}\n{body}", title=title, date=match[1])


def _single(lines: List[str], name: str, stem: str) -> Tuple[int, Item]:
    text = "\n".join(lines).strip()
    start = 1 + next(i for i, line in enumerate(lines) if line.strip())
    title, _, body = (part.strip() for part in text.partition("\n"))
    match = DATE.search(body)
    body = body[: match.start()].strip() if match else body
    if not body:
        return start, Defect(name, start, 0, "body", "the release has a title but no body", "write it below the title")
    return start, Release(stem, f"{title}\n{body}", title=title, date=match[1] if match else None)


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", re.sub(r"['.]", "", plain))
    return "-".join(words[:SLUG_WORDS]) or "release"


def _refusal(release: Release, file: str, line: int, max_chars: int) -> Optional[Defect]:
    """Why a release can't be annotated, or None."""
    found = refusal(release, max_chars)
    if found is None:
        return None
    mend = f"{found.mend}, or raise --max-chars" if found.code == "length" else found.mend
    return Defect(file, line, 0, found.code, f"{release.id}: {found.message}", mend)
