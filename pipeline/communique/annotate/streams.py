"""Files as streams of bytes: plain or compressed, read once from front to end, and how far they were read."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator, Optional

import zstandard

STDIN = "-"
CHUNK = 1 << 16  # bytes read at once


class _Zstd(io.RawIOBase):
    """Zstandard frames one after the other; unlike the library's own reader it notices where the last is cut short."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._rest = b""  # read, but not unpacked
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._rest or self._raw.read(CHUNK)
            if not data:
                if self._begun:
                    raise EOFError("it ends too early")
                return 0
            self._begun = True
            self._ready = memoryview(self._frame.decompress(data))
            self._rest = b""
            if self._frame.eof:
                self._rest = self._frame.unused_data
                self._frame, self._begun = zstandard.ZstdDecompressor().decompressobj(), False
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


COMPRESSED: Dict[str, Callable[[Any], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
    ".zst": _Zstd,
}


class Tally:
    """Counts the bytes that were read of all files, as they lie on the disk. total: of all, where it is known."""

    def __init__(self, total: Optional[int] = None) -> None:
        self.total = total
        self.done = 0


class _Counted(io.FileIO):
    def __init__(self, path: str, tally: Tally) -> None:
        super().__init__(path)
        self._tally = tally

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self._tally.done += count
        return count

    def readall(self) -> bytes:
        data = super().readall() or b""
        self._tally.done += len(data)
        return data


class BrokenStream(OSError):
    """Raised where a compressed file can't be unpacked."""


@contextmanager
def open_stream(name: str, tally: Tally) -> Iterator[IO[bytes]]:
    """A file, unpacked if its name ends so, or standard input for ``-``. Raises OSError."""
    if name == STDIN:
        yield sys.stdin.buffer
        return
    with io.BufferedReader(_Counted(name, tally)) as raw:
        unpack = COMPRESSED.get(Path(name).suffix)
        try:
            yield io.BufferedReader(unpack(raw)) if unpack else raw
        except (EOFError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile) as err:
            raise BrokenStream(0, f"the compressed file is broken: {str(err) or type(err).__name__}") from err


def plain_name(path: Path) -> Path:
    """A file's name without the ending that says how it is compressed."""
    return path.with_suffix("") if path.suffix in COMPRESSED else path


def stamp(name: str) -> Optional["tuple[int, int]"]:
    """(size, time of the last change) of a file, by which a change is noticed; None for standard input."""
    if name == STDIN:
        return None
    found = os.stat(name)
    return found.st_size, found.st_mtime_ns


def lines(stream: IO[bytes], longest: int) -> Iterator[Optional[bytes]]:
    """Lines with their newline; None in place of each that has more than ``longest`` bytes, which is skipped."""
    while line := stream.readline(longest + 1):
        if len(line) <= longest:
            yield line
            continue
        yield None
        while line and not line.endswith(b"\n"):
            line = stream.readline(longest)
