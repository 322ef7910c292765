"""What push and pull may be told: read from a config file and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from pydantic import Field, field_validator

from ..settings import Section, load_settings

DEFAULTS = Path(__file__).with_name("doccano.cfg")
COLOUR = r"^#[0-9a-fA-F]{6}$"


class ServerOptions(Section):
    url: str = Field(min_length=1)
    plain_http: bool
    connect_seconds: float = Field(gt=0)
    answer_seconds: float = Field(gt=0)
    task_seconds: int = Field(ge=1)
    tries: int = Field(ge=1)
    retry_seconds: float = Field(ge=0)
    page: int = Field(ge=1)


class ClientOptions(Section):
    python: str = Field(min_length=1)
    stop_seconds: float = Field(gt=0)


class PushOptions(Section):
    piece: int = Field(ge=1)
    chars: int = Field(ge=1)
    line_bytes: int = Field(ge=1)
    rounds: int = Field(ge=1)
    min_confidence: float = Field(ge=0, le=1)


class ProjectOptions(Section):
    description: str = Field(min_length=1)
    guideline: Optional[str]


class ColourOptions(Section):
    hue: float
    saturation: float = Field(ge=0, le=1)
    entity_lightness: float = Field(ge=0, le=1)
    span_lightness: float = Field(ge=0, le=1)
    relation_lightness: float = Field(ge=0, le=1)
    dark_text: float = Field(ge=0, le=1)
    light: str = Field(pattern=COLOUR)
    dark: str = Field(pattern=COLOUR)
    keys: str = Field(pattern=r"^[0-9a-z]*$")
    fixed: Dict[str, str]

    @field_validator("keys")
    @classmethod
    def _once(cls, value: str) -> str:
        if len(set(value)) < len(value):
            raise ValueError("a key stands twice")
        return value

    @field_validator("fixed")
    @classmethod
    def _colours(cls, value: Dict[str, str]) -> Dict[str, str]:
        for name, colour in value.items():
            if len(colour) != 7 or colour[0] != "#" or not all(c in "0123456789abcdefABCDEF" for c in colour[1:]):
                raise ValueError(f"{name}: write a colour as #1f77b4")
        return value


class Options(Section):
    """All of ``doccano.cfg``, section by section."""

    server: ServerOptions
    client: ClientOptions
    push: PushOptions
    project: ProjectOptions
    colours: ColourOptions


def load_options(path: Optional[Path] = None, overrides: Optional[Mapping[str, Mapping[str, Any]]] = None) -> Options:
    """The defaults, changed by a config file and then by ``overrides``, {section: {key: value}}; None changes nothing.

    Raises ConfigError that names file, section and key.
    """
    return load_settings(Options, DEFAULTS, path, overrides)
