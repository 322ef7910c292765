"""Facts: relations between things instead of between mentions, with all their evidence. What a user reads."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc

from ..bridge import Characters, span_key
from .confidence import calibrated, check_line

Thing = Tuple[str, str]


@Language.factory(
    "communique_facts",
    requires=["doc._.relations", "doc._.clusters"],
    assigns=["doc._.facts"],
    default_config={"name_labels": [], "calibration": [1.0, 0.0]},
)
def make_facts(nlp: Language, name: str, name_labels: List[str], calibration: List[float]) -> "Facts":
    return Facts(name, name_labels, calibration)


class Facts(Pipe):
    """Merges the relations of a doc into ``doc._.facts``, most certain first by text order.

    A fact is a dict: type; head and tail, each with name, label, cluster and norm where there is one; score, the best
    of its relations', put on the line ``calibration`` (slope and offset of the log odds); evidence, one dict a relation
    with the sentence's start and end in characters, and those of the two mentions. ``name_labels`` are preferred when a
    cluster is named after one of its mentions (a person's name, not the role that stands for the person). A relation of
    a symmetric type is one fact in either direction.
    """

    def __init__(self, name: str, name_labels: List[str], calibration: Sequence[float] = (1.0, 0.0)) -> None:
        self.name = name
        self.name_labels = frozenset(name_labels)
        self.calibration = check_line(name, "calibration", calibration)

    def __call__(self, doc: Doc) -> Doc:
        characters, norms = Characters(doc), doc._.norms
        shared: Dict[Tuple[Any, ...], Dict[str, Any]] = {}  # what the mentions of a cluster have in common
        for cluster in doc._.clusters:
            members = [tuple(m) for m in cluster["mentions"]]
            shared.update(dict.fromkeys(members, self._described(characters, norms, members, cluster["id"])))
        facts: Dict[Tuple[str, Thing, Thing], Dict[str, Any]] = {}
        ends_of = {tuple(r[k]) for r in doc._.relations for k in ("head", "tail")}
        things = {mention: self._thing(characters, norms, mention, shared) for mention in ends_of}
        for r in doc._.relations:
            ends = [things[tuple(r[k])] for k in ("head", "tail")]
            keys = [key for key, _ in ends]
            if r.get("symmetric") and (r["type"], keys[1], keys[0]) in facts:
                keys.reverse()
            if keys[0] == keys[1]:
                continue
            fact = facts.setdefault(
                (r["type"], keys[0], keys[1]),
                {"type": r["type"], "head": dict(ends[0][1]), "tail": dict(ends[1][1]), "score": 0.0, "evidence": []},
            )
            fact["score"] = max(fact["score"], float(r["score"] or 0.0))
            fact["evidence"].append(_evidence(characters, r))
        for fact in facts.values():
            fact["score"] = round(calibrated(fact["score"], self.calibration), 4)
        doc._.facts = list(facts.values())
        return doc

    def _described(
        self, characters: Characters, norms: Any, members: List[Tuple[Any, ...]], cluster: Any = None
    ) -> Dict[str, Any]:
        """A thing by all its mentions: called after the best of them, with the norm of the first that has one."""
        start, end, label = self._best(characters, members)
        thing: Dict[str, Any] = {"name": characters.between(start, end), "label": label}
        if cluster is not None:
            thing["cluster"] = cluster
        norm = next((norms[k] for k in (span_key(*m) for m in members) if k in norms), None)
        if norm is not None:
            thing["norm"] = norm
        return thing

    def _thing(
        self, characters: Characters, norms: Any, mention: Tuple[Any, ...], shared: Any
    ) -> Tuple[Thing, Dict[str, Any]]:
        """What a mention is a mention of, and a key for it. The mention's own norm goes before its cluster's."""
        thing = dict(shared[mention] if mention in shared else self._described(characters, norms, [mention]))
        own = norms.get(span_key(*mention))
        if own is not None:
            thing["norm"] = own
        if mention in shared:
            return ("cluster", str(thing["cluster"])), thing
        norm = thing.get("norm")
        return ("norm", f"{thing['label']} {norm}") if norm is not None else ("span", span_key(*mention)), thing

    def _best(self, characters: Characters, members: List[Tuple[Any, ...]]) -> Tuple[int, int, str]:
        """The most telling mention: of a name label, capitalised, long, early."""

        def rank(m: Tuple[Any, ...]) -> Tuple[bool, bool, int, int]:
            text = characters.between(m[0], m[1])
            return m[2] in self.name_labels, text[:1].isupper(), len(text), -m[0]

        start, end, label = max(members, key=rank)
        return start, end, label


def _evidence(characters: Characters, relation: Dict[str, Any]) -> Dict[str, Any]:
    out: Dict[str, Any] = {name: list(characters.edges(*relation[name][:2])) for name in ("head", "tail")}
    if relation["evidence"] is not None:
        start, end = characters.edges(*relation["evidence"])
        out.update({"start": start, "end": end, "text": characters.text[start:end].strip()})
    return out
