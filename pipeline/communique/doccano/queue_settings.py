"""What the queue may be told: read from a config file and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from thinc.api import Config

from ..errors import ConfigError

DEFAULTS = Path(__file__).with_name("queue.cfg")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Layers(_Section):
    entities: float = Field(ge=0)
    spans: float = Field(ge=0)
    relations: float = Field(ge=0)
    disagreement: float = Field(ge=0)


class Doubts(_Section):
    least: float = Field(gt=0, le=1)
    shown: int = Field(ge=0)


class Order(_Section):
    novelty: float = Field(ge=0, le=1)
    length: float = Field(ge=0, le=1)


class QueueSettings(_Section):
    """All of ``queue.cfg``, section by section."""

    layers: Layers
    doubts: Doubts
    order: Order


def load_settings(path: Optional[Path] = None) -> QueueSettings:
    """The defaults, changed by a config file.

    Raises ConfigError that names file, section and key.
    """
    file = str(path or DEFAULTS)
    data: Dict[str, Any] = {name: dict(section) for name, section in Config().from_disk(DEFAULTS).items()}
    for name, section in (_read(path) if path is not None else {}).items():
        if name not in data:
            raise ConfigError(f"[{name}]: no such section; there are: {', '.join(sorted(data))}", file=file)
        if not isinstance(section, dict):
            raise ConfigError(f"{name}: it must stand in a section", file=file)
        data[name].update(section)
    try:
        settings = QueueSettings.model_validate(data)
    except ValidationError as err:
        raise ConfigError(_told(err, data), file=file) from err
    layers = settings.layers
    if not layers.entities + layers.spans + layers.relations:
        raise ConfigError("[layers]: entities, spans and relations are all 0: give one a weight", file=file)
    return settings


def _read(path: Path) -> Dict[str, Any]:
    try:
        return dict(Config().from_disk(path))
    except OSError as err:
        raise ConfigError(f"can't be read: {err.strerror}", file=str(path)) from err
    except ValueError as err:
        lines = [line.strip() for line in str(err).splitlines() if line.strip()]
        raise ConfigError(f"no config file: {' '.join(lines) or type(err).__name__}", file=str(path)) from err


def _told(error: ValidationError, data: Dict[str, Any]) -> str:
    found = error.errors(include_url=False)[0]
    section, key = (str(part) for part in found["loc"][:2])
    if found["type"] == "extra_forbidden":
        known = sorted(set(data[section]) - {key})
        return f"[{section}] {key}: no such key; there are: {', '.join(known)}"
    message = found["msg"].replace("Input should be", "must be")
    return f"[{section}] {key}: {message}, not {found['input']!r}"
