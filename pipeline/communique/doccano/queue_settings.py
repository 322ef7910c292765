"""What the queue may be told: read from a config file and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from pydantic import Field

from ..errors import ConfigError
from ..settings import Section
from ..settings import load_settings as settings_of

DEFAULTS = Path(__file__).with_name("queue.cfg")


class Layers(Section):
    entities: float = Field(ge=0)
    spans: float = Field(ge=0)
    relations: float = Field(ge=0)
    disagreement: float = Field(ge=0)


class Doubts(Section):
    least: float = Field(gt=0, le=1)
    shown: int = Field(ge=0)


class Order(Section):
    novelty: float = Field(ge=0, le=1)
    length: float = Field(ge=0, le=1)


class Limits(Section):
    chars: int = Field(ge=1)
    line_bytes: int = Field(ge=1)


class QueueSettings(Section):
    """All of ``queue.cfg``, section by section."""

    layers: Layers
    doubts: Doubts
    order: Order
    limits: Limits


def load_settings(path: Optional[Path] = None) -> QueueSettings:
    """The defaults, changed by a config file.

    Raises ConfigError that names file, section and key.
    """
    settings = settings_of(QueueSettings, DEFAULTS, path)
    layers = settings.layers
    if not layers.entities + layers.spans + layers.relations:
        message = "[layers]: entities, spans and relations are all 0: give one a weight"
        raise ConfigError(message, file=str(path or DEFAULTS))
    return settings
