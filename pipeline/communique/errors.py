"""Errors that tell the user what to mend, and where."""

from __future__ import annotations

from dataclasses import dataclass
from signal import Signals
from typing import Any, Iterable, List, Optional


@dataclass(frozen=True)
class Defect:
    """One thing wrong with an input. Lines and columns count from 1; 0 means the whole file."""

    file: str
    line: int
    column: int
    code: str
    message: str
    mend: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        text = f"{place}: {self.code}: {self.message}"
        return f"{text} ({self.mend})" if self.mend else text

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


class CommuniqueError(ValueError):
    """Base of all errors that the user can mend."""


class DefectError(CommuniqueError):
    """Raised where an input can't be read at all; carries the defects found."""

    def __init__(self, defects: Iterable[Defect]) -> None:
        self.defects: List[Defect] = list(defects)
        super().__init__("\n".join(map(str, self.defects)))


class ConfigError(CommuniqueError):
    """Raised for a config or a model folder that can't be used."""

    def __init__(self, message: str, *, file: Optional[str] = None) -> None:
        super().__init__(f"{file}: {message}" if file else message)


class Interrupted(CommuniqueError):
    """Raised in place of what a signal has cut short; ``exit_code`` is the shell's: 130 for Ctrl-C."""

    def __init__(self, signal: Signals, note: str) -> None:
        self.exit_code = 128 + signal
        super().__init__(f"interrupted by {signal.name}: {note}")
