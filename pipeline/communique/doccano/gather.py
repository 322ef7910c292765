"""The releases that are to go to Doccano: read, and annotated where they are not."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Dict, Iterable, Iterator, List

from ..annotate.run import annotate, load_model
from ..annotate.sources import Item, Reading, read_inputs
from ..corpus.exchange import read_gold
from ..errors import CommuniqueError, Defect
from ..release import Release
from .rows import PROVENANCE


def read_releases(inputs: List[str], reading: Reading) -> Iterator[Item]:
    """Releases of whatever ``annotate`` reads. Raises CommuniqueError where there is no such file."""
    for name in inputs:
        if name != "-" and not Path(name).exists():
            raise CommuniqueError(f"{name}: no such file or folder")
    seen: Dict[str, str] = {}
    return (record.item for record in read_inputs(inputs, reading, seen))


def gold_releases(inputs: List[str]) -> Iterator[Item]:
    """Gold, as it is. Raises DefectError with every defect; an id that was there before is refused."""
    seen = set()
    for release in read_gold(inputs):
        if release.id in seen:
            yield Defect(release.id, 0, 0, "duplicate-id", "the id was read before", "give each release its own")
        else:
            seen.add(release.id)
            yield release


def annotated(items: Iterable[Item], model: str, min_confidence: float) -> Iterator[Item]:
    """The same, those without annotations annotated by a pipeline, which is loaded only where one needs it.

    What people confirmed without a single annotation stays as it is.
    """
    stream = list(items)
    needy = [item for item in stream if isinstance(item, Release) and _needs(item)]
    done: Iterator[Item] = iter(())
    if needy:
        done = annotate(load_model(model), needy, min_confidence=min_confidence)
    return chain.from_iterable([next(done)] if isinstance(i, Release) and _needs(i) else [i] for i in stream)


def _needs(release: Release) -> bool:
    return not release.mentions and PROVENANCE not in release.meta
