"""What push and pull ask of a Doccano, and the records that it answers with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Protocol, Sequence, Tuple

from ..errors import CommuniqueError
from .colours import LabelType

TOGETHER = ""  # whose annotations those of a project are in which all annotate together


class DoccanoError(CommuniqueError):
    """Raised where Doccano, or the way to it, fails; ``kind`` says how."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True)
class ProjectSettings:
    """What decides whether a project can hold releases without loss, by Doccano's own names."""

    project_type: str = "SequenceLabeling"
    allow_overlapping: bool = True
    use_relation: bool = True
    grapheme_mode: bool = False
    collaborative_annotation: bool = True
    random_order: bool = False


@dataclass(frozen=True)
class Project:
    id: int
    name: str
    settings: ProjectSettings


@dataclass
class Example:
    """One example. ``annotations`` are Doccano's, {annotator: {"entities": [...], "relations": [...]}}, with offsets in
    UTF-16 units; ``confirmed`` holds the annotators who confirmed it. Where all annotate together, ``TOGETHER`` is the
    annotator."""

    id: int
    text: str
    meta: Mapping[str, Any]
    comments: int = 0
    annotations: Dict[str, Dict[str, List[Dict[str, Any]]]] = field(default_factory=dict)
    confirmed: FrozenSet[str] = frozenset()


@dataclass(frozen=True)
class Confirmation:
    example: int
    by: str
    at: Optional[str]


class Server(Protocol):
    """A Doccano to which somebody is logged in. Every call raises DoccanoError where it fails."""

    @property
    def url(self) -> str: ...

    def find_projects(self, name: str) -> List[Project]:
        """Of the user's projects those with exactly this name."""

    def create_project(self, name: str, description: str, guideline: str, settings: ProjectSettings) -> Project: ...

    def label_types(self, project: Project) -> List[LabelType]: ...

    def create_label_type(self, project: Project, label_type: LabelType) -> None: ...

    def snapshot(self, project: Project) -> List[Example]:
        """All examples with all their annotations. Of meta there is what push sent."""

    def upload(self, project: Project, rows: Sequence[Mapping[str, Any]]) -> List[str]:
        """Import rows as one piece; what the server said was wrong. Only a snapshot shows what it took."""

    def delete(self, project: Project, ids: Iterable[int]) -> None: ...

    def set_meta(self, project: Project, example: int, key: str, value: Mapping[str, Any]) -> None:
        """Set one key of an example's meta."""

    def confirmations(self, project: Project, examples: Iterable[Example]) -> List[Confirmation]:
        """Who confirmed these and when, as far as the server tells."""


Span = Tuple[int, int, str]
