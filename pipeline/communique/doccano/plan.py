"""What a push has to do: decided from what is to go and what the server holds, and from nothing else.

An import that was cut short leaves examples without some of their annotations, and one that was asked for twice leaves
duplicates. Both look like what people do, who delete spans and copy examples. What tells them apart is the seal: when a
push has seen that all of a piece arrived, it seals the piece's first example. In a piece that is not sealed nobody was
meant to work yet; there, and only there, what was never confirmed may be repaired.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Container, Dict, Iterable, List, Mapping

from ..release import Release
from .rows import KEY, Annotations, about, annotations_of, held_annotations, pack, record_of, same_record, text_hash
from .server import Example


class State(Enum):
    """What became of an example since it was sent."""

    whole = "as it was sent"
    partial = "not all of it arrived"
    changed = "changed by people"
    confirmed = "confirmed"


@dataclass(frozen=True)
class Held:
    """An example that a push has sent, and what is known of it."""

    example: Example
    about: Mapping[str, Any]
    state: State
    sealed: bool
    together: Annotations  # of all annotators

    @property
    def theirs(self) -> bool:
        """Whether there is work of people in it."""
        return self.state in (State.changed, State.confirmed)


@dataclass
class Plan:
    """new, updated, repaired, forced: releases to send. delete: ids of examples that they replace, and of duplicates.
    records: {example id: what it shall say of itself} where only what Doccano has no place for differs. kept: what
    people changed and stays as it is, though the release differs. seal: first examples of pieces that arrived whole."""

    new: List[Release] = field(default_factory=list)
    updated: List[Release] = field(default_factory=list)
    repaired: List[Release] = field(default_factory=list)
    forced: List[Release] = field(default_factory=list)
    unchanged: List[Release] = field(default_factory=list)
    kept: Dict[str, State] = field(default_factory=dict)
    twice: Dict[str, List[int]] = field(default_factory=dict)
    duplicates: List[int] = field(default_factory=list)
    delete: List[int] = field(default_factory=list)
    records: Dict[int, Dict[str, Any]] = field(default_factory=dict)
    seal: List[Example] = field(default_factory=list)

    @property
    def send(self) -> List[Release]:
        return [*self.repaired, *self.forced, *self.updated, *self.new]


def held_examples(examples: Iterable[Example]) -> List[Held]:
    """Those of a project's examples that a push has sent."""
    ours = [(example, known) for example in examples if (known := about(example)) is not None]
    unsealed = {known["piece"] for _, known in ours if known["first"] and not known["sealed"]}
    return [_held(example, known, known["piece"] not in unsealed) for example, known in ours]


def _held(example: Example, known: Mapping[str, Any], sealed: bool) -> Held:
    each = [held_annotations(data) for data in example.annotations.values()]
    spans = frozenset().union(*(one.spans for one in each))
    together = Annotations(spans, frozenset().union(*(one.relations for one in each)))
    if example.confirmed:
        state = State.confirmed
    elif text_hash(example.text) != known["text"] or example.comments:
        state = State.changed
    elif together.digest() == known["sent"]:
        state = State.whole
    elif not sealed and not together.relations and len(spans) in (0, known["spans"]):
        state = State.partial  # the server imports all spans of a piece, and then all relations
    else:
        state = State.changed
    return Held(example, known, state, sealed, together)


def make_plan(releases: Iterable[Release], examples: Iterable[Example], force: bool) -> Plan:
    """What to do so that the server holds these releases. Their ids must differ."""
    groups: Dict[str, List[Held]] = defaultdict(list)
    held = held_examples(examples)
    for one in held:
        groups[one.about["id"]].append(one)
    plan = Plan()
    judged = set()
    for release in releases:
        judged.add(release.id)
        copies = groups.get(release.id, [])
        if copies:
            _one(plan, release, _keep_one(plan, release, copies), force)
        else:
            plan.new.append(release)
    _order_deletions(plan, held)
    gone = set(plan.delete)
    plan.seal = _whole_pieces([one for one in held if one.example.id not in gone], judged)
    return plan


def _keep_one(plan: Plan, release: Release, copies: List[Held]) -> Held:
    """The example to go on with; further ones are duplicates that may go, or copies that people must decide on."""
    order = [State.confirmed, State.changed, State.whole, State.partial]
    first, *others = sorted(copies, key=lambda one: (order.index(one.state), not one.sealed, one.example.id))
    for one in others:
        if one.theirs or one.sealed:
            plan.twice.setdefault(release.id, [first.example.id]).append(one.example.id)
        else:
            plan.duplicates.append(one.example.id)
            plan.delete.append(one.example.id)
    return first


def _one(plan: Plan, release: Release, held: Held, force: bool) -> None:
    wanted = annotations_of(release)
    same_text = text_hash(release.text) == text_hash(held.example.text)
    incomplete = held.state is State.partial or (
        held.state is State.changed
        and not held.sealed
        and wanted.digest() == held.about["sent"]
        and held.together.within(wanted)
        and not held.example.comments
    )
    if same_text and held.together.digest() == wanted.digest():
        plan.unchanged.append(release)
        if not same_record(release, held.about["record"]):
            plan.records[held.example.id] = {**held.about, "record": pack(record_of(release))}
        return
    if incomplete:
        plan.repaired.append(release)
    elif not held.theirs:
        plan.updated.append(release)
    elif force:
        plan.forced.append(release)
    else:
        plan.kept[release.id] = held.state
        return
    plan.delete.append(held.example.id)


def _order_deletions(plan: Plan, held: Iterable[Held]) -> None:
    """First examples last: a piece without its first counts as sealed, and deleting may be cut short."""
    first = {one.example.id: bool(one.about["first"]) for one in held}
    plan.delete.sort(key=lambda number: (first[number], number))


def _whole_pieces(held: Iterable[Held], judged: Container[str]) -> List[Example]:
    """The first examples of unsealed pieces of which nothing is missing.

    judged: ids of releases that were compared with what is there. Of another one nobody knows whether people changed it
    or a part did not arrive, unless they confirmed or commented it.
    """
    pieces: Dict[str, List[Held]] = defaultdict(list)
    for one in held:
        if not one.sealed:
            pieces[one.about["piece"]].append(one)
    out = []
    for members in pieces.values():
        if all(_arrived(one, judged) for one in members):
            out += [one.example for one in members if one.about["first"]]
    return out


def _arrived(one: Held, judged: Container[str]) -> bool:
    if one.state is State.changed:
        return bool(one.example.comments) or one.about["id"] in judged
    return one.state is not State.partial


def sealed(example: Example) -> Dict[str, Any]:
    return {**example.meta[KEY], "sealed": True}
