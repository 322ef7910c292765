"""Writes a pipeline's folder whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Callable

from ..errors import ConfigError


def replace_folder(folder: Path, write: Callable[[Path], None]) -> int:
    """Have a pipeline written and put into the place of the one that is there. Returns its size in bytes.

    Raises ConfigError, with nothing changed, where something else than a pipeline is there.
    """
    if folder.exists() and not (folder / "meta.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("there is something else than a pipeline", file=str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        new = Path(place) / "new"
        write(new)
        size = sum(file.stat().st_size for file in new.rglob("*") if file.is_file())
        if folder.exists():
            folder.rename(Path(place) / "old")
        new.rename(folder)
    return size
