"""Where a training works: beside the model of the last one, which it replaces only when it has finished."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Iterator

from .errors import CommuniqueError

BEST, LAST, LOG = "model-best", "model-last", "log.jsonl"
# In this order into the output folder: where the best model is, everything is.
PRODUCTS = (LOG, LAST, BEST)
PARTIAL, LOCK, FINISHED = "partial", "train.lock", "finished"


class Workplace:
    """The folder ``partial`` of an output folder; ``found`` says what an earlier training has left there, if anything.

    It lies within the output folder so that a rename, which can't fail halfway, brings its products to their place.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / PARTIAL
        self.found = self._clear()
        self.folder.mkdir()

    def _clear(self) -> str:
        """Empty the folder; a finished training whose products were on their way is brought home first."""
        if (self.folder / FINISHED).exists():
            self.finish()
            return "the last training had finished but was stopped while it put its model in place: that is done now"
        left = self.folder.is_dir() and any(self.folder.iterdir())
        shutil.rmtree(self.folder, ignore_errors=True)
        return "the last training was interrupted: starting clean" if left else ""

    def finish(self) -> None:
        """Put the products in the place of the old ones. Where this is cut short, the next workplace completes it."""
        (self.folder / FINISHED).touch()
        for name in PRODUCTS:
            new, old = self.folder / name, self.output / name
            if new.exists():
                if old.exists():
                    os.rename(old, _free(self.folder / f"old-{name}"))
                os.rename(new, old)
        shutil.rmtree(self.folder)

    def leave(self) -> None:
        """Remove the folder if nothing came to be in it."""
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _free(path: Path) -> Path:
    """The path, what lay there removed: a folder can't be renamed onto another that isn't empty."""
    if path.is_dir():
        shutil.rmtree(path)
    return path


@contextmanager
def workplace(output: Path) -> Iterator[Workplace]:
    """A clean workplace in an output folder, for one training at a time.

    Raises CommuniqueError where another process is training there, OSError where the folder can't be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    with _locked(output):
        place = Workplace(output)
        try:
            yield place
        finally:
            place.leave()


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Hold the folder's lock. The kernel frees it when the process ends, however it ends: the file left is no lock."""
    with open(output / LOCK, "a+", encoding="utf8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            file.seek(0)
            holder = file.read().strip() or "process unknown"
            raise CommuniqueError(f"{output}: another training is at work there ({holder})") from err
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M:%S}\n")
        file.flush()
        yield
