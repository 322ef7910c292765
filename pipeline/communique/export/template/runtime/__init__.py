"""The inference code of the pipeline beside it, taken from the package communique. ``__version__`` is communique's."""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from types import ModuleType
from typing import Dict, Iterable, List, Optional, Sequence

from spacy.util import registry

MANIFEST = json.loads((files(__name__) / "manifest.json").read_text("utf8"))
__version__: str = MANIFEST["version"]


def register() -> None:
    """Make the names known that the pipeline's config uses.

    What an installed communique or another pipeline's package has registered stays as it is, and its modules stand for
    those of this package: spaCy takes a factory from one place only, and a process must not have two classes of a kind.
    Warns where that code is of another version than the pipeline was packaged with.
    """
    names: Dict[str, List[List[str]]] = MANIFEST["names"]
    owners = {module: _owner(wanted) for module, wanted in names.items()}
    missing = [module for module, owner in owners.items() if owner is None]
    others = sorted({owner for owner in owners.values() if owner is not None and owner != __name__})
    for other in others:
        _compare(other)
    _share((module for module in MANIFEST["modules"] if module not in missing), others)
    for module in missing:
        import_module(f"{__name__}.{module}")


def _owner(names: Iterable[Sequence[str]]) -> Optional[str]:
    """The package whose code has registered these names, or None where one of them is not registered."""
    owner = None
    for kind, name in names:
        if kind == "factories":  # the registry itself looks up the entry points of all other kinds
            for entry in entry_points(group="spacy_factories", name=name):
                entry.load()
        if not registry.has(kind, name):
            return None
        owner = _package(registry.get(kind, name).__module__)
    return owner


def _package(module: str) -> str:
    """The package around a module that has a version: this one, its like in another wheel, or communique."""
    while "." in module and not hasattr(sys.modules[module], "__version__"):
        module = module.rpartition(".")[0]
    return module


def _compare(owner: str) -> None:
    found = getattr(sys.modules[owner], "__version__", "unknown")
    if found != __version__:
        pipeline = __name__.partition(".")[0]
        warnings.warn(
            f"{pipeline} was packaged with communique {__version__}, but runs on the code of {owner}, which is of "
            f"version {found}: results may differ. Install packages of one version",
            stacklevel=3,  # so that a filter can name the package
        )


def _share(modules: Iterable[str], owners: Iterable[str]) -> None:
    """Put the modules of packages that have registered names in the places of this package's own."""
    for module in modules:
        for owner in owners:
            if _exists(f"{owner}.{module}"):
                _put(f"{__name__}.{module}", import_module(f"{owner}.{module}"))
                break


def _put(name: str, module: ModuleType) -> None:
    sys.modules[name] = module
    package, _, attribute = name.rpartition(".")
    setattr(import_module(package), attribute, module)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False
