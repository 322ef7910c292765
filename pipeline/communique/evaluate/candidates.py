"""Which pairs of mentions the relation stage of a pipeline looked at."""

from __future__ import annotations

from typing import Dict, FrozenSet, Iterable, Optional, Set

from spacy.language import Language

from ..bridge import get_schema, mentions, to_doc
from ..components.relations import RelationExtractor
from ..release import Release
from .metrics import Span

Suggested = Dict[str, Set[FrozenSet[Span]]]


def suggested_pairs(nlp: Language, predicted: Iterable[Release]) -> Optional[Suggested]:
    """{id of a release: its suggested pairs, each without direction}, or None where there is no relation stage.

    ``predicted`` are releases as this pipeline annotated them: their mentions are those that were paired.
    """
    stage = next((pipe for _, pipe in nlp.pipeline if isinstance(pipe, RelationExtractor)), None)
    if stage is None:
        return None
    schema = get_schema(nlp)
    cut = [pipe for name, pipe in nlp.pipeline if "doc.sents" in nlp.get_pipe_meta(name).assigns]
    out: Suggested = {}
    for release in predicted:
        doc = to_doc(release, nlp.make_doc, schema)
        for pipe in cut:
            doc = pipe(doc)
        keys = [key for key in mentions(doc, schema.span_key) if key[2] in schema.labels]
        batch = stage.suggester([doc], [keys], schema)
        spans = [(doc[s:e].start_char, doc[s:e].end_char, label) for s, e, label in keys]
        out[release.id] = {frozenset((spans[h], spans[t])) for h, t in zip(batch.heads, batch.tails)}
    return out
