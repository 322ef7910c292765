"""Where a pipeline lies, and which one it is: without loading it, and so without spaCy."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import List, Optional, Union

from ..errors import ConfigError

CHUNK = 1 << 20  # bytes read at once


def shipped_models() -> List[str]:
    """Names of the models inside the package."""
    root = _root()
    return sorted(p.name for p in root.iterdir() if (p / "meta.json").exists()) if root.is_dir() else []


def shipped_path(name: Union[str, Path]) -> Optional[Path]:
    return _root() / str(name) if str(name) in shipped_models() else None


def _root() -> Path:
    return Path(str(files("communique"))) / "models"


def no_model(name: Union[str, Path], reason: str) -> ConfigError:
    known = ", ".join(shipped_models()) or "none"
    return ConfigError(f"no model to load ({reason}); shipped with the package: {known}", file=str(name))


def model_path(name: str) -> Path:
    """The folder of a shipped model, of a model that was trained, or of an installed package.

    Raises ConfigError where there is none.
    """
    path = shipped_path(name) or Path(name)
    if path.is_dir():
        return path
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise no_model(name, "no such folder or package")
    return Path(spec.submodule_search_locations[0])


def model_digest(path: Path) -> str:
    """A hash of all files of a pipeline: what it finds depends on nothing else."""
    found = hashlib.blake2b(digest_size=16)
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        found.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(CHUNK):
                found.update(block)
    return found.hexdigest()
