"""How the mentions of a predicted release lie on those of the gold one."""

from __future__ import annotations

from typing import Dict, List, Set

from ..release import Mention, Release
from ..schema import Schema
from .metrics import Span, pair_spans, span_of, split_layers

EXACT, NEAR, NONE = "exact", "near", "none"


class Alignment:
    """Gold and predicted mentions of one release. ``pairs`` holds the predicted spans that match a gold one by the
    overlap rule, as {predicted id: gold id}.

    Raises ValueError if the texts differ.
    """

    def __init__(self, gold: Release, predicted: Release, schema: Schema) -> None:
        if gold.text != predicted.text:
            raise ValueError(f"{gold.id}: the predicted release's text differs from the gold one's")
        self.gold, self.predicted, self.schema = gold, predicted, schema
        self.entities, self.spans = split_layers(gold, schema)
        self.found, self.found_spans = split_layers(predicted, schema)
        self.pairs = pair_spans(gold.text, self.spans, self.found_spans)
        self._matched: Dict[int, int] = {g: p for p, g in self.pairs.items()}
        self._exact: Set[Span] = {span_of(m) for m in self.entities} & {span_of(m) for m in self.found}

    def rivals(self, mention: Mention, *, gold: bool) -> List[Mention]:
        """Mentions of the other side's same layer that overlap one, most overlap first. ``gold``: whose it is."""
        entities, spans = (self.found, self.found_spans) if gold else (self.entities, self.spans)
        layer = spans if mention.label in self.schema.spans else entities
        scored = [(min(m.end, mention.end) - max(m.start, mention.start), m) for m in layer]
        return [m for shared, m in sorted(scored, key=lambda item: (-item[0], item[1].start)) if shared > 0]

    def state(self, mention: Mention, *, gold: bool) -> str:
        """EXACT where the other side has the mention (a span by the overlap rule), NEAR where something overlaps it,
        else NONE. ``gold``: whose mention it is."""
        if mention.label in self.schema.spans:
            same = mention.id in (self._matched if gold else self.pairs)
        else:
            same = span_of(mention) in self._exact
        if same:
            return EXACT
        return NEAR if self.rivals(mention, gold=gold) else NONE

    def predicted_of(self, mention: Mention) -> Span:
        """Offsets and label of the predicted mention that matches a gold one whose state is EXACT."""
        if mention.label not in self.schema.spans:
            return span_of(mention)
        wanted = self._matched[mention.id]
        return next(span_of(m) for m in self.found_spans if m.id == wanted)


def align(gold: List[Release], predicted: List[Release], schema: Schema) -> List[Alignment]:
    """One alignment for each gold release, matched by id; a missing one counts as predicted empty."""
    by_id = {r.id: r for r in predicted}
    return [Alignment(r, by_id.get(r.id, Release(r.id, r.text)), schema) for r in gold]
