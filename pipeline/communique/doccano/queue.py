"""What to annotate next: the releases from which the model would learn most, so that no two of them teach the same.

A release counts by the errors that the model expects in its own annotation (see ``doubts``) and by what two models find
differently, which is query by committee (Seung, Opper and Sompolinsky 1992) with the F-complement as its measure (Ngai
and Yarowsky 2000), in numbers of things instead of as a ratio. The queue is drawn up one release at a time, as with
maximal marginal relevance (Carbonell and Goldstein 1998): what is like a release of the corpus, or like one that stands
in the queue already, counts for less. Likeness discounts by a factor here, since errors have no upper limit to weigh it
against.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from math import fsum
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeAlias, Union

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..annotate.run import annotate_docs, load_model
from ..bridge import from_doc, get_schema
from ..corpus.duplicates import WORD
from ..errors import CommuniqueError, Defect
from ..evaluate.metrics import score_releases
from ..release import Release
from ..schema import Schema
from .doubts import ENTITIES, LAYERS, RELATIONS, SPANS, Doubt, doubts
from .likeness import word_vectors
from .queue_settings import QueueSettings

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
META = "queue"
DIGITS = 6  # so that the last bits of a sum, which depend on the machine, decide no order


@dataclass(frozen=True)
class Reading:
    """What one or two models make of a release. errors: how many the first expects in each layer. differences: how many
    things of each layer only one of the two finds, empty with one model."""

    release: Release
    words: int
    errors: Mapping[str, float]
    differences: Mapping[str, float]
    doubts: Sequence[Doubt] = ()


@dataclass(frozen=True)
class Place:
    """A release in the queue. score: what it counted when it was chosen. learn: the same before likeness and cost, 1
    for the mean of all. likeness: the cosine with the most similar release, ``like``, of corpus and queue."""

    reading: Reading
    score: float
    learn: float
    likeness: float
    like: Optional[str]


def committee(nlp: Language, model: str, second: str) -> Language:
    """The second model, to be compared with the first. Raises CommuniqueError where that can't be done."""
    if model == second:
        raise CommuniqueError(f"--second {second}: that is the first model: name another one, or say --alone")
    other = load_model(second)
    if get_schema(other).labels != get_schema(nlp).labels:
        message = f"--second {second}: its labels are not those of {model}: name another model, or say --alone"
        raise CommuniqueError(message)
    return other


def unannotated(releases: Iterable[Release], corpus: Sequence[Release]) -> Tuple[List[Release], Dict[str, str]]:
    """The releases that the corpus does not hold, in the order of their ids, and {id: why} for those left out.

    A text is the same whatever blanks and line breaks it has.
    """
    ids = {r.id for r in corpus}
    texts = {_plain(r.text): f"the corpus has this text as {r.id}" for r in _by_id(corpus)[::-1]}
    kept: List[Release] = []
    left: Dict[str, str] = {}
    for release in _by_id(releases):
        text = _plain(release.text)
        if release.id in ids:
            left[release.id] = "the corpus has this id"
        elif text in texts:
            left[release.id] = texts[text]
        else:
            texts[text] = f"the same text as {release.id}"
            kept.append(release)
    return kept, left


def _by_id(releases: Iterable[Release]) -> List[Release]:
    return sorted(releases, key=lambda r: r.id)


def _plain(text: str) -> str:
    return " ".join(text.split())


def read(
    nlp: Language, releases: Iterable[Release], settings: QueueSettings, second: Optional[Language] = None
) -> Iterator[Union[Reading, Defect]]:
    """What the models make of releases, in their order. A release on which one fails becomes a defect."""
    key, schema = get_schema(nlp).span_key, get_schema(nlp)
    stream = iter(releases)
    while batch := list(islice(stream, nlp.batch_size)):
        docs = list(annotate_docs(nlp, batch, _itself))
        known = [doc for doc in docs if not isinstance(doc, Defect)]
        found = iter(doubts(nlp, known, settings.doubts.least))
        others = list(annotate_docs(second, batch, _itself)) if second is not None else docs
        for release, doc, other in zip(batch, docs, others):
            if isinstance(doc, Defect):
                yield doc
                continue
            mine = next(found)
            if isinstance(other, Defect):
                yield other
                continue
            differences = {} if second is None else _differences(from_doc(doc, key), from_doc(other, key), schema)
            errors = {layer: fsum(d.chance for d in mine if d.layer == layer) for layer in LAYERS}
            yield Reading(
                release, max(1, count_words(release.text)), errors, differences, mine[: settings.doubts.shown]
            )


def count_words(text: str) -> int:
    return sum(1 for _ in WORD.finditer(text))


def _itself(doc: Doc) -> Doc:
    return doc


def _differences(first: Release, second: Release, schema: Schema) -> Dict[str, float]:
    """How many things of each layer only one of two annotations has, by the project's metrics."""
    scores = score_releases([first], [second], schema)
    names = {ENTITIES: "entities", SPANS: f"{schema.span_key} overlap", RELATIONS: "relations strict"}
    out = {}
    for layer, name in names.items():
        s = scores.get(name, {"gold": 0, "predicted": 0, "p": 0.0})
        out[layer] = float(s["gold"] + s["predicted"] - 2 * round(s["p"] * s["predicted"]))
    return out


def rank(readings: Sequence[Reading], corpus: Sequence[Release], settings: QueueSettings, count: int) -> List[Place]:
    """The first ``count`` places of the queue. The order of the readings and of the corpus does not matter.

    Raises CommuniqueError where SciPy is not installed.
    """
    readings = sorted(readings, key=lambda r: r.release.id)
    if not readings:
        return []
    learn = _learn(readings, settings)
    words = np.asarray([r.words for r in readings], dtype="float64")
    worth = learn / (words / words.mean()) ** settings.order.length
    likest = _Likest([r.release for r in readings], _by_id(corpus))
    free = np.ones(len(readings), dtype=bool)
    out: List[Place] = []
    for _ in range(min(count, len(readings))):
        score = np.round(worth * (1 - settings.order.novelty * likest.cosines), DIGITS)
        best = int(np.where(free, score, -1.0).argmax())  # the first of equals, which is the first by id
        out.append(
            Place(readings[best], float(score[best]), float(learn[best]), likest.cosine(best), likest.name(best))
        )
        free[best] = False
        likest.add(best)
    return out


class _Likest:
    """Of each release the likest one of the corpus and of those added so far, and how like it is.

    cosines: shape (releases,), 0 to 1.
    """

    def __init__(self, releases: Sequence[Release], corpus: Sequence[Release]) -> None:
        both = [*releases, *corpus]
        vectors = word_vectors([r.text for r in both])
        self._ids = [r.id for r in both]
        self._vectors = vectors[: len(releases)]
        self._where = np.full(len(releases), -1)
        self.cosines = np.zeros(len(releases))
        if corpus:
            table = _rounded((self._vectors @ vectors[len(releases) :].T).toarray())
            self._where = table.argmax(axis=1) + len(releases)
            self.cosines = table.max(axis=1)

    def add(self, number: int) -> None:
        """Compare with one of the releases from now on."""
        cosines = _rounded((self._vectors @ self._vectors[[number]].T).toarray()[:, 0])
        self._where = np.where(cosines > self.cosines, number, self._where)
        self.cosines = np.maximum(cosines, self.cosines)

    def cosine(self, number: int) -> float:
        return float(self.cosines[number])

    def name(self, number: int) -> Optional[str]:
        where = int(self._where[number])
        return self._ids[where] if where >= 0 else None


def _rounded(cosines: Array) -> Array:
    return np.clip(np.round(cosines, DIGITS), 0.0, 1.0)


def _learn(readings: Sequence[Reading], settings: QueueSettings) -> Array:
    """What each reading has to teach, 1 for the mean of all. Each layer is measured against its own mean first."""
    weights = settings.layers
    total = np.zeros(len(readings))
    size = 0.0
    for layer in LAYERS:
        for table, factor in (("errors", 1.0), ("differences", weights.disagreement)):
            values = np.asarray([getattr(r, table).get(layer, 0.0) for r in readings])
            mean = fsum(values) / len(values)
            weight = factor * getattr(weights, layer)
            if mean > 0 and weight > 0:
                total += weight * values / mean
                size += weight
    return np.round(total / size if size else total, DIGITS)


def reasons(place: Place, number: int, key: str) -> Dict[str, Any]:
    """Why a release has its place, for people and programs: plain data. key: what the scheme calls its spans."""
    mine = place.reading

    def named(values: Mapping[str, float]) -> Dict[str, float]:
        return {key if layer == SPANS else layer: round(n, 2) for layer, n in values.items()}

    out = {
        "rank": number,
        "score": round(place.score, 4),
        "learn": round(place.learn, 4),
        "words": mine.words,
        "errors_expected": named(mine.errors),
        "doubts": [in_words(d) for d in mine.doubts],
    }
    if mine.differences:
        out["differences"] = named(mine.differences)
    if place.like is not None:
        out.update(likeness=round(place.likeness, 4), like=place.like)
    return out


def with_reasons(place: Place, number: int, key: str) -> Release:
    """The release as it came, with the reasons under "queue"."""
    release = place.reading.release
    return replace(release, meta={**release.meta, META: reasons(place, number, key)})


def in_words(doubt: Doubt) -> str:
    """A doubt in words."""
    text = " ".join(doubt.text.split())
    return f"{doubt.label} “{text}” {'may be wrong' if doubt.found else 'may be missing'} ({doubt.chance:.0%})"
