"""Settings in sections: a config file's, on top of the defaults that ship, checked by a model of what may be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Type, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from thinc.api import Config

from .errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A section, or a model whose fields are sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def load_sections(
    model: Type[Model],
    defaults: Path,
    path: Optional[Path] = None,
    overrides: Optional[Mapping[str, Mapping[str, Any]]] = None,
    **extra: Any,
) -> Model:
    """The defaults, changed by a config file and then by ``overrides``, {section: {key: value}}; None changes nothing.

    extra: fields of the model that are no sections. Raises ConfigError that names file, section and key.
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
        return model.model_validate({**extra, **data})
    except ValidationError as err:
        raise ConfigError(_told(err, model), file=file) from err


def _read(path: Path) -> Dict[str, Any]:
    try:
        return dict(Config().from_disk(path))
    except OSError as err:
        raise ConfigError(f"can't be read: {err.strerror}", file=str(path)) from err
    except (ValueError, UnicodeDecodeError) as err:
        lines = [line.strip() for line in str(err).splitlines() if line.strip()]
        raise ConfigError(f"no config file: {' '.join(lines) or type(err).__name__}", file=str(path)) from err


def _told(error: ValidationError, model: Type[BaseModel]) -> str:
    found = error.errors(include_url=False)[0]
    section, *rest = (str(part) for part in found["loc"])
    key = ".".join(rest)
    if found["type"] == "extra_forbidden":
        known = _listed(model.model_fields[section].annotation.model_fields)  # type: ignore[union-attr]
        return f"[{section}] {key}: no such key; there are: {known}"
    message = found["msg"].replace("Input should be", "must be")
    return f"[{section}] {key}: {message}, not {found['input']!r}"


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))
