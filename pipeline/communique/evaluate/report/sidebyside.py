"""A release with its mentions, drawn by displaCy: what both sides have, and what only one of them has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any, Collection, Dict, Iterable, List, Sequence, Tuple

from spacy import displacy

from ...release import Mention, Release
from ...schema import Schema
from ..alignment import EXACT, Alignment
from ..metrics import span_of, split_layers

# Filled in by displaCy, but for the state, which comes with each entity.
ENTITY = '<mark class="entity{state}" style="background: {bg}">{text} <span class="tag">{label}</span></mark>'
OPEN, CLOSE = '<u class="clause{state}">', "</u>"
TAG = ' <span class="tag">{label}</span>'
PRIVATE = range(0xE000, 0xF900)


def label_colours(labels: Sequence[str]) -> Dict[str, str]:
    """A light background for each label, by its place in the scheme."""
    return {label: f"hsl({round(360 * i / max(1, len(labels)))}, 70%, 87%)" for i, label in enumerate(labels)}


def both_sides(one: Alignment) -> Tuple[str, str]:
    """HTML of the gold release and of the predicted one, what is missed or spurious standing out."""
    sides = []
    for release, gold in ((one.gold, True), (one.predicted, False)):
        wrong = {span_of(m) for m in release.mentions if one.state(m, gold=gold) != EXACT}
        sides.append(render(release, one.schema, wrong))
    return sides[0], sides[1]


def render(release: Release, schema: Schema, wrong: Collection[Any]) -> str:
    """HTML of a release: entities as displaCy draws them, the spans that may enclose them underlined.

    ``wrong`` holds (start, end, label) of mentions that shall stand out. Of entities that overlap each other, or of
    such spans, the longer one is drawn.
    """
    entities, spans = (_flat(layer) for layer in split_layers(release, schema))
    pieces = [piece for m in spans for piece in _pieces(m, entities, span_of(m) in wrong)]
    used = set(release.text)
    first, last = (chr(c) for c in [c for c in PRIVATE if chr(c) not in used][:2])
    drawn = [
        {
            "start": m.start + sum(p.before_start(m) for p in pieces),
            "end": m.end + sum(p.before_end(m) for p in pieces),
            "label": escape(m.label),
            "params": {"state": _state(span_of(m) in wrong)},
        }
        for m in entities
    ]
    colours = {escape(label): colour for label, colour in label_colours(schema.entities).items()}
    html: str = displacy.render(
        {"text": _insert(release.text, pieces, first, last), "ents": drawn},
        style="ent",
        manual=True,
        jupyter=False,
        options={"template": ENTITY, "colors": colours},
    )
    opens, closes = iter([p.open for p in pieces]), iter([p.close for p in pieces])
    return re.sub(f"[{first}{last}]", lambda found: next(opens if found[0] == first else closes), html)


@dataclass(frozen=True)
class _Piece:
    """A stretch of an underlined span that lies wholly inside of an entity, or crosses none.

    A span is drawn by putting one character before each piece and one behind it into the text that displaCy gets, and
    tags in their place into what it returns.
    """

    start: int
    end: int
    inside: bool
    open: str
    close: str

    def before_start(self, m: Mention) -> int:
        """How many of the two characters come before an entity's start."""
        opened = self.start < m.start or (self.start == m.start and not (self.inside and self.end <= m.end))
        return int(opened) + int(self.end <= m.start)

    def before_end(self, m: Mention) -> int:
        """How many of the two characters come before an entity's end."""
        closed = self.end < m.end or (self.end == m.end and self.inside)
        return int(self.start < m.end) + int(closed)


def _pieces(span: Mention, entities: Iterable[Mention], wrong: bool) -> List[_Piece]:
    """The span, cut where an entity crosses one of its ends, so that tags are nested."""
    cuts = {span.start, span.end}
    for m in entities:
        if m.start < span.start < m.end < span.end:
            cuts.add(m.end)
        if span.start < m.start < span.end < m.end:
            cuts.add(m.start)
    edges = sorted(cuts)
    tag = OPEN.format(state=_state(wrong))
    out: List[_Piece] = []
    for a, b in zip(edges, edges[1:]):
        inside = any(m.start <= a and b <= m.end and (m.start, m.end) != (a, b) for m in entities)
        close = (TAG.format(label=escape(span.label)) if b == span.end else "") + CLOSE
        out.append(_Piece(a, b, inside, tag, close))
    return out


def _insert(text: str, pieces: Iterable[_Piece], first: str, last: str) -> str:
    marks = sorted(mark for p in pieces for mark in ((p.start, 1, first), (p.end, 0, last)))
    out, at = "", 0
    for offset, _, mark in marks:
        out, at = out + text[at:offset] + mark, offset
    return out + text[at:]


def _flat(mentions: Iterable[Mention]) -> List[Mention]:
    """In text order, without those that a longer one overlaps."""
    kept: List[Mention] = []
    for m in sorted(mentions, key=lambda m: (m.start - m.end, m.start)):
        if all(m.end <= k.start or k.end <= m.start for k in kept):
            kept.append(m)
    return sorted(kept, key=lambda m: m.start)


def _state(wrong: bool) -> str:
    return " wrong" if wrong else ""
