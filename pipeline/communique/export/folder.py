"""Writes a pipeline's folder whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Callable

from ..errors import ConfigError


def check_replaceable(folder: Path) -> None:
    """Raises ConfigError where something else than a pipeline is in the folder's place."""
    pipeline = all((folder / name).is_file() for name in ("meta.json", "config.cfg"))
    if folder.exists() and not pipeline and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("there is something else than a pipeline", file=str(folder))


def replace_folder(folder: Path, write: Callable[[Path], None]) -> int:
    """Have a pipeline written and put into the place of the one that is there. Returns its size in bytes.

    Raises ConfigError, with nothing changed, where something else than a pipeline is there.
    """
    check_replaceable(folder)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        new, old = Path(place) / "new", Path(place) / "old"
        write(new)
        size = sum(file.stat().st_size for file in new.rglob("*") if file.is_file())
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    return size
