"""Why a relation or a fact is missed or spurious."""

from __future__ import annotations

from typing import Dict, FrozenSet, Iterator, List, Optional, Set, Tuple

from ..release import Mention, Relation
from .alignment import EXACT, NEAR, NONE, Alignment
from .metrics import Span, Triple, clusters_of, triples

SAME_FACT = "the fact is right, but from other mentions of the same things"
UNFOUND = "an argument was not found"
MISFOUND = "an argument was found with other edges or another label"
UNSUGGESTED = "the pair is too far apart to be looked at"
OTHER_TYPE = "right pair, other type or direction"
BELOW = "right pair looked at, no type above its threshold"
NO_MENTION = "an argument is no mention in the gold"
MISTAKEN = "an argument has other edges or another label"
OTHER_ARGUMENT = "right type and one right argument, the other is another mention"
UNSTATED = "both arguments are right, the gold states nothing between them"
# The first that holds of a fact's relations is the fact's cause: the least that would have to change.
ORDER = (SAME_FACT, BELOW, OTHER_TYPE, UNSUGGESTED, OTHER_ARGUMENT, UNSTATED, MISFOUND, MISTAKEN, UNFOUND, NO_MENTION)
# layer, whether it is gold (missed) or predicted (spurious), cause, type, start and end in characters, what it is
Found = Tuple[str, bool, str, str, int, int, str]
Pairs = Set[FrozenSet[Span]]


def relation_errors(one: Alignment, suggested: Optional[Pairs]) -> Iterator[Found]:
    """Errors of the layers "relations strict" and "facts", each with its cause.

    The causes are looked for in the order in which the pipeline works, after the one that does no harm: that the fact
    is right all the same. ``suggested``: pairs of predicted mentions that the relation stage looked at; None: unknown.
    """
    causes = _Causes(one, suggested)
    yield from causes.relations()
    yield from causes.facts()


class _Causes:
    def __init__(self, one: Alignment, suggested: Optional[Pairs]) -> None:
        self.one, self.suggested = one, suggested
        names = clusters_of(one.gold)
        strict = triples(one.gold, one.schema, {}, True, None)
        found = triples(one.predicted, one.schema, one.pairs, False, None)
        self.gold: Dict[Triple, Relation] = dict(zip(strict, one.gold.relations))
        self.found: Dict[Triple, Relation] = dict(zip(found, one.predicted.relations))
        gold_facts = triples(one.gold, one.schema, {}, True, names)
        found_facts = triples(one.predicted, one.schema, one.pairs, False, names)
        self.fact: Dict[Triple, Triple] = {**dict(zip(found, found_facts)), **dict(zip(strict, gold_facts))}
        self.gold_facts, self.found_facts = set(gold_facts), set(found_facts)
        self.missing = [t for t in self.gold if t not in self.found]
        self.extra = [t for t in self.found if t not in self.gold]
        self.extra_facts = {self.fact[t] for t in self.extra}
        self.by_id = {True: {m.id: m for m in one.gold.mentions}, False: {m.id: m for m in one.predicted.mentions}}

    def relations(self) -> Iterator[Found]:
        for gold, wrong in ((True, self.missing), (False, self.extra)):
            for t in wrong:
                yield self._found("relations strict", gold, self._cause(t, gold), t)

    def facts(self) -> Iterator[Found]:
        for gold, wrong, right in ((True, self.missing, self.found_facts), (False, self.extra, self.gold_facts)):
            groups: Dict[Triple, List[Tuple[int, Triple]]] = {}
            for t in wrong:
                if self.fact[t] not in right:
                    groups.setdefault(self.fact[t], []).append((ORDER.index(self._cause(t, gold)), t))
            for items in groups.values():
                rank, t = min(items, key=lambda item: item[0])
                yield self._found("facts", gold, ORDER[rank], t)

    def _cause(self, t: Triple, gold: bool) -> str:
        return self._missed(t) if gold else self._spurious(t)

    def _missed(self, t: Triple) -> str:
        if self.fact[t] in self.extra_facts:
            return SAME_FACT
        ends = self._ends(t, True)
        states = {self.one.state(m, gold=True) for m in ends}
        if states != {EXACT}:
            return UNFOUND if NONE in states else MISFOUND
        pair = frozenset(self.one.predicted_of(m) for m in ends)
        if self.suggested is not None and pair not in self.suggested:
            return UNSUGGESTED
        return OTHER_TYPE if self._same_pair(t, self.found) else BELOW

    def _spurious(self, t: Triple) -> str:
        if self.fact[t] in self.gold_facts:
            return SAME_FACT
        states = {self.one.state(m, gold=False) for m in self._ends(t, False)}
        if states & {NEAR, NONE}:
            return NO_MENTION if NONE in states else MISTAKEN
        if self._same_pair(t, self.gold):
            return OTHER_TYPE
        half = any(g[2] == t[2] and (g[0] in t[:2] or g[1] in t[:2]) for g in self.gold)
        return OTHER_ARGUMENT if half else UNSTATED

    @staticmethod
    def _same_pair(t: Triple, others: Dict[Triple, Relation]) -> bool:
        return any(t[:2] == o[:2] or t[:2] == (o[1], o[0]) for o in others)

    def _ends(self, t: Triple, gold: bool) -> Tuple[Mention, Mention]:
        relation = (self.gold if gold else self.found)[t]
        return self.by_id[gold][relation.head], self.by_id[gold][relation.tail]

    def _found(self, layer: str, gold: bool, cause: str, t: Triple) -> Found:
        head, tail = self._ends(t, gold)
        text = self.one.gold.span_text
        what = f"“{text(head)}” {t[2]} “{text(tail)}”"
        return layer, gold, cause, t[2], min(head.start, tail.start), max(head.end, tail.end), what
