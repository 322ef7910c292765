"""Brings what people annotated in Doccano into the corpus, and loses nothing of what was changed there meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple
from urllib.parse import quote

from ..errors import CommuniqueError, Defect
from ..release import Release
from .check import Checker
from .choices import Side
from .local import ExchangeFile, Local, open_local, read_base, write_base
from .merge import Outcome, conflict_diff, outcome
from .plan import Held, held_examples
from .rows import annotations_of, plain, same_record, to_release
from .server import TOGETHER, Example, Project, Server


@dataclass(frozen=True)
class Conflict:
    """A release that was changed on both sides. diff: what each side changed."""

    id: str
    diff: str


@dataclass
class Pulled:
    """What a pull found and did, by ids. waiting: examples that nobody has confirmed. unidentified: mentions of what it
    brought that have no identity yet, as those that people add."""

    project: Project
    url: str
    new: List[str] = field(default_factory=list)
    same: List[str] = field(default_factory=list)
    updated: List[str] = field(default_factory=list)
    ours: List[str] = field(default_factory=list)
    conflicts: List[Conflict] = field(default_factory=list)
    refused: List[Defect] = field(default_factory=list)
    waiting: int = 0
    unidentified: int = 0
    files: Dict[str, int] = field(default_factory=dict)

    def counts(self) -> Dict[str, int]:
        lists = ("new", "updated", "same", "ours", "conflicts", "refused")
        return {
            **{key: len(getattr(self, key)) for key in lists},
            "waiting": self.waiting,
            "unidentified": self.unidentified,
        }

    def to_dict(self) -> Dict[str, Any]:
        return {
            **{"project": self.project.name, "number": self.project.id, "url": self.url, "files": self.files},
            **self.counts(),
            "conflict_diffs": {conflict.id: conflict.diff for conflict in self.conflicts},
            "refused_items": [defect.to_dict() for defect in self.refused],
        }


def pull(
    server: Server,
    project: Project,
    output: Path,
    checker: Checker,
    *,
    everything: bool = False,
    take: Optional[Side] = None,
) -> Pulled:
    """Bring what is confirmed, or everything, into a ``.jsonl`` file or a folder of markup.

    Where each annotates alone, into one ``.jsonl`` file for each in a folder. take: the version
    that stands where both were changed; None for neither. Raises CommuniqueError, and DefectError where what is there
    can't be read; nothing is written then.
    """
    examples = server.snapshot(project)
    pulled = Pulled(project, server.url, waiting=sum(not e.confirmed for e in examples))
    if project.settings.collaborative_annotation:
        _pull_one(server, pulled, examples, TOGETHER, open_local(output), checker, everything, take)
        return pulled
    if output.suffix:
        raise CommuniqueError(f"{output}: in {project.name!r} each annotates alone: name a folder for their files")
    for annotator in sorted({name for e in examples for name in (*e.annotations, *e.confirmed)}):
        local = ExchangeFile(output / f"{quote(annotator, safe='@+-_. ').strip('.') or '%'}.jsonl")
        _pull_one(server, pulled, examples, annotator, local, checker, everything, take)
    return pulled


def _pull_one(
    server: Server,
    pulled: Pulled,
    examples: List[Example],
    annotator: str,
    local: Local,
    checker: Checker,
    everything: bool,
    take: Optional[Side],
) -> None:
    """The annotations of one annotator, or those that all made together."""
    wanted = [e for e in examples if annotator in e.confirmed or (everything and _touched(e, annotator))]
    found = _readable(server, pulled, wanted, annotator, local, checker)
    if not found:
        return
    ours, base = local.read(), read_base(local.base_file)
    changed: Dict[str, Release] = {}
    for held, theirs in found:
        mine = ours.get(theirs.id)
        before = base.get(theirs.id) or _as_sent(held, mine)
        stands = _decide(pulled, before, mine, theirs, take)
        if stands is not None:
            base[theirs.id] = theirs
            if stands != mine:
                changed[theirs.id] = stands
                pulled.unidentified += _unidentified(stands, checker)
    local.write(changed)
    write_base(local.base_file, base.values())  # last: cut short before this, the next pull sees that both are the same
    where = str(getattr(local, "path", None) or getattr(local, "folder", ""))
    pulled.files[where] = len(changed)


def _touched(example: Example, annotator: str) -> bool:
    """Whether there is something of this annotator's to bring."""
    return annotator == TOGETHER or bool(example.annotations.get(annotator, {}).get("entities"))


def _decide(
    pulled: Pulled, base: Optional[Release], ours: Optional[Release], theirs: Release, take: Optional[Side]
) -> Optional[Release]:
    """The version that is to stand, or None for a conflict that nobody has decided."""
    sides = [None if release is None else plain(release) for release in (base, ours)]
    found = outcome(sides[0], sides[1], plain(theirs))
    if found is Outcome.conflict and ours is not None and sides[1] is not None:
        if take is None:
            pulled.conflicts.append(Conflict(theirs.id, conflict_diff(sides[0], sides[1], plain(theirs))))
            return None
        found = Outcome.updated if take is Side.server else Outcome.ours
    {
        Outcome.new: pulled.new,
        Outcome.same: pulled.same,
        Outcome.updated: pulled.updated,
        Outcome.ours: pulled.ours,
    }[found].append(theirs.id)
    if found is Outcome.ours:
        return ours
    return theirs


def _as_sent(held: Held, ours: Optional[Release]) -> Optional[Release]:
    """Our version, where it is what was sent: then nobody has changed it here."""
    if ours is None or annotations_of(ours).digest() != held.about["sent"]:
        return None
    if not same_record(ours, held.about["record"]):
        return None
    return ours


def _readable(
    server: Server, pulled: Pulled, wanted: List[Example], annotator: str, local: Local, checker: Checker
) -> List[Tuple[Held, Release]]:
    """The releases of these examples; those that are no gold are refused, each with all reasons."""
    places = {e.id: f"{pulled.url}, project {pulled.project.name!r}, example {e.id}" for e in wanted}
    held = {one.example.id: one for one in held_examples(wanted)}
    for example in wanted:
        if example.id not in held:
            _refuse(pulled, places[example.id], "foreign", "it was not sent by push", "push the release, or delete it")
    copies = Counter(one.about["id"] for one in held.values())
    provenance = _provenance(server, pulled.project, [one.example for one in held.values()], annotator)
    out = []
    for number, one in held.items():
        release, problems = to_release(one.example, annotator, provenance[number])
        place = f"{places[number]} ({release.id})"
        if copies[release.id] > 1:
            _refuse(pulled, place, "twice", "there are several examples of this release", "delete all but one")
            continue
        found = len(pulled.refused)
        for problem in problems:
            _refuse(pulled, place, "unreadable", problem, "delete it there and push the release again")
        if not problems:
            pulled.refused += checker.defects(release, place)
            if reason := local.refusal(release):
                _refuse(pulled, place, "markup", reason, "mend it there, or pull into a .jsonl file")
        if len(pulled.refused) == found:
            out.append((one, release))
    return out


def _refuse(pulled: Pulled, place: str, code: str, message: str, mend: str) -> None:
    pulled.refused.append(Defect(place, 0, 0, code, message, mend))


def _unidentified(release: Release, checker: Checker) -> int:
    """Mentions of a kind that has an identity, without one, in a release whose others have one."""
    if not any(m.cluster for m in release.mentions):
        return 0
    return sum(m.cluster is None and m.label in checker.schema.identity for m in release.mentions)


def _provenance(
    server: Server, project: Project, examples: Iterable[Example], annotator: str
) -> Dict[int, Dict[str, Any]]:
    """{example: who confirmed it, when, and where}."""
    chosen = list(examples)
    confirmed = [e for e in chosen if annotator in e.confirmed]
    by_example: Dict[int, List[Dict[str, Any]]] = defaultdict(list)
    for found in server.confirmations(project, confirmed):
        if annotator in (TOGETHER, found.by):
            by_example[found.example].append({"by": found.by, "at": found.at})
    return {
        e.id: {
            "project": project.name,
            "example": e.id,
            "confirmed": sorted(by_example[e.id], key=lambda c: (c["at"] or "", c["by"])),
        }
        for e in chosen
    }
