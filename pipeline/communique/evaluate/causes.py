"""Every error of a pipeline, once, with its cause.

What counts as an error is what the guide's metrics count: so the errors of a layer add up to its gold minus its right
ones (missed) and its predicted minus its right ones (spurious). Of the identity, the errors are MUC's links.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Dict, Hashable, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..release import Mention
from ..schema import Schema
from .alignment import EXACT, Alignment
from .candidates import Suggested
from .metrics import Span, clusters_of, span_of
from .relation_causes import relation_errors

MISSED, SPURIOUS = "missed", "spurious"
LABEL = "same edges, other label"
EDGES = "same label, other edges"
BOTH = "other edges and other label"
NOT_FOUND, NOTHING_THERE = "not found at all", "nothing tagged there in the gold"
OVERLAP = "other edges, but right by the overlap rule"
TOO_LITTLE = "overlaps too little, or with one that has a better match"
LINK_LOST, APART, MERGED = "a mention was not found", "one thing taken for two", "two things taken for one"


@dataclass(frozen=True)
class Error:
    """One error: where, of what layer (see ``error_layers``) and label, missed or spurious, why; and, for a person to
    read, what it is and the words around it."""

    release: str
    layer: str
    side: str
    cause: str
    label: str
    what: str
    context: str


def error_layers(schema: Schema) -> Tuple[str, ...]:
    """The layers whose errors are counted, as the metrics call them: enclosing spans by the exact rule."""
    spans = (_exact(schema),) if schema.spans else ()
    return ("entities", *spans, "relations strict", "facts", "identity")


def _exact(schema: Schema) -> str:
    return f"{schema.span_key} exact"


def find_errors(alignments: Iterable[Alignment], suggested: Optional[Suggested] = None) -> List[Error]:
    """All errors of all layers. ``suggested``: pairs of mentions that the relation stage looked at, if known."""
    out: List[Error] = []
    for one in alignments:
        out += _mention_errors(one)
        pairs = None if suggested is None else suggested.get(one.gold.id, set())
        for layer, gold, cause, label, start, end, what in relation_errors(one, pairs):
            out.append(_error(one, layer, gold, cause, label, what, start, end))
        out += _missing_links(one)
        out += _wrong_links(one)
    return out


def count_causes(errors: Iterable[Error], schema: Schema) -> Dict[str, List[Tuple[str, str, int]]]:
    """{layer: (side, cause, count), the most frequent first}, of the layers that have errors, in the metrics' order."""
    counts = Counter((e.layer, e.side, e.cause) for e in errors)
    out: Dict[str, List[Tuple[str, str, int]]] = {layer: [] for layer in error_layers(schema)}
    for (layer, side, cause), n in counts.most_common():
        out[layer].append((side, cause, n))
    return {layer: rows for layer, rows in out.items() if rows}


def excerpt(text: str, start: int, end: int, margin: int = 50, limit: int = 240) -> str:
    """The words from start to end with some around them, on one line; of a long stretch its beginning and its end."""
    a, b = max(0, start - margin), min(len(text), end + margin)
    parts = [(a, a + limit // 2), (b - limit // 2, b)] if b - a > limit else [(a, b)]
    whole = [(_word_edge(text, x, -1), _word_edge(text, y, 1)) for x, y in parts]
    inner = " … ".join(" ".join(text[x:y].split()) for x, y in whole)
    return f"{'…' if whole[0][0] else ''}{inner}{'…' if whole[-1][1] < len(text) else ''}"


def _word_edge(text: str, at: int, step: int, most: int = 20) -> int:
    """Where the word at an offset begins (step -1) or ends (step 1), looked for over so many characters."""
    end = at
    while abs(end - at) < most and 0 < end < len(text) and not text[end - (step < 0)].isspace():
        end += step
    return end


def _error(one: Alignment, layer: str, gold: bool, cause: str, label: str, what: str, start: int, end: int) -> Error:
    side = MISSED if gold else SPURIOUS
    return Error(one.gold.id, layer, side, cause, label, what, excerpt(one.gold.text, start, end))


def _mention_errors(one: Alignment) -> Iterator[Error]:
    layers = (("entities", one.entities, one.found), (_exact(one.schema), one.spans, one.found_spans))
    for layer, gold, found in layers:
        mine, theirs = ({span_of(m): m for m in side} for side in (gold, found))
        for is_gold, side, other in ((True, mine, theirs), (False, theirs, mine)):
            for m in (m for span, m in side.items() if span not in other):
                rival, cause = _mention_cause(one, m, is_gold)
                what = f"{m.label} “{one.gold.span_text(m)}”"
                if rival is not None:
                    what += f", {'predicted' if is_gold else 'gold'}: {rival.label} “{one.gold.span_text(rival)}”"
                yield _error(one, layer, is_gold, cause, m.label, what, m.start, m.end)


def _mention_cause(one: Alignment, m: Mention, gold: bool) -> Tuple[Optional[Mention], str]:
    """The mention of the other side that comes closest, if any, and the cause."""
    rivals = one.rivals(m, gold=gold)
    if not rivals:
        return None, NOT_FOUND if gold else NOTHING_THERE
    same_edges = [r for r in rivals if (r.start, r.end) == (m.start, m.end)]
    if same_edges:
        return same_edges[0], LABEL
    same_label = [r for r in rivals if r.label == m.label]
    if not same_label:
        return rivals[0], BOTH
    if m.label not in one.schema.spans:
        return same_label[0], EDGES
    return same_label[0], OVERLAP if one.state(m, gold=gold) == EXACT else TOO_LITTLE


def _missing_links(one: Alignment) -> Iterator[Error]:
    """A gold cluster in n pieces lacks n - 1 links: one for each piece but the largest."""
    guess = clusters_of(one.predicted)
    there = {span_of(m) for m in one.predicted.mentions}
    for piece, base in _pieces(clusters_of(one.gold), guess):
        cause = APART if piece[0] in there else LINK_LOST
        yield _link(one, True, cause, piece[0], base[0])


def _wrong_links(one: Alignment) -> Iterator[Error]:
    """A predicted cluster with mentions of n gold ones has n - 1 links too many."""
    gold = clusters_of(one.gold)
    guess = {m: c for m, c in clusters_of(one.predicted).items() if m in gold}
    for piece, base in _pieces(guess, gold):
        yield _link(one, False, MERGED, piece[0], base[0])


def _pieces(groups: Mapping[Span, Any], other: Mapping[Span, Any]) -> Iterator[Tuple[List[Span], List[Span]]]:
    """(piece, largest piece) for every further piece that ``other`` cuts a group into."""
    parts: Dict[Hashable, Dict[Hashable, List[Span]]] = defaultdict(lambda: defaultdict(list))
    for span in sorted(groups):
        parts[groups[span]][other.get(span, ("alone", span))].append(span)
    for cut in parts.values():
        base, *rest = sorted(cut.values(), key=lambda piece: (-len(piece), piece))
        for piece in rest:
            yield piece, base


def _link(one: Alignment, gold: bool, cause: str, a: Span, b: Span) -> Error:
    first, second = sorted((a, b))
    text = one.gold.text
    what = f"{first[2]} “{text[first[0] : first[1]]}” and {second[2]} “{text[second[0] : second[1]]}”"
    return _error(one, "identity", gold, cause, a[2], what, first[0], second[1])
