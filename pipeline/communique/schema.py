"""The label scheme: what is tagged and how labels may be related. Read from a config, hard-coded nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple, TypeVar, Union

import numpy as np
from spacy.util import registry
from thinc.api import Config

from .errors import ConfigError

Section = TypeVar("Section")


@dataclass(frozen=True)
class RelationType:
    """A directed relation and the labels that its head and tail may have."""

    name: str
    heads: Tuple[str, ...]
    tails: Tuple[str, ...]
    symmetric: bool = False

    def allows(self, head: str, tail: str) -> bool:
        """True if the signature permits the pair; a symmetric type permits either order."""
        if head in self.heads and tail in self.tails:
            return True
        return self.symmetric and tail in self.heads and head in self.tails


@dataclass(frozen=True)
class Checks:
    """What the corpus checker looks for beyond labels and signatures."""

    determiners: Tuple[str, ...] = ()
    endings: Tuple[str, ...] = ()
    quotes: Tuple[str, ...] = ()
    abbreviations: Tuple[str, ...] = ()
    adjacent: Tuple[Tuple[str, str, str], ...] = ()
    exclusive: Tuple[Tuple[str, str], ...] = ()
    required: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Duplicates:
    """When two releases of a corpus are too much alike.

    passage: least length of a shared passage, in words; own_words: how many of them stand outside of names.
    similarity: least Jaccard similarity of near-duplicates, over shingles of ``shingle`` words.
    """

    passage: int
    own_words: int
    shingle: int
    similarity: float


@dataclass(frozen=True)
class Cue:
    """Words that state something: a sentence with one of them has ``expected`` (a label or relation type), or is
    worth a second look."""

    expected: Tuple[str, ...]
    words: Tuple[str, ...]


@dataclass(frozen=True)
class Sweeps:
    """What the consistency sweeps look for: cues, labels whose clusters have relations, pairs of neighbours."""

    cues: Tuple[Cue, ...] = ()
    related: Tuple[str, ...] = ()
    neighbours: Tuple[Tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Schema:
    """Entity labels, span labels and relation types of one domain.

    Entities are flat and live in ``doc.ents``; spans may enclose entities and live in
    ``doc.spans[span_key]``. ``identity`` names the labels whose mentions are clustered.
    """

    entities: Tuple[str, ...]
    spans: Tuple[str, ...] = ()
    span_key: str = "spans"
    relations: Tuple[RelationType, ...] = ()
    identity: FrozenSet[str] = frozenset()
    compatible: FrozenSet[FrozenSet[str]] = frozenset()
    checks: Checks = field(default_factory=Checks)
    duplicates: Optional[Duplicates] = None
    sweeps: Sweeps = field(default_factory=Sweeps)

    @property
    def labels(self) -> Tuple[str, ...]:
        """Labels of all mentions: entities first, then spans."""
        return self.entities + self.spans

    @property
    def relation_names(self) -> Tuple[str, ...]:
        return tuple(r.name for r in self.relations)

    @property
    def symmetric(self) -> FrozenSet[str]:
        return frozenset(r.name for r in self.relations if r.symmetric)

    def relation(self, name: str) -> Optional[RelationType]:
        return next((r for r in self.relations if r.name == name), None)

    def may_share_cluster(self, a: str, b: str) -> bool:
        return a == b or frozenset((a, b)) in self.compatible

    def signature(self) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Boolean array of shape (labels, labels, relation types): which types a (head, tail) pair may have.

        A symmetric type is allowed in the head's order only; the suggester orders pairs by position.
        """
        table = np.zeros((len(self.labels), len(self.labels), len(self.relations)), dtype=bool)
        for k, rel in enumerate(self.relations):
            for i, head in enumerate(self.labels):
                for j, tail in enumerate(self.labels):
                    table[i, j, k] = rel.allows(head, tail)
        return table

    def to_dict(self) -> Dict[str, Any]:
        """Plain data, the same shape as the ``[schema]`` section of a config."""
        return {
            "entities": {
                "labels": list(self.entities),
                "identity": sorted(self.identity),
                "compatible": sorted(sorted(pair) for pair in self.compatible),
            },
            "spans": {"key": self.span_key, "labels": list(self.spans)},
            "relations": {
                r.name: {"heads": list(r.heads), "tails": list(r.tails), "symmetric": r.symmetric}
                for r in self.relations
            },
            "checks": {k: _plain(v) for k, v in vars(self.checks).items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, file: Optional[str] = None) -> "Schema":
        """Build and validate. Raises ConfigError naming the label or type that is wrong."""
        entities = data.get("entities", {})
        spans = data.get("spans", {})
        relations = tuple(_relation(name, spec, file) for name, spec in data.get("relations", {}).items())
        schema = cls(
            entities=tuple(entities.get("labels", ())),
            spans=tuple(spans.get("labels", ())),
            span_key=str(spans.get("key", "spans")),
            relations=relations,
            identity=frozenset(entities.get("identity", ())),
            compatible=frozenset(frozenset(pair) for pair in entities.get("compatible", ())),
            checks=_section(Checks, {k: _frozen(v) for k, v in data.get("checks", {}).items()}, "checks", file),
            duplicates=_section(Duplicates, data["duplicates"], "duplicates", file) if data.get("duplicates") else None,
            sweeps=_sweeps(data.get("sweeps", {}), file),
        )
        schema._validate(file)
        return schema

    @classmethod
    def from_disk(cls, path: Union[str, Path]) -> "Schema":
        """Read the ``[schema]`` section of a config file."""
        try:
            config = Config().from_disk(path)
        except (OSError, ValueError) as err:
            raise ConfigError(f"can't read the label scheme: {err}", file=str(path)) from err
        if "schema" not in config:
            raise ConfigError("no [schema] section", file=str(path))
        return cls.from_dict(config["schema"], file=str(path))

    def _validate(self, file: Optional[str]) -> None:
        if not self.entities:
            raise ConfigError("[schema.entities] names no labels", file=file)
        known = set(self.labels)
        if len(known) != len(self.labels):
            raise ConfigError("a label is named twice in [schema.entities] and [schema.spans]", file=file)
        if len(set(self.relation_names)) != len(self.relations):
            raise ConfigError("a relation type is named twice in [schema.relations]", file=file)
        used = {label: f"[schema.relations.{r.name}]" for r in self.relations for label in r.heads + r.tails}
        used.update({label: "[schema.entities] identity" for label in self.identity})
        used.update({label: "[schema.entities] compatible" for pair in self.compatible for label in pair})
        used.update({label: "[schema.sweeps] related" for label in self.sweeps.related})
        for label, where in used.items():
            if label not in known:
                raise ConfigError(
                    f"{where} uses the unknown label {label!r}; known: {', '.join(self.labels)}", file=file
                )
        self._validate_rules(file)

    def _validate_rules(self, file: Optional[str]) -> None:
        """Every word of the checks' and sweeps' rules is a label or a relation type."""
        known = {*self.labels, *self.relation_names}
        rules = {f"[schema.checks] {k}": getattr(self.checks, k) for k in ("adjacent", "exclusive", "required")}
        rules["[schema.sweeps] neighbours"] = self.sweeps.neighbours
        rules["[schema.sweeps.cues]"] = tuple(cue.expected for cue in self.sweeps.cues)
        lengths = {"[schema.checks] adjacent": 3, "[schema.sweeps] neighbours": 3}
        for where, rows in rules.items():
            for row in rows:
                unknown = [word for word in row if word not in known]
                if unknown:
                    names = ", ".join([*self.labels, *self.relation_names])
                    raise ConfigError(f"{where} uses {unknown[0]!r}, no label and no type; known: {names}", file=file)
                if where in lengths and len(row) != lengths[where]:
                    raise ConfigError(f"{where}: write [left label, right label, relation type]", file=file)


def _relation(name: str, spec: Mapping[str, Any], file: Optional[str]) -> RelationType:
    if not spec.get("heads") or not spec.get("tails"):
        raise ConfigError(f"[schema.relations.{name}] needs heads and tails", file=file)
    shown = str(spec.get("name", name))  # a section's name may hold no full stop, a relation type's may
    return RelationType(shown, tuple(spec["heads"]), tuple(spec["tails"]), bool(spec.get("symmetric", False)))


def _section(kind: Callable[..., Section], data: Mapping[str, Any], name: str, file: Optional[str]) -> Section:
    try:
        return kind(**data)
    except TypeError as err:
        message = str(err).replace("__init__() ", "")
        raise ConfigError(f"[schema.{name}]: {message}", file=file) from err


def _sweeps(data: Mapping[str, Any], file: Optional[str]) -> Sweeps:
    found = data.get("cues", {}).items()
    cues = tuple(
        _section(Cue, {k: _frozen(v) for k, v in cue.items()}, f"sweeps.cues.{name}", file) for name, cue in found
    )
    return Sweeps(cues, tuple(data.get("related", ())), _frozen(data.get("neighbours", ())))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    return list(map(_plain, value)) if isinstance(value, (list, tuple)) else value


@registry.readers("communique.Schema.v1")
def read_schema(path: Union[str, Path]) -> Dict[str, Any]:
    """The label scheme as plain data, for the ``[initialize]`` block of a pipeline config."""
    return Schema.from_disk(path).to_dict()


@registry.readers("communique.SchemaLabels.v1")
def read_labels(path: Union[str, Path], layer: str) -> List[str]:
    """The labels of one layer: ``entities``, ``spans`` or ``relations``."""
    schema = Schema.from_disk(path)
    layers = {"entities": schema.entities, "spans": schema.spans, "relations": schema.relation_names}
    if layer not in layers:
        raise ConfigError(f"unknown layer {layer!r}; known: {', '.join(layers)}", file=str(path))
    return list(layers[layer])
