"""Packs a pipeline and the code that runs it into a wheel, which other services install with pip alone."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires
from importlib.metadata import files as installed_files
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional

import srsly
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from spacy.language import Language
from spacy.schemas import ModelMetaSchema, validate

from .. import __version__
from ..annotate.run import load_model
from ..errors import CommuniqueError, ConfigError
from ..training import trim_strings
from .card import description_of
from .closure import FOLDER, ROOT, Closure, check_carried, closure_of

NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
SAID = ("description", "author", "email", "url", "license", "sources", "notes")
TEMPLATE = Path(__file__).parent / "template"


def export_wheel(
    model: str,
    output: Path,
    *,
    name: Optional[str] = None,
    version: Optional[str] = None,
    meta_file: Optional[Path] = None,
) -> Path:
    """Build the wheel of a pipeline, and return its path in the folder ``output``. Nothing is downloaded for it.

    model: as ``load_model`` takes it. name: of the pipeline, without its language; version: of the wheel, by PEP 440.
    meta_file: JSON with what the pipeline's meta does not say of itself, of the keys ``SAID``.

    Raises ConfigError where the pipeline can't be loaded, needs code that the wheel can't carry, or what is said of it
    is invalid, and CommuniqueError where the tools that build wheels are missing or fail.
    """
    _check_tools()
    code_license()  # says so where there is no installed package to take code and requirements from
    said = read_said(meta_file) if meta_file is not None else {}
    label = checked_version(__version__ if version is None else version)
    if name is not None:
        checked_name(name)
    nlp = load_model(model)
    lang = str(nlp.lang)
    title = checked_name(name or default_name(model, lang), lang)
    try:
        closure = closure_of(nlp)
        requirements = requirements_of(closure, str(nlp.meta["spacy_version"]))
    except ConfigError as err:
        raise ConfigError(str(err), file=model) from err
    extra = {**said, "name": title, "version": label}
    extra["requirements"] = [str(r) for r in requirements if r.name != "spacy"]
    with tempfile.TemporaryDirectory() as place:
        project = Path(place) / "project"
        _write_project(project, nlp, closure, requirements, extra)
        return _build(project, output)


def default_name(model: str, lang: str) -> str:
    """``communique_`` and the model's name, or its folder's."""
    base = Path(model).resolve().name if Path(model).exists() else model
    base = base.removeprefix(f"{lang}_").removeprefix(f"{ROOT}_")
    return f"{ROOT}_{base}"


def checked_name(name: str, lang: str = "") -> str:
    """The name itself. Raises ConfigError where a package can't be called by it, language and "_" before it."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} can't be a package's name: --name takes small letters, digits and single _ between them"
        )
    if lang and name.startswith(f"{lang}_"):
        raise ConfigError(
            f"{name!r} has the language in it, which comes before it by itself: --name {name[len(lang) + 1 :]}"
        )
    return name


def checked_version(version: str) -> str:
    """The version in its normal form. Raises ConfigError where it is none of PEP 440."""
    try:
        return str(Version(version))
    except InvalidVersion as err:
        raise ConfigError(f"{version!r} is no version: write one such as 1.0.0 or 1.0.0rc1 (PEP 440)") from err


def read_said(file: Path) -> Dict[str, Any]:
    """What people say of a pipeline: licence, author, sources and so on. Raises ConfigError where it can't be used."""
    try:
        said = srsly.read_json(file)
    except (OSError, ValueError) as err:
        raise ConfigError(f"no JSON to read: {err}", file=str(file)) from err
    if not isinstance(said, dict):
        raise ConfigError("write one JSON object", file=str(file))
    if unknown := sorted(set(said) - set(SAID)):
        raise ConfigError(f"unknown key {unknown[0]!r}; known: {', '.join(SAID)}", file=str(file))
    if wrong := validate(ModelMetaSchema, {"lang": "xx", "name": "x", "version": "0", **said}):
        raise ConfigError("; ".join(wrong), file=str(file))
    license_of(said, file=str(file))
    return said


def license_of(meta: Mapping[str, Any], *, file: Optional[str] = None) -> str:
    """SPDX expression of what is in a wheel: our code, the pipeline, and what that was made from.

    Raises ConfigError for a licence that SPDX doesn't know.
    """
    found = [code_license(), meta.get("license")]
    found += [s.get("license") for s in meta.get("sources") or [] if isinstance(s, dict)]
    terms: List[str] = []
    for licence in filter(None, found):
        try:
            terms.append(canonicalize_license_expression(licence))
        except InvalidLicenseExpression as err:
            raise ConfigError(f"{licence!r} is no licence by SPDX, such as MIT or Apache-2.0", file=file) from err
    return " AND ".join(f"({t})" if " OR " in t else t for t in dict.fromkeys(terms))


def code_license() -> str:
    """The licence that the installed package declares. Raises ConfigError where it isn't installed."""
    try:
        about = metadata(ROOT).json
    except PackageNotFoundError as err:
        raise ConfigError(f"{ROOT} is on the path, but not installed: pip install it, for what it requires") from err
    return str(about.get("license_expression") or about["license"])


def base_requirements() -> Dict[str, Requirement]:
    """What the base install of the package requires, by canonical name."""
    declared = (Requirement(line) for line in requires(ROOT) or ())
    base = (r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""}))
    return {canonicalize_name(r.name): r for r in base}


def requirements_of(closure: Closure, spacy_version: str) -> List[Requirement]:
    """What a pipeline's wheel requires: what its code imports, as this package declares it; spaCy of the version that
    the pipeline was trained with.

    Raises ConfigError where its code imports something that the base install doesn't have.
    """
    base = base_requirements()
    providers = packages_distributions()
    found: Dict[str, Requirement] = {}
    for module in sorted(closure.needed | closure.optional):
        declared = [r for d in providers.get(module, [module]) if (r := base.get(canonicalize_name(d)))]
        if not declared and module in closure.needed:
            check_carried(module, "the pipeline")
        found.update({r.name: r for r in declared})
    try:
        found["spacy"].specifier &= SpecifierSet(spacy_version)
    except InvalidSpecifier as err:
        raise ConfigError(f"spacy_version {spacy_version!r} in its meta is no version specifier") from err
    return [found[name] for name in sorted(found)]


def _write_project(
    project: Path, nlp: Language, closure: Closure, requirements: Iterable[Requirement], extra: Mapping[str, Any]
) -> None:
    """A folder that a build backend makes the wheel of."""
    title = f"{nlp.lang}_{extra['name']}"
    package = project / title
    data = package / f"{title}-{extra['version']}"
    shutil.copytree(TEMPLATE, package, ignore=shutil.ignore_patterns("__pycache__"))
    nlp.to_disk(data)
    trim_strings(data)
    meta = {**srsly.read_json(data / "meta.json"), **extra}
    for folder in (data, package):
        srsly.write_json(folder / "meta.json", meta)
    _write_runtime(package / "runtime", closure)
    (project / "LICENSE").write_text(_own_license(), "utf8")
    has_facts = any(nlp.get_pipe_meta(name).factory == "communique_facts" for name in nlp.pipe_names)
    card = description_of(meta, __version__, code_license(), has_facts=has_facts)
    (project / "README.md").write_text(card, "utf8")
    (project / "pyproject.toml").write_text(_pyproject(title, meta, requirements), "utf8")


def _write_runtime(folder: Path, closure: Closure) -> None:
    """The modules that run the pipeline, and which names each of them registers."""
    for file in closure.files():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FOLDER / file, folder / file)
    modules = [m for m in closure.modules if not (FOLDER.joinpath(*m.split("."))).is_dir()]
    manifest = {"version": __version__, "names": closure.names, "modules": modules}
    srsly.write_json(folder / "manifest.json", manifest)


def _own_license() -> str:
    found = [f for f in installed_files(ROOT) or () if f.name == "LICENSE"]
    if not found:
        raise ConfigError(f"the installed {ROOT} has no LICENSE to take along: install it anew")
    return found[0].read_text("utf8")


def _pyproject(title: str, meta: Mapping[str, Any], requirements: Iterable[Requirement]) -> str:
    import tomli_w

    author = {key: meta[of] for key, of in (("name", "author"), ("email", "email")) if meta.get(of)}
    project = {
        "name": title,
        "version": meta["version"],
        "description": " ".join(str(meta.get("description", "")).split()),
        "readme": "README.md",
        "requires-python": metadata(ROOT)["Requires-Python"],
        "license": license_of(meta),
        "license-files": ["LICENSE"],
        "authors": [author] if author else [],
        "dependencies": [str(r) for r in requirements],
        "urls": {"Homepage": meta["url"]} if meta.get("url") else {},
        "entry-points": {"spacy_models": {title: title}},
    }
    # what git ignores where the temporary folder happens to be must not be left out
    hatch = {"ignore-vcs": True, "targets": {"wheel": {"packages": [title]}}}
    build = {"requires": ["hatchling"], "build-backend": "hatchling.build"}
    return tomli_w.dumps({"build-system": build, "project": project, "tool": {"hatch": {"build": hatch}}})


def _check_tools() -> None:
    """Raises CommuniqueError where something is missing that only the extra installs."""
    for tool in ("build", "hatchling", "tomli_w"):
        try:
            import_module(tool)
        except ImportError as err:
            raise CommuniqueError(f"building a wheel needs the extra [wheel]: pip install '{ROOT}[wheel]'") from err


def _build(project: Path, output: Path) -> Path:
    """Have the wheel built, and put it whole into its folder."""
    from build import BuildBackendException, ProjectBuilder
    from pyproject_hooks import quiet_subprocess_runner

    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".wheel-") as place:
        try:
            built = Path(ProjectBuilder(project, runner=quiet_subprocess_runner).build("wheel", place))
        except BuildBackendException as err:
            said = getattr(err.exception, "output", b"") or b""
            raise CommuniqueError(f"the wheel can't be built: {err}\n{said.decode('utf8', 'replace')}".strip()) from err
        return built.replace(output / built.name)
