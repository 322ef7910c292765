"""What every reader of releases asks of a record: strict JSON, fields of the right kind, text that can be read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Tuple

from ..release import Release

HTML = re.compile(
    r"<(?:!doctype|html|head|body|div|p|span|br|table|a|script)\b[^<>]*>|</(?:p|div|span|a|body|html)>", re.I
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
UNDECODED = re.compile(r"[\udc80-\udcff]")
DEEPEST = 100  # what writes a record calls itself for each level, and Python allows only so many calls


@dataclass(frozen=True)
class Refusal:
    """Why a record can't be annotated, and what to do about it. field: the key of the record that is at fault."""

    code: str
    message: str
    mend: str
    field: str


def parse_json(text: str) -> Any:
    """A JSON value that can be written as JSON again.

    Raises ValueError (a JSONDecodeError where there is a place to name) for what is no JSON, ``NaN`` and ``Infinity``
    among it, for numbers too large, and for what is nested more than ``DEEPEST`` levels deep.
    """
    try:
        data = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError as err:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from err
    _check_depth(data)
    return data


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _check_depth(data: Any) -> None:
    todo: List[Tuple[Any, int]] = [(data, 1)]
    while todo:
        value, depth = todo.pop()
        if isinstance(value, (dict, list)):
            if depth > DEEPEST:
                raise ValueError(f"nested more than {DEEPEST} levels deep")
            todo.extend((child, depth + 1) for child in (value.values() if isinstance(value, dict) else value))


def refusal(release: Release, max_chars: int) -> Optional[Refusal]:
    """Why a release can't be annotated, or None. max_chars: the longest text, in characters."""
    text = release.text
    if not text.strip():
        return Refusal("empty", "the text is empty", "leave it out", "text")
    if len(text) > max_chars:
        return Refusal("length", f"{len(text):,} characters, more than {max_chars:,}", "split it", "text")
    found = UNDECODED.search(text)
    if found:
        return Refusal("encoding", f"no UTF-8 at character {found.start()}", "save it as UTF-8", "text")
    for field, value in _fields(release):
        if SURROGATE.search(json.dumps(value, ensure_ascii=False)):
            return Refusal("encoding", "half a surrogate pair, which UTF-8 can't hold", "remove it", field)
    found = CONTROL.search(text)
    if found:
        message = f"the control character U+{ord(found.group()):04X} at character {found.start()}"
        return Refusal("control", message, "remove it", "text")
    found = HTML.search(text)
    if found:
        message = f"HTML ({found.group()[:20]}) where text was expected"
        return Refusal("html", message, "give its text only", "text")
    return None


def _fields(release: Release) -> Iterator[Tuple[str, Any]]:
    """All that will be written: keys, and values with the keys in them."""
    for key, value in release.to_dict().items():
        yield key, [key, value]
