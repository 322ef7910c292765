"""Finds the modules of this package that running a pipeline takes, and the packages that they import."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path
from sys import stdlib_module_names
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, Set, Tuple, Union

from spacy.language import Language
from spacy.util import registry

from ..errors import ConfigError

ROOT = __name__.partition(".")[0]
FOLDER = Path(__file__).parent.parent
WITH_SPACY = frozenset({"spacy", "spacy_legacy", "spacy_loggers", "thinc"})
LOADED = ("nlp", "components")  # the sections of a config that loading a pipeline resolves
Name = Tuple[str, str]


@dataclass(frozen=True)
class Closure:
    """What a pipeline needs of this package.

    names: (registry, name) of all that the config uses, by the module that registers it, relative to the package.
    modules: all modules to take along, relative to the package, packages too. needed: import names of others' packages
    that are imported with them. optional: of those that are imported inside functions only.
    """

    names: Mapping[str, Tuple[Name, ...]]
    modules: Tuple[str, ...]
    needed: FrozenSet[str]
    optional: FrozenSet[str]

    def files(self) -> Iterator[Path]:
        """Files to take along, relative to the package: modules, and data in the packages among them."""
        for module in self.modules:
            path = source(module).relative_to(FOLDER)
            yield path
            if path.name == "__init__.py":
                yield from (f.relative_to(FOLDER) for f in _data(FOLDER / path.parent))


def closure_of(nlp: Language) -> Closure:
    """What a pipeline needs of this package. Raises ConfigError where it uses code of packages that are not spaCy's."""
    names: Dict[str, List[Name]] = {}
    for kind, name in sorted(set(registered_names(nlp.config))):
        module = _registrant(nlp, kind, name)
        if module.partition(".")[0] == ROOT:
            names.setdefault(module.partition(".")[2], []).append((kind, name))
        else:
            check_carried(module, f"{name} ({kind})")
    for name, pipe in nlp.components:  # a function's factory is spaCy's own
        check_carried(str(getattr(pipe, "__module__", None) or type(pipe).__module__), name)
    found = _Found()
    for module in names:
        found.follow(module)
    modules = tuple(sorted(found.modules))
    return Closure(
        {m: tuple(n) for m, n in names.items()}, modules, frozenset(found.top), frozenset(found.inner - found.top)
    )


def check_carried(module: str, what: str) -> None:
    """Raises ConfigError for a module that is neither ours nor comes with spaCy."""
    package = module.partition(".")[0]
    if package != ROOT and package not in WITH_SPACY:
        hint = f"; {ROOT} export onnx makes a pipeline without it" if package == "spacy_transformers" else ""
        raise ConfigError(f"{what} needs {package}, which a wheel of ours does not carry{hint}")


def registered_names(config: Mapping[str, Any]) -> Iterator[Name]:
    """(registry, name) of all that loading a pipeline looks up."""
    for component in config["components"].values():
        yield "factories", component["factory"]
    for section in LOADED:
        yield from _references(config[section])


def _references(value: Any) -> Iterator[Name]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if str(key).startswith("@"):
                yield str(key)[1:], str(inner)
            yield from _references(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _references(inner)


def _registrant(nlp: Language, kind: str, name: str) -> str:
    """The module whose function is registered under a name."""
    own = nlp.get_factory_name(name)  # some languages have factories of their own
    function = registry.get(kind, own if kind == "factories" and registry.has(kind, own) else name)
    return str(getattr(function, "__module__", None) or type(function).__module__)


def source(module: str) -> Path:
    """The file of a module, named relative to the package; "" is the package itself."""
    path = FOLDER.joinpath(*module.split(".")) if module else FOLDER
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _data(folder: Path) -> Iterable[Path]:
    return sorted(f for f in folder.iterdir() if f.is_file() and f.suffix not in (".py", ".pyc"))


class _Found:
    """Modules that were reached, and the packages of others that they import: on import, and inside functions."""

    def __init__(self) -> None:
        self.modules: Set[str] = set()
        self.top: Set[str] = set()
        self.inner: Set[str] = set()

    def follow(self, module: str) -> None:
        """Take a module along, the packages around it, and what they import."""
        if not module or module in self.modules:
            return
        self.modules.add(module)
        self.follow(module.rpartition(".")[0])
        visitor = _Imports(module)
        visitor.visit(ast.parse(source(module).read_text("utf8")))
        self.top |= visitor.top
        self.inner |= visitor.inner
        for other in visitor.ours:
            self.follow(other)


class _Imports(ast.NodeVisitor):
    """The imports of one module."""

    def __init__(self, module: str) -> None:
        self.module = module
        package = module if source(module).name == "__init__.py" else module.rpartition(".")[0]
        self.package = f"{ROOT}.{package}".rstrip(".")
        self.ours: Set[str] = set()
        self.top: Set[str] = set()
        self.inner: Set[str] = set()
        self._depth = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._theirs(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level:
            return self._theirs(str(node.module))
        base = resolve_name("." * node.level + (node.module or ""), self.package).partition(".")[2]
        self.ours.add(base)
        inside = (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
        self.ours.update(module for module in inside if source(module).exists())

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: Union[ast.FunctionDef, ast.AsyncFunctionDef]) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def _theirs(self, module: str) -> None:
        name = module.partition(".")[0]
        if name == ROOT:
            raise ConfigError(
                f"imports {module} by its full name; a wheel carries relative imports only", file=self.module
            )
        if name not in stdlib_module_names:
            (self.inner if self._depth else self.top).add(name)
