"""Loads a pipeline and runs it over releases."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Callable, Deque, Generator, Iterable, Iterator, List, Optional, TypeVar, Union, cast

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..bridge import from_doc, get_schema, set_record
from ..components.onnx_encoder import OnnxEncoder
from ..errors import CommuniqueError, ConfigError, Defect
from ..release import Release
from .models import no_model, shipped_path

Item = Union[Release, Defect]
Made = TypeVar("Made")


def load_model(name: Union[str, Path], *, threads: Optional[int] = None) -> Language:
    """A pipeline by the name of a shipped model, a folder, or the name of an installed package.

    threads: how many threads its encoder may use, where it has one in ONNX Runtime; None for what its config says.
    Raises ConfigError where there is none, or it is none of ours.
    """
    try:
        nlp = spacy.load(shipped_path(name) or name)
        get_schema(nlp)
    except CommuniqueError as err:
        raise ConfigError(str(err), file=str(name)) from err
    except (OSError, ValueError, KeyError, ImportError) as err:
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise no_model(name, reason) from err
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
    return annotate_docs(nlp, items, lambda doc: from_doc(doc, key).confident(min_confidence), batch_size=batch_size)


def annotate_docs(
    nlp: Language, items: Iterable[Item], made: Callable[[Doc], Made], *, batch_size: Optional[int] = None
) -> Iterator[Union[Made, Defect]]:
    """What ``made`` makes of the doc of each release, in order; defects pass through, and so does what fails.

    A second batch is read before the first is done, so that an encoder with threads of its own always has something to
    do.
    """
    errors: List[Exception] = []
    source = _until_error(items, errors)
    ended = False
    while not ended:
        waiting: Deque[Item] = deque()
        docs = nlp.pipe(_docs(nlp, source, waiting), batch_size=batch_size or nlp.batch_size)
        ended = yield from _until_failure(docs, waiting, made)
        for item in waiting:  # one release must not cost the others: find out which one it is
            yield _alone(nlp, item, made) if isinstance(item, Release) else item
    for error in errors:
        raise error


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


def _until_error(items: Iterable[Item], errors: List[Exception]) -> Iterator[Item]:
    """The items. What reading them raises is kept for later: it is no failure of the model."""
    try:
        yield from items
    except Exception as error:
        errors.append(error)


def _docs(nlp: Language, source: Iterable[Item], waiting: Deque[Item]) -> Iterator[Doc]:
    """Docs of the releases; each item is noted as waiting when it is read."""
    for item in source:
        waiting.append(item)
        if isinstance(item, Release):
            yield _doc(nlp, item)


def _until_failure(
    docs: Iterator[Doc], waiting: Deque[Item], made: Callable[[Doc], Made]
) -> Generator[Union[Made, Defect], None, bool]:
    """What is done is taken from those that wait. Returns False where the model fails and some wait still."""
    while True:
        try:
            doc = next(docs, None)
            found = None if doc is None else made(doc)
        except Exception:
            if not waiting:
                raise
            return False
        while waiting and not isinstance(waiting[0], Release):
            yield cast(Defect, waiting.popleft())
        if found is None:
            return True
        waiting.popleft()
        yield found


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
