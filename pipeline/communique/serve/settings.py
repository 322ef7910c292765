"""What the service may be told: read from a config file, checked, and told apart from what it is."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from thinc.api import Config

from ..errors import ConfigError

DEFAULTS = Path(__file__).with_name("serve.cfg")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelSettings(_Section):
    name: str = Field(min_length=1)


class ServerSettings(_Section):
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    open: bool
    token_file: Optional[str]
    keep_alive_seconds: int = Field(ge=1)
    drain_seconds: float = Field(ge=0)
    grace_seconds: float = Field(gt=0)


class WorkerSettings(_Section):
    count: Optional[int] = Field(ge=1)
    start_seconds: float = Field(gt=0)


class BatchSettings(_Section):
    words: int = Field(ge=1)
    releases: int = Field(ge=1)
    window_ms: float = Field(ge=0)


class Limits(_Section):
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


class Settings(_Section):
    """All of ``serve.cfg``, section by section. folder: what paths in it are relative to."""

    folder: Path = Path()
    model: ModelSettings
    server: ServerSettings
    workers: WorkerSettings
    batch: BatchSettings
    limits: Limits


def load_settings(path: Optional[Path] = None, overrides: Optional[Mapping[str, Mapping[str, Any]]] = None) -> Settings:
    """The defaults, changed by a config file and then by ``overrides``, {section: {key: value}}; None changes nothing.

    Raises ConfigError that names file, section and key.
    """
    file = str(path or DEFAULTS)
    data: Dict[str, Dict[str, Any]] = {name: dict(section) for name, section in Config().from_disk(DEFAULTS).items()}
    for name, section in (_read(path) if path is not None else {}).items():
        if name not in data:
            raise ConfigError(f"[{name}]: no such section; there are: {_listed(data)}", file=file)
        if not isinstance(section, dict):
            raise ConfigError(f"{name}: it must stand in a section", file=file)
        data[name].update(section)
    for name, section in (overrides or {}).items():
        data[name].update({key: value for key, value in section.items() if value is not None})
    try:
        settings = Settings.model_validate({"folder": path.parent if path else Path(), **data})
    except ValidationError as err:
        raise ConfigError(_told(err, data), file=file) from err
    _check(settings, file)
    return settings


def _read(path: Path) -> Dict[str, Any]:
    try:
        return dict(Config().from_disk(path))
    except OSError as err:
        raise ConfigError(f"can't be read: {err.strerror}", file=str(path)) from err
    except (ValueError, UnicodeDecodeError) as err:
        lines = [line.strip() for line in str(err).splitlines() if line.strip()]
        raise ConfigError(f"no config file: {' '.join(lines) or type(err).__name__}", file=str(path)) from err


def _told(error: ValidationError, data: Mapping[str, Mapping[str, Any]]) -> str:
    found = error.errors(include_url=False)[0]
    section, *rest = (str(part) for part in found["loc"])
    key = ".".join(rest)
    if found["type"] == "extra_forbidden":
        known = _listed(Settings.model_fields[section].annotation.model_fields)  # type: ignore[union-attr]
        return f"[{section}] {key}: no such key; there are: {known}"
    message = found["msg"].replace("Input should be", "must be")
    return f"[{section}] {key}: {message}, not {found['input']!r}"


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))


def _check(settings: Settings, file: str) -> None:
    """What one key alone can't say."""
    limits = settings.limits
    if limits.queue < limits.releases:
        raise ConfigError(f"[limits] queue: it must hold a whole request, {limits.releases} releases", file=file)
    if limits.request_seconds < limits.release_seconds:
        message = f"[limits] request_seconds: a request needs the time of one release, {limits.release_seconds:g}"
        raise ConfigError(message, file=file)


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens at ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
