"""The guide's metrics as spaCy scorers. They pickle, for processes that don't fork take a pipeline with its scorers."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

from spacy.training import Example
from spacy.util import registry

from ..bridge import from_doc
from ..schema import Schema
from .metrics import Tally

Scorer = Callable[..., Dict[str, Any]]


def score_examples(examples: Iterable[Example], schema: Schema) -> Dict[str, Dict[str, float]]:
    """All scores of the guide for examples, by ``Tally``."""
    tally = Tally(schema)
    for eg in examples:
        tally.add(from_doc(eg.reference, schema.span_key), from_doc(eg.predicted, schema.span_key))
    return tally.result()


def _flat(result: Dict[str, Dict[str, float]], layer: str, name: str) -> Dict[str, Any]:
    """One layer as spaCy names scores: name_p, name_r, name_f, name_per_type; None where nothing was annotated."""
    found = result.get(layer)
    if found is None:
        return {f"{name}_{k}": None for k in "prf"}
    out: Dict[str, Any] = {f"{name}_{k}": found[k] for k in "prf" if k in found}
    kinds = sorted(k for k in result if k.startswith(f"{layer}:"))  # counted from sets: in no order of their own
    per_type = {k.split(":", 1)[1]: {m: result[k][m] for m in "prf"} for k in kinds}
    if per_type:
        out[f"{name}_per_type"] = per_type
    return out


@registry.scorers("communique.span_scorer.v1")
def make_span_scorer() -> Scorer:
    """``ents_f`` and its kin; for spans under a key ``spans_KEY_f`` (exact) and ``spans_KEY_overlap_f``."""

    return _score_spans


def _score_spans(
    examples: Iterable[Example], *, spans_key: Optional[str], labels: Sequence[str], **kwargs: Any
) -> Dict[str, Any]:
    if spans_key is None:
        return _flat(score_examples(examples, Schema(entities=tuple(labels), span_key=" ")), "entities", "ents")
    result = score_examples(examples, Schema(entities=(), spans=tuple(labels), span_key=spans_key))
    exact = _flat(result, f"{spans_key} exact", f"spans_{spans_key}")
    return {**exact, **_flat(result, f"{spans_key} overlap", f"spans_{spans_key}_overlap")}


def _score_layers(
    layers: Dict[str, str], examples: Iterable[Example], *, schema: Schema, **kwargs: Any
) -> Dict[str, Any]:
    result = score_examples(examples, schema)
    parts: List[Dict[str, Any]] = [_flat(result, layer, name) for layer, name in layers.items()]
    return {k: v for part in parts for k, v in part.items()}


@registry.scorers("communique.relation_scorer.v1")
def make_relation_scorer() -> Scorer:
    """``rels_f`` (strict) and ``facts_f``, with their kin and types."""
    return partial(_score_layers, {"relations strict": "rels", "facts": "facts"})


@registry.scorers("communique.identity_scorer.v1")
def make_identity_scorer() -> Scorer:
    """``identity_f``: the mean F1 of MUC, B-cubed and CEAF-e; None where the gold has no clusters."""
    return partial(_score_layers, {"identity": "identity"})
