"""Puts mentions of one thing into one cluster, by sieves from precise to bold.

After Raghunathan et al. 2010, "A Multi-Pass Sieve for Coreference Resolution": each sieve sees the clusters that the
ones before it made, and a mention takes the nearest antecedent that the sieve permits.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Optional, Tuple

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span

from ..bridge import Characters
from ..countries import CountryRegister, load_register

WORD = re.compile(r"\w+")
DOTS = re.compile(r"[.’'‐‑]")
OPENED = re.compile(r"[\w ]{0,20}\s?\((?:the |hereinafter |henceforth |or |also known as )*[“\"‘']?(?:the )?")
SMALL = frozenset(
    [
        "of",
        "the",
        "and",
        "for",
        "on",
        "in",
        "to",
        "with",
        "de",
        "du",
        "des",
        "la",
        "le",
        "y",
        "e",
        "a",
        "an",
        "between",
        "at",
        "by",
    ]
)


@Language.factory(
    "communique_identity",
    requires=["doc.ents"],
    assigns=["doc._.clusters"],
    default_config={
        "labels": None,
        "role_relation": None,
        "sieves": [{"sieve": "exact"}, {"sieve": "brackets"}, {"sieve": "acronym"}],
        "reach": 200,
        "scorer": {"@scorers": "communique.identity_scorer.v1"},
    },
    default_score_weights={"identity_f": 0.0},
)
def make_identity(
    nlp: Language,
    name: str,
    labels: Optional[List[str]],
    role_relation: Optional[str],
    sieves: List[Dict[str, Any]],
    reach: int,
    scorer: Optional[Callable[..., Dict[str, Any]]],
) -> "Identity":
    return Identity(name, labels, role_relation, sieves, reach, scorer)


@dataclass
class _Mention:
    number: int
    span: Span
    start: int
    end: int
    label: str
    text: str
    key: str
    words: Tuple[str, ...]
    indefinite: bool
    holder: Optional[int] = None

    @cached_property
    def head(self) -> str:
        """Head noun of a name: the last word before its first preposition."""
        for i, word in enumerate(self.words):
            if i and word in ("of", "for", "on", "in", "to", "between", "with"):
                return self.words[i - 1]
        return self.words[-1] if self.words else ""

    @cached_property
    def letters(self) -> Optional[str]:
        """The letters of what looks like an abbreviation."""
        letters = self.text.replace(".", "")
        capitals = sum(c.isupper() for c in letters)
        return letters.lower() if 2 <= len(letters) <= 8 and letters.isalpha() and capitals >= 2 else None

    @cached_property
    def initials(self) -> FrozenSet[str]:
        """Initials of all words, and of those that are not small."""
        return frozenset(("".join(w[0] for w in self.words), "".join(w[0] for w in self.words if w not in SMALL)))

    @cached_property
    def expanded(self) -> FrozenSet[str]:
        """The words, and the initials of every run of them: "fta" for "free trade agreement"."""
        names = [w for w in self.words if w not in SMALL]
        runs = ("".join(w[0] for w in names[i:j]) for i in range(len(names)) for j in range(i + 2, len(names) + 1))
        return frozenset(self.words) | frozenset(runs)


@dataclass
class _State:
    """Mentions of one doc and the clusters so far, as a union of sets."""

    characters: Characters
    mentions: List[_Mention]
    parent: List[int] = field(default_factory=list)

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def merge(self, a: int, b: int) -> None:
        a, b = sorted((self.find(a), self.find(b)))
        self.parent[b] = a


Sieve = Callable[["Identity", _State, _Mention, List[_Mention], Dict[str, Any]], Optional[_Mention]]
SIEVES: Dict[str, Sieve] = {}


def sieve(name: str) -> Callable[[Sieve], Sieve]:
    """Name a sieve for the config: a function that gives a mention's antecedent among earlier ones, which come
    nearest first, or None."""

    def add(function: Sieve) -> Sieve:
        SIEVES[name] = function
        return function

    return add


class Identity(Pipe):
    """Clusters the entities of each doc into ``doc._.clusters``.

    ``sieves`` lists the sieves in order, each a dict with the sieve's name, the labels that it serves (all by default)
    and its own settings. ``role_relation`` names the relation that ties a role to the person named beside it: such a
    role is an office, in a cluster of its own, while a role without a name stands for its holder.
    An antecedent is one of the ``reach`` mentions before, so that time grows with the text and not its square.
    """

    def __init__(
        self,
        name: str,
        labels: Optional[List[str]],
        role_relation: Optional[str],
        sieves: List[Dict[str, Any]],
        reach: int,
        scorer: Optional[Callable[..., Dict[str, Any]]],
    ) -> None:
        self.name = name
        self.allowed = None if labels is None else frozenset(labels)
        self.role_relation = role_relation
        self.reach = reach
        self.scorer = scorer
        unknown = sorted({str(s.get("sieve")) for s in sieves} - set(SIEVES))
        if unknown:
            raise ValueError(f"{name}: unknown sieve {', '.join(unknown)}; known: {', '.join(SIEVES)}")
        self.sieves = [(SIEVES[s["sieve"]], s.get("labels"), s) for s in sieves]
        self.register: CountryRegister = load_register()

    def __call__(self, doc: Doc) -> Doc:
        state = self._start(doc)
        for function, labels, settings in self.sieves:
            for m in state.mentions:
                if labels is None or m.label in labels:
                    earlier = state.mentions[max(0, m.number - self.reach) : m.number][::-1]
                    antecedent = function(self, state, m, earlier, settings)
                    if antecedent is not None and state.find(antecedent.number) != state.find(m.number):
                        state.merge(antecedent.number, m.number)
        doc._.clusters = _named(state)
        return doc

    def score(self, examples: Iterable[Any], **kwargs: Any) -> Dict[str, Any]:
        from ..schema import Schema

        return {} if self.scorer is None else self.scorer(examples, schema=Schema(entities=()))

    def _start(self, doc: Doc) -> _State:
        spans = [e for e in doc.ents if self.allowed is None or e.label_ in self.allowed]
        place = {(s.start, s.end, s.label_): i for i, s in enumerate(spans)}
        characters = Characters(doc)
        mentions = [_mention(i, span, characters) for i, span in enumerate(spans)]
        for r in doc._.relations:
            if r["type"] == self.role_relation:
                head, tail = place.get(tuple(r["head"])), place.get(tuple(r["tail"]))
                if head is not None and tail is not None:
                    mentions[tail].holder = head
        return _State(characters, mentions, list(range(len(mentions))))


def _mention(number: int, span: Span, characters: Characters) -> _Mention:
    start, end = span.start, span.end
    text = characters.between(start, end)
    words = tuple(w.lower() for w in WORD.findall(text))
    before = characters.between(start - 1, start).lower() if start else ""
    key = DOTS.sub("", text.lower()).replace("–", "-")
    return _Mention(number, span, start, end, span.label_, text, key, words, before in ("a", "an", "another"))


def _named(state: _State) -> List[Dict[str, Any]]:
    groups: Dict[int, List[_Mention]] = defaultdict(list)
    for m in state.mentions:
        groups[state.find(m.number)].append(m)
    counts: Dict[str, int] = defaultdict(int)
    out = []
    for members in groups.values():
        label = members[0].label.lower()
        counts[label] += 1
        keys = [[m.start, m.end, m.label] for m in members]
        out.append({"id": f"{label}{counts[label]}", "mentions": keys})
    return out


def _nearest(candidates: Iterable[_Mention]) -> Optional[_Mention]:
    """The first: candidates are those before a mention, the nearest first."""
    return next(iter(candidates), None)


@sieve("exact")
def _exact(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """The same string, case, full stops and apostrophes apart. A common noun after "a" begins something new."""
    if m.indefinite and m.text[:1].islower():
        return None
    return _nearest(a for a in earlier if a.label == m.label and a.key == m.key)


@sieve("brackets")
def _brackets(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """``Name (Abbreviation)`` and ``Name (the “Short Form”)``."""
    before, characters = earlier[0] if earlier else None, state.characters
    if before is None or before.label != m.label:
        return None
    gap = characters.text[characters.ends[before.end - 1] : characters.starts[m.start]]
    if "(" not in gap or not OPENED.fullmatch(gap):
        return None
    after = m.span.doc[m.end : m.end + 2].text.lstrip("”\"’'")
    return before if after[:1] in (")", ",", ";") else None


@sieve("acronym")
def _acronym(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """An abbreviation and the name whose initials it is, whichever comes first."""
    return _nearest(a for a in earlier if a.label == m.label and (_abbreviates(m, a) or _abbreviates(a, m)))


def _abbreviates(short: _Mention, long: _Mention) -> bool:
    return short.letters is not None and short.letters in long.initials


@sieve("alias")
def _alias(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """Names, abbreviations and adjectives of one country, by the register."""
    code = self.register.code(m.text)
    if code is None:
        return None
    return _nearest(a for a in earlier if a.label == m.label and self.register.code(a.text) == code)


@sieve("partial_name")
def _partial_name(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """A person's name whose words are some of another's: "Bekova" after "Aliya Bekova"."""
    words = [w for w in m.words if len(w) > 1]
    if not words:
        return None
    found = [a for a in earlier if a.label == m.label and _within(words, a.words)]
    if not found:
        found = [
            a
            for a in earlier
            if a.label == m.label and a.words and _within([w for w in a.words if len(w) > 1], m.words)
        ]
    return _nearest(found)


def _within(few: Iterable[str], many: Iterable[str]) -> bool:
    few, many = list(few), list(many)
    return bool(few) and len(few) < len(many) and set(few) <= set(many) and (few[-1] == many[-1] or few[0] == many[0])


@sieve("short_form")
def _short_form(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """A definite short form: the head of a longer name ("the Commission"), or a word of ``generic`` ("the event").

    ``generic`` maps a label to the common nouns that may stand for any earlier mention with that label.
    """
    if m.indefinite or _preceded_by_name(m):
        return None
    same = [a for a in earlier if a.label == m.label]
    words = [w for w in m.words if w not in SMALL and not w.isdigit()]
    if not words:
        return None
    if len(words) == 1 and words[0] in settings.get("generic", {}).get(m.label, ()):
        heads = [a for a in same if words[0] in a.words]
        return _nearest(heads) or _nearest(same)
    found = [a for a in same if a.head == m.head and a.expanded.issuperset(words)]
    if not found and m.text[:1].isupper():
        found = [a for a in same if len(words) < len(a.words) and a.expanded.issuperset(words)]
    return _nearest(found)


def _preceded_by_name(m: _Mention) -> bool:
    """True where a name's possessive or adjective stands in front, which may single out another one."""
    return m.span.start > 0 and m.span.doc[m.span.start - 1].text in ("’s", "'s", "’")


@sieve("office")
def _office(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """Roles named beside one person are one office where the one's words are in the other's."""
    if m.holder is None:
        return None
    person = state.find(m.holder)
    same = [a for a in earlier if a.label == m.label and a.holder is not None and state.find(a.holder) == person]
    found = [a for a in same if set(m.words) == set(a.words)] or [a for a in same if _compatible(m.words, a.words)]
    return min(found, key=lambda a: a.number, default=None)


def _compatible(a: Tuple[str, ...], b: Tuple[str, ...]) -> bool:
    return set(a) <= set(b) or set(b) <= set(a)


@sieve("holder")
def _holder(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """A role without a name, and the person who was named with it before: "the trade minister said"."""
    if m.holder is not None or m.indefinite or m.head.endswith("s"):
        return None
    wanted = set(m.words) - SMALL
    best: List[_Mention] = []
    for role in earlier:
        if role.label == m.label and role.holder is not None:
            person = state.mentions[role.holder]
            held = _offices(state, person, m.label, earlier)
            if person.number < m.number and any(wanted <= (set(words) - SMALL) for words in held):
                best.append(person)
    return max(best, key=lambda person: person.number, default=None)


def _offices(state: _State, person: _Mention, label: str, earlier: List[_Mention]) -> List[Tuple[str, ...]]:
    root = state.find(person.number)
    return [m.words for m in earlier if m.label == label and m.holder is not None and state.find(m.holder) == root]


@sieve("unnamed")
def _unnamed(
    self: Identity, state: _State, m: _Mention, earlier: List[_Mention], settings: Dict[str, Any]
) -> Optional[_Mention]:
    """A role without a name, and the same words without a name before."""
    if m.holder is not None or m.indefinite:
        return None
    return _nearest(a for a in earlier if a.label == m.label and a.holder is None and a.key == m.key)


def known_sieves() -> FrozenSet[str]:
    """Names that a config may use."""
    return frozenset(SIEVES)
