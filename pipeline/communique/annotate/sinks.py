"""Writes annotated releases: JSON lines, Parquet tables, an SQLite database. An output appears whole or not at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, Iterator, List, Optional

import zstandard

from ..errors import ConfigError
from ..release import Release
from .parquet import need_pyarrow, write_parquet
from .sqlite import write_sqlite
from .streams import plain_name
from .tables import TABLES

STDOUT = "-"
CHUNK = 1 << 20  # bytes read at once
PARQUET_FILES = tuple(f"{name}.parquet" for name in TABLES)


def dump(release: Release) -> str:
    """One line of the exchange format."""
    return json.dumps(release.to_dict(), ensure_ascii=False) + "\n"


def write_jsonl(lines: Iterable[bytes], path: Path) -> None:
    """The exchange format, compressed if the name of the file to be says so."""
    with _packed(path) as stream:
        for line in lines:
            stream.write(line + b"\n")


@contextmanager
def _packed(path: Path) -> Iterator[IO[bytes]]:
    """path: of the part that is written, NAME.part."""
    ending = path.with_suffix("").suffix
    with path.open("wb") as raw:
        if ending == ".gz":
            # no time and no name: the same releases give the same bytes
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        elif ending == ".zst":
            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as packed:
                yield packed
        else:
            yield raw


Writer = Callable[[Iterable[bytes], Path], None]
WRITERS: Dict[str, Writer] = {"jsonl": write_jsonl, "parquet": write_parquet, "sqlite": write_sqlite}
SUFFIXES = {".parquet": "parquet", ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite"}


def sink_format(output: str, chosen: Optional[str] = None) -> str:
    """The format of an output: what is chosen, or what its name says; JSON lines otherwise.

    Raises ConfigError for one that does not exist, that is not installed, or that can't go to standard output.
    """
    if chosen is not None and chosen not in WRITERS:
        raise ConfigError(f"--format {chosen}: write {', '.join(WRITERS)}")
    name = chosen or SUFFIXES.get(plain_name(Path(output)).suffix.lower(), "jsonl")
    if name != "jsonl" and is_stream(output):
        raise ConfigError(f"{output}: only JSON lines can be written to a stream")
    if name == "parquet":
        need_pyarrow()
    return name


def is_stream(output: str) -> bool:
    """Whether what is written there is gone at once: standard output, a pipe, a device."""
    path = Path(output)
    return output == STDOUT or (path.exists() and not path.is_file() and not path.is_dir())


def check_place(output: Path, kind: str) -> None:
    """Raises OSError for a folder in the place of an output, unless it holds nothing but tables: it would be lost."""
    if not output.is_dir():
        return
    if kind != "parquet":
        raise OSError(errno.EISDIR, "it is a folder: name a file in it", str(output))
    strange = sorted(entry.name for entry in output.iterdir() if entry.name not in PARQUET_FILES)
    if strange:
        raise OSError(errno.ENOTEMPTY, f"the folder holds something else, {strange[0]}: name another", str(output))


def save(lines: Iterable[bytes], output: Path, kind: str) -> None:
    """Write annotated releases, each its JSON, beside an output and move them to its place when they are safe on the
    disk. Raises OSError."""
    check_place(output, kind)
    part = output.with_name(output.name + ".part")
    remove(part)
    try:
        WRITERS[kind](lines, part)
        sync(part)
        if output.is_dir():  # a folder can't be replaced in one step: whoever finds none, finds the progress
            remove(output)
        part.replace(output)
        sync(output)
    except sqlite3.Error as err:
        raise OSError(0, str(err)) from err
    finally:
        remove(part)


def save_releases(releases: Iterable[Release], output: Path) -> None:
    """Write releases as a file in the exchange format, all or none. Raises OSError."""
    save((dump(release).rstrip("\n").encode("utf8") for release in releases), output, "jsonl")


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or a folder of files, and its name are safe on the disk."""
    for part in [*_files(path), path, path.parent]:
        number = os.open(part, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _files(path: Path) -> List[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


def stamp(output: Path) -> List[List[Any]]:
    """Name, size and time of each file of an output: where they are the same, so is what it holds."""
    return [[file.name, (found := file.stat()).st_size, found.st_mtime_ns] for file in _files(output)]


def fingerprint(output: Path) -> str:
    """A hash of what an output holds."""
    found = hashlib.blake2b(digest_size=16)
    for file in _files(output):
        with file.open("rb") as stream:
            while block := stream.read(CHUNK):
                found.update(block)
    return found.hexdigest()
