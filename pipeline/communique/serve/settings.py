"""What the service may be told: read from a config file, checked, and told apart from what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, List, Mapping, Optional

from pydantic import Field

from ..errors import ConfigError
from ..hosts import is_address
from ..settings import Section
from ..settings import load_settings as settings_of

NAME = re.compile(r"[0-9a-z_-]+(?:\.[0-9a-z_-]+)*\.?", re.I | re.A)
DEFAULTS = Path(__file__).with_name("serve.cfg")


class ModelSettings(Section):
    name: str = Field(min_length=1)


class ServerSettings(Section):
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    open: bool
    token_file: Optional[str]
    hosts: List[str]
    keep_alive_seconds: int = Field(ge=1)
    drain_seconds: float = Field(ge=0)
    grace_seconds: float = Field(gt=0)


class WorkerSettings(Section):
    count: Optional[int] = Field(ge=1)
    start_seconds: float = Field(gt=0)


class BatchSettings(Section):
    words: int = Field(ge=1)
    releases: int = Field(ge=1)
    window_ms: float = Field(ge=0)


class Limits(Section):
    body_bytes: int = Field(ge=1)
    header_bytes: int = Field(ge=1)
    releases: int = Field(ge=1)
    chars: int = Field(ge=1)
    queue: int = Field(ge=1)
    retry_seconds: int = Field(ge=1)
    connections: int = Field(ge=1)
    release_seconds: float = Field(gt=0)
    request_seconds: float = Field(gt=0)
    header_seconds: float = Field(gt=0)
    body_seconds: float = Field(gt=0)
    write_seconds: float = Field(gt=0)


class Settings(Section):
    """All of ``serve.cfg``, section by section. folder: what paths in it are relative to."""

    folder: Path = Path()
    model: ModelSettings
    server: ServerSettings
    workers: WorkerSettings
    batch: BatchSettings
    limits: Limits


def load_settings(path: Optional[Path] = None, overrides: Optional[Mapping[str, Mapping[str, Any]]] = None) -> Settings:
    """The defaults, changed by a config file and then by ``overrides``: see ``communique.settings``.

    Raises ConfigError that names file, section and key.
    """
    settings = settings_of(Settings, DEFAULTS, path, overrides, folder=path.parent if path else Path())
    _check(settings, str(path or DEFAULTS))
    return settings


def _check(settings: Settings, file: str) -> None:
    """What the type of a key alone can't say."""
    for name in settings.server.hosts:
        if not NAME.fullmatch(name) and not is_address(name):
            message = f"[server] hosts: write names without scheme, port or wildcard, not {name!r}"
            raise ConfigError(message, file=file)
    limits = settings.limits
    if limits.queue < limits.releases:
        raise ConfigError(f"[limits] queue: it must hold a whole request, {limits.releases} releases", file=file)
    if limits.request_seconds < limits.release_seconds:
        message = f"[limits] request_seconds: a request needs the time of one release, {limits.release_seconds:g}"
        raise ConfigError(message, file=file)
