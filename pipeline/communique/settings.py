"""Settings of a command: the defaults beside its code, changed by a config file, then by options; all checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Type, TypeVar

from confection import Config
from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigError


class Section(BaseModel):
    """Keys that stand under one ``[name]``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def load_settings(
    kind: Type[S],
    defaults: Path,
    path: Optional[Path] = None,
    overrides: Optional[Mapping[str, Mapping[str, Any]]] = None,
    **known: Any,
) -> S:
    """Settings of a ``kind`` that has a field for each section.

    defaults: a config file with all sections and keys. path: a file of the user's with what it changes. overrides:
    {section: {key: value}}, which go before both; None changes nothing. known: fields that are no sections.

    Raises ConfigError that names file, section and key.
    """
    file = str(path or defaults)
    data: Dict[str, Dict[str, Any]] = {name: dict(section) for name, section in Config().from_disk(defaults).items()}
    for name, section in (_read(path) if path is not None else {}).items():
        if name not in data:
            raise ConfigError(f"[{name}]: no such section; there are: {_listed(data)}", file=file)
        if not isinstance(section, dict):
            raise ConfigError(f"{name}: it must stand in a section", file=file)
        data[name].update(section)
    for name, section in (overrides or {}).items():
        data[name].update({key: value for key, value in section.items() if value is not None})
    try:
        return kind.model_validate({**known, **data})
    except ValidationError as err:
        raise ConfigError(_told(err, kind), file=file) from err


def _read(path: Path) -> Dict[str, Any]:
    try:
        return dict(Config().from_disk(path))
    except OSError as err:
        raise ConfigError(f"can't be read: {err.strerror}", file=str(path)) from err
    except (ValueError, UnicodeDecodeError) as err:
        lines = [line.strip() for line in str(err).splitlines() if line.strip()]
        raise ConfigError(f"no config file: {' '.join(lines) or type(err).__name__}", file=str(path)) from err


def _told(error: ValidationError, kind: Type[Section]) -> str:
    found = error.errors(include_url=False)[0]
    section, *rest = (str(part) for part in found["loc"])
    key = ".".join(rest)
    if found["type"] == "extra_forbidden":
        known = _listed(kind.model_fields[section].annotation.model_fields)  # type: ignore[union-attr]
        return f"[{section}] {key}: no such key; there are: {known}"
    message = found["msg"].replace("Input should be", "must be")
    return f"[{section}] {key}: {message}, not {found['input']!r}"


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))
