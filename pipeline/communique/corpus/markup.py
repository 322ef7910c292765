r"""The markup in which gold releases are written, read and compared.

A file holds a header of ``key: value`` lines, a blank line, the text, a line ``---`` and one relation a line::

    id: kr-2026-03-02-chile
    date: 2026-03-02

    [Korea](COUNTRY kr.1) and [Chile](COUNTRY cl.1) to [open [talks](MEETING t.1) on hydrogen](PLEDGE p1)
    The [Korean](COUNTRY kr.2) ...
    ---
    kr.1 PLEDGED p1

A handle with a dot is ``cluster.name``; one without belongs to no cluster, and may be left out where no relation
uses it. A backslash takes the next character as it is; ``\r`` is a carriage return and a backslash at the end of a
line joins it with the next, so that long paragraphs can be kept one sentence a line. ``key:= json`` in the header
holds what is no plain string.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union
from urllib.parse import quote, unquote

from ..errors import CommuniqueError, Defect, DefectError
from ..release import Mention, Relation, Release

SEPARATOR = "---"
TAG = re.compile(r"\]\(([^\s()]+)(?:[ \t]+([^\s()]+))?\)")
HANDLE = re.compile(r"(?:[\w%-]+\.)?[\w-]+\Z", re.ASCII)
SENTENCE_END = re.compile(r"(?<=[^\sA-Z.][.!?])(?:[”’\"')]*)(?:\]\([^\s()]+(?: [^\s()]+)?\))* (?=[A-Z“\[])")


@dataclass
class Source:
    """Where each part of a parsed release stands in its file: (line, column), both from 1."""

    file: str
    handles: Dict[int, str] = field(default_factory=dict)
    mentions: Dict[int, Tuple[int, int]] = field(default_factory=dict)
    relations: Dict[int, Tuple[int, int]] = field(default_factory=dict)
    lines: List[Tuple[int, int, int]] = field(default_factory=list)

    def position(self, offset: int) -> Tuple[int, int]:
        """Line and approximate column of an offset in the release's text."""
        best = (1, 1)
        for start, line, column in self.lines:
            if start > offset:
                break
            best = (line, column + offset - start)
        return best


@dataclass
class Parsed:
    release: Release
    source: Source


def parse(content: str, file: str = "<markup>") -> Parsed:
    """Read one release. Raises DefectError with every defect that keeps it from being read."""
    return _Parser(content, file).run()


def read_file(path: Union[str, Path]) -> Parsed:
    """Read one file. Raises DefectError; bytes that are no UTF-8 are a defect too."""
    try:
        content = Path(path).read_bytes().decode("utf8")
    except UnicodeDecodeError as err:
        raise DefectError(
            [Defect(str(path), 0, 0, "encoding", f"no UTF-8 at byte {err.start}", "save it as UTF-8")]
        ) from err
    return parse(content, str(path))


class _Parser:
    def __init__(self, content: str, file: str) -> None:
        self.rows = content.split("\n")
        self.file = file
        self.defects: List[Defect] = []
        self.source = Source(file)
        self.by_handle: Dict[str, int] = {}
        self.mentions: List[Mention] = []
        self.text: List[str] = []
        self.length = 0
        self.open: List[Tuple[int, int, int]] = []

    def flag(self, line: int, column: int, code: str, message: str, mend: str = "") -> None:
        self.defects.append(Defect(self.file, line, column, code, message, mend))

    def run(self) -> Parsed:
        header, row = self.header()
        row = self.body(row)
        relations = self.relations(row)
        if self.defects:
            raise DefectError(self.defects)
        text = "".join(self.text)
        first = text.split("\n", 1)[0]
        strings = {k: header.pop(k, None) for k in ("date", "source")}
        release = Release(
            id=header.pop("id"),
            text=text,
            title=header.pop("title", first),
            mentions=self.mentions,
            relations=relations,
            meta=header,
            **strings,
        )
        return Parsed(release, self.source)

    def header(self) -> Tuple[Dict[str, Any], int]:
        out: Dict[str, Any] = {}
        for row, line in enumerate(self.rows):
            if not line.strip():
                break
            key, colon, value = line.partition(":")
            if not colon or not key.strip() or key != key.strip():
                self.flag(row + 1, 1, "header", f"not a header line: {line[:40]!r}", "write 'key: value'")
                continue
            try:
                key = _decode(key)
                out[key] = json.loads(value[1:]) if value.startswith("=") else value.strip()
            except ValueError as err:
                self.flag(row + 1, len(key) + 3, "header", f"no JSON: {err}", "write 'key: value' for a plain string")
        else:
            row = len(self.rows)
        if not isinstance(out.get("id"), str) or not out["id"]:
            self.flag(1, 1, "header", "the release has no id", "begin with 'id: some-name'")
            out["id"] = ""
        return out, row + 1

    def body(self, row: int) -> int:
        first, newline = row, False
        while row < len(self.rows) and self.rows[row] != SEPARATOR:
            if newline:
                self.emit("\n")
            self.source.lines.append((self.length, row + 1, 1))
            newline = self.line(self.rows[row], row + 1)
            row += 1
        for line, column, _ in self.open:
            self.flag(line, column, "markup", "this span is never closed", "add '](LABEL)'")
        if row >= len(self.rows):
            self.flag(len(self.rows), 1, "markup", f"no line {SEPARATOR} after the text", "add it before the relations")
        elif row == first:
            self.flag(row + 1, 1, "markup", "the text is empty", "write the title and the body above the line ---")
        return row + 1

    def line(self, line: str, number: int) -> bool:
        """Read one line; False if a backslash at its end joins it with the next."""
        i = 0
        while i < len(line):
            char = line[i]
            if char == "\\":
                if i + 1 == len(line):
                    return False
                self.emit("\r" if line[i + 1] == "r" else line[i + 1])
                i += 2
                self.source.lines.append((self.length, number, i + 1))
            elif char == "[":
                self.open.append((number, i + 1, self.length))
                i += 1
                self.source.lines.append((self.length, number, i + 1))
            elif char == "]":
                i = self.close(line, i, number)
                self.source.lines.append((self.length, number, i + 1))
            else:
                self.emit(char)
                i += 1
        return True

    def emit(self, char: str) -> None:
        self.text.append(char)
        self.length += 1

    def close(self, line: str, i: int, number: int) -> int:
        match = TAG.match(line, i)
        if match is None:
            self.flag(
                number, i + 1, "markup", "']' without '(LABEL handle)'", r"write '](LABEL)', or '\]' for a bracket"
            )
            return i + 1
        if not self.open:
            self.flag(number, i + 1, "markup", "']' closes no span", r"add '[' where it begins, or write '\]'")
            return match.end()
        at_line, at_column, start = self.open.pop()
        label, handle = _decode(match.group(1)), match.group(2)
        if start == self.length:
            self.flag(at_line, at_column, "markup", "this span is empty", "remove it")
            return match.end()
        if handle is not None and not HANDLE.match(handle):
            self.flag(number, match.start(2) + 1, "handle", f"bad handle {handle!r}", "write 'cluster.name' or 'name'")
            handle = None
        self.add(label, handle, start, at_line, at_column)
        return match.end()

    def add(self, label: str, handle: Optional[str], start: int, line: int, column: int) -> None:
        cluster = None
        number = len(self.mentions)
        if handle is not None:
            if handle in self.by_handle:
                at = self.source.mentions[self.by_handle[handle]]
                message = f"the handle {handle} is taken by line {at[0]}, column {at[1]}"
                self.flag(line, column, "handle", message, "give each mention a name of its own")
            self.by_handle[handle] = number
            cluster = _decode(handle.rpartition(".")[0]) if "." in handle else None
            self.source.handles[number] = handle
        self.source.mentions[number] = (line, column)
        self.mentions.append(Mention(number, label, start, self.length, cluster))

    def relations(self, row: int) -> List[Relation]:
        out: List[Relation] = []
        for number in range(row, len(self.rows)):
            words = self.rows[number].split()
            if not words:
                continue
            if len(words) != 3:
                self.flag(
                    number + 1, 1, "relation", f"not a relation: {self.rows[number][:40]!r}", "write 'head TYPE tail'"
                )
                continue
            ends = []
            for word in (words[0], words[2]):
                if word in self.by_handle:
                    ends.append(self.by_handle[word])
                else:
                    column = self.rows[number].index(word) + 1
                    self.flag(number + 1, column, "dangling", f"no mention has the handle {word}", self.suggest(word))
            if len(ends) == 2:
                self.source.relations[len(out)] = (number + 1, 1)
                out.append(Relation(len(out), _decode(words[1]), ends[0], ends[1]))
        return out

    def suggest(self, word: str) -> str:
        stem = word.rpartition(".")[0] or word
        near = [h for h in self.by_handle if (h.rpartition(".")[0] or h) == stem]
        return f"did you mean {' or '.join(near[:4])}?" if near else "add the handle to a span, or mend the name"


def write(release: Release) -> str:
    """Markup of a release, long lines broken after sentences.

    Raises CommuniqueError where spans cross, because the markup nests.
    """
    release = release.canonical()
    handles = _handles(release)
    header = {"id": release.id, "date": release.date, "source": release.source}
    rows = [_header_line(k, v) for k, v in header.items() if v is not None]
    if release.title != release.text.split("\n", 1)[0]:
        rows.append(_header_line("title", release.title))
    rows += [_header_line(k, v) for k, v in release.meta.items()]
    body = "\n".join(_wrap(line) for line in _inline(release, handles).split("\n"))
    relations = [f"{handles[r.head]} {_encode(r.type)} {handles[r.tail]}" for r in release.relations]
    return "\n".join([*rows, "", body, SEPARATOR, *relations, ""])


def _handles(release: Release) -> Dict[int, str]:
    used = {end for r in release.relations for end in (r.head, r.tail)}
    counts: Dict[str, int] = defaultdict(int)
    out: Dict[int, str] = {}
    for m in release.mentions:
        if m.cluster is not None:
            counts[m.cluster] += 1
            out[m.id] = f"{_encode(m.cluster)}.{counts[m.cluster]}"
        elif m.id in used:
            key = re.sub(r"[^a-z]", "", m.label.lower())[:1] or "m"
            counts[f" {key}"] += 1
            out[m.id] = f"{key}{counts[f' {key}']}"
    return out


def _inline(release: Release, handles: Dict[int, str]) -> str:
    opens: Dict[int, int] = defaultdict(int)
    closes: Dict[int, List[str]] = defaultdict(list)
    for m in _nested(release):
        opens[m.start] += 1
        handle = handles.get(m.id)
        closes[m.end].insert(0, f"]({_encode(m.label)} {handle})" if handle else f"]({_encode(m.label)})")
    out = []
    line_start = True
    for i, char in enumerate(release.text + "\0"):
        out.extend(closes[i])
        out.append("[" * opens[i])
        if i == len(release.text):
            break
        if char in "\\[]" or (line_start and char == "-"):
            out.append("\\")
        out.append("\\r" if char == "\r" else char)
        line_start = char == "\n"
    return "".join(out)


def _nested(release: Release) -> Iterator[Mention]:
    """Mentions in text order, enclosing first; raises where two cross."""
    stack: List[Mention] = []
    for m in release.mentions:
        while stack and stack[-1].end <= m.start:
            stack.pop()
        if stack and m.end > stack[-1].end:
            raise CommuniqueError(
                f"{release.id}: the spans {release.span_text(stack[-1])!r} and {release.span_text(m)!r} cross; "
                "markup can't hold that: shorten one"
            )
        stack.append(m)
        yield m


def _wrap(line: str) -> str:
    return SENTENCE_END.sub(lambda m: m.group() + "\\\n", line)


def _header_line(key: str, value: Any) -> str:
    plain = isinstance(value, str) and value and value == value.strip() and value.isprintable()
    name = _encode(key)
    if plain and not value.startswith("="):
        return f"{name}: {value}"
    return f"{name}:= {json.dumps(value, ensure_ascii=True)}"


def _encode(name: str) -> str:
    """A name as the ASCII letters, digits, ``_``, ``-`` and percent escapes that a handle holds."""
    return quote(name, safe="-_").replace(".", "%2E").replace("~", "%7E") or "%"


def _decode(name: str) -> str:
    return "" if name == "%" else unquote(name, errors="strict")
