"""Loads a pipeline and runs it over releases."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, TypeVar, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..bridge import from_doc, get_schema, set_record
from ..components.onnx_encoder import OnnxEncoder
from ..errors import CommuniqueError, ConfigError, Defect
from ..release import Release

Item = Union[Release, Defect]
Made = TypeVar("Made")


def shipped_models() -> List[str]:
    """Names of the models inside the package."""
    root = Path(str(files("communique"))) / "models"
    return sorted(p.name for p in root.iterdir() if (p / "meta.json").exists()) if root.is_dir() else []


def load_model(name: Union[str, Path], *, threads: Optional[int] = None) -> Language:
    """A pipeline by the name of a shipped model, a folder, or the name of an installed package.

    threads: how many threads its encoder may use, where it has one in ONNX Runtime; None for what its config says.
    Raises ConfigError where there is none, or it is none of ours.
    """
    shipped = Path(str(files("communique"))) / "models" / str(name)
    path: Any = shipped if str(name) in shipped_models() else name
    try:
        nlp = spacy.load(path)
        get_schema(nlp)
    except CommuniqueError as err:
        raise ConfigError(str(err), file=str(name)) from err
    except (OSError, ValueError, KeyError, ImportError) as err:
        known = ", ".join(shipped_models()) or "none"
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise ConfigError(f"no model to load ({reason}); shipped with the package: {known}", file=str(name)) from err
    if threads is not None:
        for _, pipe in nlp.pipeline:
            if isinstance(pipe, OnnxEncoder):
                pipe.threads = threads
    return nlp


def annotate(
    nlp: Language, items: Iterable[Item], *, batch_size: Optional[int] = None, min_confidence: float = 0.0
) -> Iterator[Item]:
    """Annotated releases, in order; defects pass through. A release on which the model fails becomes a defect.

    What is less certain than ``min_confidence`` is left out: see ``Release.confident``.
    """
    key = get_schema(nlp).span_key
    size = batch_size or nlp.batch_size
    stream = iter(items)
    while batch := list(islice(stream, size)):
        good = [item for item in batch if isinstance(item, Release)]
        done = iter(annotate_batch(nlp, good, partial(from_doc, key=key)))
        for item in batch:
            found = next(done) if isinstance(item, Release) else item
            yield found.confident(min_confidence) if isinstance(found, Release) else found


def annotate_bare(nlp: Language, gold: Iterable[Release]) -> List[Release]:
    """What a pipeline finds in the texts of gold releases, in their order.

    Raises CommuniqueError where the model fails on a release.
    """
    predicted = []
    for item in annotate(nlp, (Release(r.id, r.text, r.title, r.date, r.source) for r in gold)):
        if not isinstance(item, Release):
            raise CommuniqueError(str(item))
        predicted.append(item)
    return predicted


def annotate_batch(
    nlp: Language, releases: Sequence[Release], made: Callable[[Doc], Made]
) -> List[Union[Made, Defect]]:
    """What ``made`` makes of the annotated doc of each release of a batch; a defect where that or the model fails."""
    try:
        return [made(doc) for doc in nlp.pipe([_doc(nlp, r) for r in releases])]
    except Exception:  # one release must not cost the others: find out which one it is
        return [_alone(nlp, release, made) for release in releases]


def _alone(nlp: Language, release: Release, made: Callable[[Doc], Made]) -> Union[Made, Defect]:
    try:
        return made(nlp(_doc(nlp, release)))
    except Exception as err:
        message = f"{release.id}: the model failed: {type(err).__name__}: {err}"
        return Defect(release.id, 0, 0, "model", message, "please report it with the release")


def _doc(nlp: Language, release: Release) -> Doc:
    doc = nlp.make_doc(release.text)
    set_record(doc, release)
    return doc


def counted(
    items: Iterable[Item], on_defect: Callable[[Defect], None], on_release: Callable[[Release], None]
) -> Iterator[Release]:
    """Releases only; each item is reported on its way."""
    for item in items:
        if isinstance(item, Defect):
            on_defect(item)
        else:
            on_release(item)
            yield item
