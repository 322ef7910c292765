"""Sends releases to a Doccano project and makes sure that it holds them, by looking at what it holds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence

from ..release import Release
from .options import PushOptions
from .plan import Plan, make_plan, sealed
from .rows import KEY, to_row
from .server import DoccanoError, Project, Server

Progress = Callable[[int, int], None]


@dataclass
class Pushed:
    """What a push found and did, by ids. kept: what people changed and stays. twice: {id: numbers of examples}, copies
    that people must decide on."""

    project: Project
    url: str
    new: List[str] = field(default_factory=list)
    updated: List[str] = field(default_factory=list)
    repaired: List[str] = field(default_factory=list)
    forced: List[str] = field(default_factory=list)
    unchanged: List[str] = field(default_factory=list)
    noted: int = 0
    duplicates: int = 0
    kept: Dict[str, str] = field(default_factory=dict)
    twice: Dict[str, List[int]] = field(default_factory=dict)

    def counts(self) -> Dict[str, int]:
        lists = ("new", "updated", "repaired", "forced", "unchanged", "kept", "twice")
        return {**{key: len(getattr(self, key)) for key in lists}, "duplicates": self.duplicates, "noted": self.noted}

    def to_dict(self) -> Dict[str, Any]:
        where = {"project": self.project.name, "number": self.project.id, "url": self.url}
        return {**where, **self.counts(), "kept_ids": self.kept, "twice_ids": self.twice}


def push(
    server: Server,
    project: Project,
    releases: Sequence[Release],
    options: PushOptions,
    *,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Pushed:
    """Send what the project lacks, and repair what an earlier push left half done. Ids of releases must differ.

    force: replace what people changed, too. Raises DoccanoError where the server fails, or does not hold what it was
    sent in the end; a push that is cut short is completed by the next one.
    """
    plan = make_plan(releases, server.snapshot(project), force)
    pushed = _begun(server, project, plan)
    said: List[str] = []
    for _ in range(options.rounds):
        _seal(server, project, plan)
        if not (plan.send or plan.delete or plan.records):
            return pushed
        said += _carry_out(server, project, plan, options.piece, progress)
        plan = make_plan(releases, server.snapshot(project), False)
        pushed.duplicates += len(plan.duplicates)
    _seal(server, project, plan)
    if plan.send or plan.delete:
        raise DoccanoError("server", _not_held(server, project, plan, said))
    return pushed


def _begun(server: Server, project: Project, plan: Plan) -> Pushed:
    ids = {
        key: [release.id for release in getattr(plan, key)]
        for key in ("new", "updated", "repaired", "forced", "unchanged")
    }
    kept = {name: state.value for name, state in plan.kept.items()}
    return Pushed(
        project,
        server.url,
        **ids,
        noted=len(plan.records),
        duplicates=len(plan.duplicates),
        kept=kept,
        twice=plan.twice,
    )


def _seal(server: Server, project: Project, plan: Plan) -> None:
    for example in plan.seal:
        server.set_meta(project, example.id, KEY, sealed(example))
    plan.seal = []


def _carry_out(server: Server, project: Project, plan: Plan, size: int, progress: Progress) -> List[str]:
    """Delete, note and send; what the server said was wrong. Whether it took a piece, only the next snapshot shows."""
    if plan.delete:
        server.delete(project, plan.delete)
    for example, about in plan.records.items():
        server.set_meta(project, example, KEY, about)
    said: List[str] = []
    send = plan.send
    done = 0
    for piece in pieces(send, size):
        name = uuid.uuid4().hex
        rows = [to_row(release, name, i == 0) for i, release in enumerate(piece)]
        try:
            said += server.upload(project, rows)
        except DoccanoError as err:
            if err.kind != "server":
                raise
            said.append(str(err))  # it may have taken the piece all the same, or a part of it
        done += len(piece)
        progress(done, len(send))
    return said


def pieces(releases: Sequence[Release], size: int) -> Iterator[Sequence[Release]]:
    for start in range(0, len(releases), size):
        yield releases[start : start + size]


def _not_held(server: Server, project: Project, plan: Plan, said: Iterable[str]) -> str:
    names = ", ".join(release.id for release in plan.send[:5])
    more = f" and {len(plan.send) - 5} more" if len(plan.send) > 5 else ""
    why = f"; it said: {'; '.join(dict.fromkeys(said))}" if said else ""
    return f"{server.url}, project {project.name!r}: it does not hold what it was sent: {names}{more}{why}"
