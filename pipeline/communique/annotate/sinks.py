"""Writes annotated releases."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Callable, Iterator

from ..release import Release

STDOUT = "-"


def dump(release: Release) -> str:
    """One line of the exchange format."""
    return json.dumps(release.to_dict(), ensure_ascii=False) + "\n"


@contextmanager
def jsonl_sink(output: str) -> Iterator[Callable[[Release], None]]:
    """A function that writes releases to a JSONL file, or to standard output for ``-``.

    The file appears whole or not at all: it is written beside its place and moved there at the end.
    """
    if output == STDOUT:
        yield lambda release: _write(sys.stdout, release)
        return
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf8", newline="\n") as stream:
            yield lambda release: _write(stream, release)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write(stream: IO[str], release: Release) -> None:
    stream.write(dump(release))
