"""Gold releases as exchange JSONL, as markup and as spaCy's DocBin, and from one to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Set, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from thinc.api import Config

from ..bridge import from_doc, to_doc
from ..errors import CommuniqueError, Defect, DefectError
from ..release import Release
from ..schema import Schema
from . import markup
from .markup import Parsed

Paths = Iterable[Union[str, Path]]


def read_markup(paths: Paths) -> Tuple[List[Parsed], List[Defect]]:
    """Parsed releases of markup files and folders of them, and the defects of those that can't be read."""
    parsed: List[Parsed] = []
    defects: List[Defect] = []
    for file in markup_files(paths):
        try:
            parsed.append(markup.read_file(file))
        except DefectError as err:
            defects += err.defects
        except OSError as err:
            defects.append(Defect(str(file), 0, 0, "unreadable", err.strerror or str(err), "check the name"))
    return parsed, defects


def markup_files(paths: Paths) -> List[Path]:
    """All ``.txt`` files of the paths, folders searched, in order."""
    out: List[Path] = []
    for path in map(Path, paths):
        out += sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    return out


def read_gold(paths: Paths) -> List[Release]:
    """Gold releases of markup files, folders of them, and JSONL files.

    Raises DefectError with every defect of every file.
    """
    releases: List[Release] = []
    defects: List[Defect] = []
    for path in map(Path, paths):
        if path.suffix == ".jsonl":
            found, wrong = read_jsonl(path)
            releases += found
            defects += wrong
        else:
            parsed, wrong = read_markup([path])
            releases += [p.release.canonical() for p in parsed]
            defects += wrong
    if defects:
        raise DefectError(defects)
    return releases


def read_jsonl(path: Union[str, Path]) -> Tuple[List[Release], List[Defect]]:
    """Releases of an exchange file and the defects of its bad lines."""
    releases, defects = read_lines(path)
    return [release for _, release in releases], defects


def read_lines(path: Union[str, Path]) -> Tuple[List[Tuple[int, Release]], List[Defect]]:
    """The same with the line, counted from 1, on which each release stands."""
    releases: List[Tuple[int, Release]] = []
    defects: List[Defect] = []
    try:
        lines = Path(path).read_bytes().decode("utf8").split("\n")
    except OSError as err:
        return [], [Defect(str(path), 0, 0, "unreadable", err.strerror or str(err), "check the name")]
    except UnicodeDecodeError as err:
        return [], [Defect(str(path), 0, 0, "encoding", f"no UTF-8 at byte {err.start}", "save it as UTF-8")]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            releases.append((number, Release.from_dict(json.loads(line))))
        except ValueError as err:
            defects.append(
                Defect(str(path), number, 0, "record", str(err), "see the exchange format in docs/formats.md")
            )
    return releases, defects


def unique_ids(releases: List[Release]) -> List[Release]:
    """The releases. Raises CommuniqueError where two have the same id, by which predictions are matched to the gold."""
    seen: Set[str] = set()
    for release in releases:
        if release.id in seen:
            raise CommuniqueError(f"{release.id}: this id stands twice in the gold: give each record one of its own")
        seen.add(release.id)
    return releases


def write_jsonl(path: Union[str, Path], releases: Iterable[Release]) -> None:
    with Path(path).open("w", encoding="utf8", newline="\n") as stream:
        for release in releases:
            stream.write(json.dumps(release.to_dict(), ensure_ascii=False) + "\n")


def write_markup(folder: Union[str, Path], releases: Iterable[Release]) -> None:
    """One file a release, named after its id."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for release in releases:
        if not release.id or release.id in (".", "..") or any(c in release.id for c in "/\\\0"):
            raise CommuniqueError(f"{release.id!r} can't be a file name: mend the release's id")
        (root / f"{release.id}.txt").write_bytes(markup.write(release).encode("utf8"))


def to_docbin(releases: Iterable[Release], make_doc: Callable[[str], Doc], schema: Schema) -> DocBin:
    """Gold Docs for ``spacy train``. Raises CommuniqueError where a span is off the token boundaries."""
    return DocBin(docs=(to_doc(r.canonical(), make_doc, schema) for r in releases), store_user_data=True)


def from_docbin(path: Union[str, Path], nlp: Language, schema: Schema) -> Iterator[Release]:
    """Releases of a ``.spacy`` file that ``to_docbin`` made."""
    for doc in DocBin().from_disk(path).get_docs(nlp.vocab):
        yield from_doc(doc, schema.span_key)


def load_tokenizer(config: Union[str, Path]) -> Tuple[Language, Any]:
    """A pipeline with nothing but the tokenizer of a config, and the config."""
    from spacy.util import load_config

    from ..errors import ConfigError

    try:
        full = load_config(config, interpolate=False)
        return tokenizer_language(full), full.interpolate()
    except (OSError, ValueError) as err:
        raise ConfigError(f"can't read the config: {err}", file=str(config)) from err


def tokenizer_language(config: Config) -> Language:
    """A pipeline with nothing but the tokenizer of a config that was read without interpolation."""
    from spacy.util import load_model_from_config

    small = config.copy()
    small["nlp"]["pipeline"] = []
    for section in ("components", "corpora", "training", "initialize", "pretraining"):
        small.pop(section, None)
    return load_model_from_config(small.interpolate(), auto_fill=True)
