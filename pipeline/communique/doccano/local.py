"""The releases on this side: an exchange file or a folder of markup, and beside it what was pulled last."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Dict, Iterable, List, Protocol

from ..annotate.sinks import save_releases
from ..corpus import markup
from ..corpus.exchange import read_jsonl, read_markup, unique_ids
from ..errors import CommuniqueError, Defect, DefectError
from ..release import Release
from .rows import plain

MARK = ".doccano"


class Local(Protocol):
    """Releases of ours by their ids, and the file that keeps what was pulled last."""

    base_file: Path

    def read(self) -> Dict[str, Release]:
        """Raises DefectError where some can't be read: their ids are not known then."""

    def refusal(self, release: Release) -> str:
        """Why it can't hold a release, or an empty string."""

    def write(self, changed: Dict[str, Release]) -> None:
        """Put these in place of what it has; the others stay untouched."""


class ExchangeFile:
    """One JSONL file, rewritten whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base_file = path.with_name(f".{path.name}{MARK}")

    def read(self) -> Dict[str, Release]:
        if not self.path.exists():
            return {}
        releases, defects = read_jsonl(self.path)
        if defects:
            raise DefectError(defects)
        return {release.id: release for release in unique_ids(releases)}

    def refusal(self, release: Release) -> str:
        return ""

    def write(self, changed: Dict[str, Release]) -> None:
        if changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_releases({**self.read(), **changed}.values(), self.path)


class MarkupFolder:
    """A folder of markup, one release a file. A release that is there stays in its file, wherever that is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base_file = folder / MARK
        self._files: Dict[str, Path] = {}

    def read(self) -> Dict[str, Release]:
        parsed, defects = read_markup([self.folder]) if self.folder.exists() else ([], [])
        if defects:
            raise DefectError(defects)
        releases = unique_ids([p.release.canonical() for p in parsed])
        self._files = {p.release.id: Path(p.source.file) for p in parsed}
        return {release.id: release for release in releases}

    def refusal(self, release: Release) -> str:
        if not release.id or release.id in (".", "..") or any(c in release.id for c in "/\\\0"):
            return f"{release.id!r} can't be the name of a file: pull into a .jsonl file"
        try:
            markup.write(release)
        except CommuniqueError as err:
            return str(err).removeprefix(f"{release.id}: ")
        return ""

    def write(self, changed: Dict[str, Release]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, release in changed.items():
            path = self._files.get(name, self.folder / f"{name}.txt")
            if name not in self._files and path.exists():
                message = "a file of this name holds another release"
                raise DefectError([Defect(str(path), 0, 0, "name", message, f"rename it, or give it the id {name}")])
            _replace(path, markup.write(release))


def open_local(path: Path) -> Local:
    """A ``.jsonl`` file, or a folder of markup. Raises CommuniqueError for anything else."""
    if path.suffix == ".jsonl" and not path.is_dir():
        return ExchangeFile(path)
    if path.is_file() or path.suffix:
        raise CommuniqueError(f"{path}: write a .jsonl file, or a folder for markup")
    return MarkupFolder(path)


def read_base(path: Path) -> Dict[str, Release]:
    """What was pulled last, without what only the pull itself noted. Raises CommuniqueError where it can't be read."""
    if not path.exists():
        return {}
    try:
        lines = path.read_text("utf8").split("\n")
        releases = [Release.from_dict(json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError) as err:
        message = f"{path}: can't be read: {err}; without it local changes are told from Doccano's less well: remove it"
        raise CommuniqueError(message) from err
    return {release.id: release for release in releases}


def write_base(path: Path, releases: Iterable[Release]) -> None:
    rows: List[str] = [json.dumps(plain(release).to_dict()) for release in releases]
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, "".join(f"{row}\n" for row in rows))


def _replace(path: Path, content: str) -> None:
    """Whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content.encode("utf8"))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
