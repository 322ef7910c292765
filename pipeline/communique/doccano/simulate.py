"""Whether the queue is worth it: a corpus that is annotated already is annotated once more, in the order of a queue.

From a seed's first releases, drawn at random, a model is trained; it ranks the rest, the first of the queue are added
with the annotation that the corpus has of them, and so on. At random the same seed goes on as it began. Each point is
the score of one model on releases that no order may choose.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

from rich.console import Console

from ..annotate.run import load_model
from ..console import tell
from ..corpus.exchange import load_tokenizer, read_gold, to_docbin
from ..curve import digest, draw, train_on
from ..errors import CommuniqueError, Defect
from ..release import Release
from ..schema import Schema
from ..training import config_schema, evaluate_pipeline, provenance
from ..workplace import BEST
from .queue import Reading, count_words, rank, read
from .queue_settings import QueueSettings

PathLike = Union[str, Path]
Point = Dict[str, Any]
RANDOM = "random"
RECORD = "point.json"


@dataclass(frozen=True)
class Plan:
    """How much is annotated. held: releases that the confidences are fitted on, which are never trained on. first:
    releases drawn at random to begin with. step: releases added at a time. last: releases at the end. steps: updates of
    each training, however many releases there are."""

    held: int
    first: int
    step: int
    last: int
    steps: int

    @property
    def sizes(self) -> List[int]:
        return [*range(self.first, self.last, self.step), self.last]


@dataclass(frozen=True)
class Job:
    """What all points of a simulation share."""

    config: PathLike
    output: Path
    corpus: Sequence[PathLike]
    gold: Sequence[Release]
    plan: Plan
    overrides: Mapping[str, Any]
    console: Optional[Console] = None


def simulate(job: Job, queues: Mapping[str, QueueSettings], seeds: Iterable[int]) -> Iterator[Point]:
    """The points of each seed, at random and in the order of each queue. A point is a dict:

    order, seed, releases, words of these, ids in the order they were added, scores on the gold by layer, settings.

    A point that is in the folder already is not trained again, unless what it was made from has changed. Raises
    CommuniqueError where the corpus is too small for the plan.
    """
    pool = read_gold(job.corpus)
    if len(pool) < job.plan.held + job.plan.last:
        message = f"{job.plan.held} + {job.plan.last} releases are needed, the corpus has {len(pool)}: lower --last"
        raise CommuniqueError(message)
    nlp, _ = load_tokenizer(job.config)
    schema = Schema.from_disk(config_schema(job.config))
    origin = {
        **provenance(job.config, job.corpus),
        "overrides": dict(job.overrides),
        "plan": vars(job.plan),
        "gold": digest(job.gold),
    }
    job.output.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        order = draw(pool, 1.0, seed)
        held = job.output / f"held-{seed}.spacy"
        to_docbin(order[: job.plan.held], nlp.tokenizer, schema).to_disk(held)
        run = _Run(job, seed, held, order[job.plan.held :], origin)
        yield from run.random()
        for name, settings in queues.items():
            yield from run.queued(name, settings)


@dataclass(frozen=True)
class _Run:
    """The points of one seed. held: file of the releases that confidences are fitted on. rest: all others, in the order
    of the draw."""

    job: Job
    seed: int
    held: Path
    rest: Sequence[Release]
    origin: Mapping[str, Any]

    def random(self) -> Iterator[Point]:
        for size in self.job.plan.sizes:
            yield self._point(RANDOM, self.rest[:size], self.origin)

    def queued(self, name: str, settings: QueueSettings) -> Iterator[Point]:
        origin = {**self.origin, "queue": settings.model_dump()}
        chosen = self.rest[: self.job.plan.first]
        before = self._folder(RANDOM, len(chosen))
        for size in self.job.plan.sizes[1:]:
            known = _known(self._folder(name, size), origin)
            chosen = self._known_ones(known) if known else self._chosen(before, chosen, settings, size)
            yield self._point(name, chosen, origin)
            before = self._folder(name, size)

    def _folder(self, order: str, size: int) -> Path:
        return self.job.output / f"{order}-{self.seed}-{size}"

    def _known_ones(self, known: Point) -> List[Release]:
        by_id = {r.id: r for r in self.rest}
        return [by_id[i] for i in known["ids"]]

    def _chosen(self, model: Path, chosen: Sequence[Release], settings: QueueSettings, size: int) -> List[Release]:
        """What is chosen, and what the queue of a model adds to it."""
        there = {r.id for r in chosen}
        free = {r.id: r for r in self.rest if r.id not in there}
        bare = (Release(name, free[name].text) for name in sorted(free))
        readings: List[Reading] = []
        for item in read(load_model(model / BEST), bare, settings):
            if isinstance(item, Defect):
                raise CommuniqueError(str(item))
            readings.append(item)
        places = rank(readings, chosen, settings, size - len(chosen))
        return [*chosen, *(free[place.reading.release.id] for place in places)]

    def _point(self, order: str, releases: Sequence[Release], settings: Mapping[str, Any]) -> Point:
        job, folder = self.job, self._folder(order, len(releases))
        known = _known(folder, settings)
        if known is not None and known["ids"] == [r.id for r in releases]:
            return known
        if job.console is not None:
            tell(job.console, f"seed {self.seed}, {order}: {len(releases)} releases")
        overrides = {**job.overrides, "system.seed": self.seed, "paths.dev": str(self.held)}
        model = train_on(job.config, folder, job.corpus, releases, job.plan.steps, overrides)
        point = {
            "order": order,
            "seed": self.seed,
            "releases": len(releases),
            "words": sum(map(count_words, (r.text for r in releases))),
            "ids": [r.id for r in releases],
            "scores": evaluate_pipeline(model, list(job.gold)),
            "settings": dict(settings),
        }
        part = folder / "point.part"
        part.write_text(json.dumps(point, indent=1, sort_keys=True) + "\n", "utf8")
        part.replace(folder / RECORD)
        return point


def _known(folder: Path, settings: Mapping[str, Any]) -> Optional[Point]:
    """The point of a folder, if it was made with these settings."""
    record = folder / RECORD
    if not record.exists():
        return None
    known = dict(json.loads(record.read_text("utf8")))
    return known if known.get("settings") == settings else None
