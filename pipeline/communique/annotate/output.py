"""The file or folder that a run writes, and what lies beside it."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterable, Iterator, List

from ..errors import CommuniqueError
from ..release import Release
from .checkpoint import WRITTEN, Checkpoint
from .sinks import check_place, dump, fingerprint, remove, save, stamp, sync

CLAIMED = "claimed"  # whether what is at the place of the output is for this run to replace
MADE_WITH = "made_with"  # settings that change what is written


@dataclass(frozen=True)
class Output:
    """Where annotated releases are written, in which format, and how certain things must be to be in it."""

    path: Path
    kind: str
    min_confidence: float = 0.0

    @property
    def progress(self) -> Path:
        return self.path.with_name(self.path.name + ".progress")

    @property
    def refused(self) -> Path:
        return self.path.with_name(self.path.name + ".refused.jsonl")

    def files(self) -> List[str]:
        """All that a run writes: none of it is an input."""
        own = (self.path, self.progress, self.refused)
        return [os.path.abspath(f"{path}{ending}") for path in own for ending in ("", ".part", "-wal", "-journal")]

    def check(self, checkpoint: Checkpoint, replace: bool) -> None:
        """Raises CommuniqueError where something is there that this command has not written."""
        try:
            check_place(self.path, self.kind)
        except OSError as err:
            raise CommuniqueError(f"{self.path}: {err.strerror}") from err
        if replace:
            checkpoint[WRITTEN] = None
        elif os.path.lexists(self.path):
            self._check(checkpoint)
        checkpoint[CLAIMED] = True

    def _check(self, checkpoint: Checkpoint) -> None:
        if not checkpoint[CLAIMED]:
            message = "it is there already, and was not written by a run that can go on: name another, or --replace it"
            raise CommuniqueError(f"{self.path}: {message}")
        written = checkpoint[WRITTEN]
        if written and written["stamp"] != stamp(self.path) and written["hash"] != fingerprint(self.path):
            message = "it was changed since it was written: move it away, or --replace it by what was annotated"
            raise CommuniqueError(f"{self.path}: {message}")

    def write(self, checkpoint: Checkpoint) -> bool:
        """Make the output from a checkpoint, unless it is there and nothing has changed. Returns whether it was made.

        Raises CommuniqueError where it can't be written; the checkpoint is kept.
        """
        made_with = {"kind": self.kind, "min_confidence": self.min_confidence}
        if checkpoint[WRITTEN] and checkpoint[MADE_WITH] == made_with and self.path.exists() and not checkpoint.dirty:
            return False
        checkpoint[WRITTEN], checkpoint[MADE_WITH] = None, made_with
        checkpoint.commit()
        try:
            save(confident(checkpoint.lines(), self.min_confidence), self.path, self.kind)
            checkpoint[WRITTEN] = {"stamp": stamp(self.path), "hash": fingerprint(self.path)}
        except OSError as err:
            raise self._unwritable(self.path, err) from err
        checkpoint.dirty = False
        checkpoint.commit()
        return True

    @staticmethod
    def _unwritable(path: Path, error: OSError) -> CommuniqueError:
        message = f"{error.strerror or error}: what was annotated is kept: mend it and run the same command again"
        return CommuniqueError(f"{path}: {message}")

    @contextmanager
    def refusals(self) -> Iterator[IO[bytes]]:
        """A stream for what is refused. Its file appears at the end, if anything was; that of the last run goes."""
        part = self.refused.with_name(self.refused.name + ".part")
        try:
            with part.open("wb") as stream:
                yield stream
                any_written = stream.tell() > 0
            if any_written:
                sync(part)
                part.replace(self.refused)
            else:
                remove(self.refused)
        except OSError as err:
            raise self._unwritable(self.refused, err) from err
        finally:
            remove(part)


def confident(lines: Iterable[bytes], minimum: float) -> Iterator[bytes]:
    """Annotated releases without what is less certain than ``minimum``."""
    for line in lines:
        yield confident_line(line, minimum)


def confident_line(line: bytes, minimum: float) -> bytes:
    if minimum <= 0:
        return line
    return dump(Release.from_dict(json.loads(line)).confident(minimum)).rstrip("\n").encode("utf8")
