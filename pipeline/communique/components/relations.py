"""The relation stage: scores every candidate pair of mentions for every relation type."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Literal, Mapping, Optional, Sequence, Tuple

import numpy as np
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from ..bridge import Key, mentions, span_key
from ..schema import Schema
from .pairs import PairBatch, PairSuggester

default_model_config = """
[model]
@architectures = "communique.RelationModel.v1"
hidden_width = 96
dropout = 0.1

[model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 2
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true
"""
DEFAULT_MODEL = Config().from_str(default_model_config)["model"]
TrainOn = Literal["gold", "predicted", "both"]
Prediction = List[Tuple[Key, Key, str, float]]


@Language.factory(
    "communique_relations",
    requires=["doc.ents"],
    assigns=["doc._.relations"],
    default_config={
        "model": DEFAULT_MODEL,
        "suggester": {"@misc": "communique.PairSuggester.v1", "max_sentences": 3, "max_between": 30},
        "threshold": 0.5,
        "thresholds": {},
        "train_on": "both",
        "scorer": {"@scorers": "communique.relation_scorer.v1"},
    },
    default_score_weights={"rels_f": 1.0, "facts_f": 0.0},
)
def make_relations(
    nlp: Language,
    name: str,
    model: Model[Tuple[List[Doc], PairBatch], Floats2d],
    suggester: PairSuggester,
    threshold: float,
    thresholds: Dict[str, float],
    train_on: TrainOn,
    scorer: Optional[Callable[..., Dict[str, Any]]],
) -> "RelationExtractor":
    return RelationExtractor(
        nlp.vocab,
        model,
        suggester,
        name,
        threshold=threshold,
        thresholds=thresholds,
        train_on=train_on,
        scorer=scorer,
    )


class RelationExtractor(TrainablePipe):
    """Links mentions by typed relations and writes them to ``doc._.relations``.

    A relation holds where its probability reaches ``thresholds[type]``, or ``threshold``. ``train_on`` says whose
    mentions are paired in training: the gold ones, those that earlier components predicted (they must be named in
    ``[training] annotating_components``), or both together, so that wrong mentions are seen as having no relation.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Tuple[List[Doc], PairBatch], Floats2d],
        suggester: PairSuggester,
        name: str = "relations",
        *,
        threshold: float = 0.5,
        thresholds: Optional[Mapping[str, float]] = None,
        train_on: TrainOn = "both",
        scorer: Optional[Callable[..., Dict[str, Any]]] = None,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.suggester = suggester
        self.name = name
        self.threshold = threshold
        self.thresholds = dict(thresholds or {})
        self.train_on = train_on
        self.scorer = scorer
        self.cfg: Dict[str, Any] = {"schema": None}
        self._schema: Optional[Tuple[int, Schema]] = None

    @property
    def schema(self) -> Schema:
        """The label scheme, kept with the component when it is saved. Empty before ``initialize``."""
        data = self.cfg["schema"]
        if data is None:
            return Schema(entities=())
        if self._schema is None or self._schema[0] != id(data):
            self._schema = (id(data), Schema.from_dict(data))
        return self._schema[1]

    @property
    def labels(self) -> Tuple[str, ...]:
        return self.schema.relation_names

    def add_label(self, label: str) -> int:
        raise NotImplementedError(
            f"{self.name}: relation types come with their signatures: give a label_scheme to initialize"
        )

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        label_scheme: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Set the label scheme and the model's sizes.

        Without a label scheme, one is read off the examples: every pair of labels that a type was seen with is allowed.
        """
        validate_get_examples(get_examples, "RelationExtractor.initialize")
        examples = list(get_examples())
        self.cfg["schema"] = label_scheme if label_scheme is not None else _observed_schema(examples)
        types = len(self.cfg["schema"].get("relations", {}))
        if not types:
            raise ValueError(f"{self.name}: the schema names no relation types")
        unknown = set(self.thresholds) - set(self.labels)
        if unknown:
            raise ValueError(f"{self.name}: thresholds for unknown relation types: {', '.join(sorted(unknown))}")
        sample = [eg for eg in examples if len(eg.x)][:10]
        self.model.get_ref("pairs").set_dim("labels", len(self.schema.labels))
        self.model.get_ref("output_layer").set_dim("nO", types)
        docs = [eg.x for eg in sample]
        keys = [self._gold_mentions(eg) for eg in sample]
        self.model.initialize(X=(docs, self.suggester(docs, keys, self.schema)) if docs else None)

    def predict(self, docs: Iterable[Doc]) -> List[Prediction]:
        """Relations of each doc as (head, tail, type, probability)."""
        limits = np.asarray([self.thresholds.get(label, self.threshold) for label in self.labels])
        return self._above(docs, limits)

    def candidates(self, docs: Iterable[Doc], least: float) -> List[Prediction]:
        """As ``predict``, but all that are as probable as ``least``, whatever the thresholds are."""
        return self._above(docs, np.full(len(self.labels), least))

    def _above(self, docs: Iterable[Doc], limits: "np.ndarray[Any, Any]") -> List[Prediction]:
        docs = list(docs)
        out: List[Prediction] = [[] for _ in docs]
        full = [i for i, doc in enumerate(docs) if len(doc)]
        if not full or not self.labels:
            return out
        inputs = [docs[i] for i in full]
        keys = [self._known(mentions(doc, self.schema.span_key)) for doc in inputs]
        batch = self.suggester(inputs, keys, self.schema)
        if not len(batch):
            return out
        logits = self.model.ops.to_numpy(self.model.predict((inputs, batch)))  # type: ignore[no-untyped-call]
        probabilities = _sigmoid(logits)
        flat = [key for doc_keys in keys for key in doc_keys]
        where = np.searchsorted(batch.offsets, batch.heads, side="right") - 1
        for pair, label in np.argwhere((probabilities >= limits) & batch.allowed).tolist():
            head, tail = flat[batch.heads[pair]], flat[batch.tails[pair]]
            score = float(probabilities[pair, label])
            out[full[int(where[pair])]].append((head, tail, self.labels[label], score))
        return out

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        for doc, items in zip(docs, predictions):
            kept = sorted(self._consistent(items))
            doc._.relations = [self._relation(doc, *item) for item in kept]

    def _relation(self, doc: Doc, head: Key, tail: Key, label: str, score: float) -> Dict[str, Any]:
        return {
            "type": label,
            "head": list(head),
            "tail": list(tail),
            "score": score,
            "evidence": evidence(doc, head, tail),
            "symmetric": label in self.schema.symmetric,
        }

    def _consistent(self, items: Prediction) -> Prediction:
        """Of two types that exclude each other between two mentions, keep the more probable one."""
        best = {(head, tail, label): score for head, tail, label, score in items}
        for pair in self.schema.checks.exclusive:
            for head, tail, label, score in items:
                other = pair[1 - pair.index(label)] if label in pair else None
                if other is not None and best.get((head, tail, other), -1.0) > score:
                    best.pop((head, tail, label), None)
        return [(head, tail, label, score) for (head, tail, label), score in best.items()]

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "RelationExtractor.update")
        if not any(len(eg.x) for eg in examples):
            return losses
        set_dropout_rate(self.model, drop)
        docs = [eg.predicted for eg in examples]
        keys = [self._training_mentions(eg) for eg in examples]
        batch = self.suggester(docs, keys, self.schema)
        if not len(batch):
            self._idle(docs)
            return losses
        scores, backprop = self.model.begin_update((docs, batch))
        loss, d_scores = self.get_loss(examples, scores, batch=batch, keys=keys)
        backprop(d_scores)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def _idle(self, docs: List[Doc]) -> None:
        """Give a shared encoder the zero gradients that it waits for from each of its listeners."""
        vectors, backprop = self.model.get_ref("tok2vec").begin_update(docs)
        backprop([self.model.ops.xp.zeros_like(v) for v in vectors])

    def get_loss(
        self,
        examples: Iterable[Example],
        scores: Floats2d,
        *,
        batch: PairBatch,
        keys: Sequence[Sequence[Key]],
    ) -> Tuple[float, Floats2d]:
        """Binary cross-entropy over the allowed types of each pair, a mention, and its gradient on the logits."""
        ops = self.model.ops
        truth = ops.asarray2f(self._truth(list(examples), batch, keys))
        allowed = ops.asarray2f(batch.allowed)
        probabilities = _sigmoid(scores)
        size = max(1, len(batch.labels))
        d_scores = (probabilities - truth) * allowed / size
        eps = 1e-7
        likelihood = truth * ops.xp.log(probabilities + eps) + (1 - truth) * ops.xp.log(1 - probabilities + eps)
        return float(-(likelihood * allowed).sum() / size), d_scores

    def _truth(self, examples: Sequence[Example], batch: PairBatch, keys: Sequence[Sequence[Key]]) -> Any:
        types = {label: i for i, label in enumerate(self.labels)}
        truth = np.zeros(batch.allowed.shape, dtype="f")
        codes = batch.heads * len(batch.labels) + batch.tails
        order = np.argsort(codes)
        for number, eg in enumerate(examples):
            first = int(batch.offsets[number])
            place = {key: first + i for i, key in enumerate(keys[number])}
            aligned = _align(eg)
            for relation in eg.reference._.relations:
                keys_of = (aligned.get(tuple(relation[k])) for k in ("head", "tail"))
                head, tail = (-1 if key is None else place.get(key, -1) for key in keys_of)
                if relation["type"] in self.schema.symmetric and head > tail:
                    head, tail = tail, head
                if head < 0 or tail < 0 or relation["type"] not in types:
                    continue
                place_in_order = np.searchsorted(codes, head * len(batch.labels) + tail, sorter=order)
                row = order[min(int(place_in_order), len(order) - 1)]
                if (batch.heads[row], batch.tails[row]) == (head, tail):
                    truth[row, types[relation["type"]]] = 1.0
        return truth

    def _gold_mentions(self, eg: Example) -> List[Key]:
        aligned = _align(eg)
        keys = [aligned[key] for key in mentions(eg.reference, self.schema.span_key) if key in aligned]
        return self._known(keys)

    def _training_mentions(self, eg: Example) -> List[Key]:
        """Gold mentions, predicted ones, or both. An untrained tagger predicts any number: it adds at most as many,
        the most confident, as there are gold ones."""
        gold = self._gold_mentions(eg)
        if self.train_on == "gold":
            return gold
        confidence = eg.predicted._.confidences
        predicted = sorted(
            self._known(mentions(eg.predicted, self.schema.span_key)), key=lambda k: -confidence.get(span_key(*k), 1.0)
        )
        if self.train_on == "predicted":
            return _ordered(predicted[: 2 * len(gold)])
        return _ordered({*gold, *[k for k in predicted if k not in set(gold)][: len(gold)]})

    def _known(self, keys: Iterable[Key]) -> List[Key]:
        return _ordered(key for key in keys if key[2] in self.schema.labels)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        if self.scorer is None:
            return {}
        return self.scorer(examples, schema=self.schema)


def evidence(doc: Doc, head: Key, tail: Key) -> List[int]:
    """[start, end] in tokens of the sentence that states a relation: the one of the argument named last."""
    last = max(head, tail)
    if not doc.has_annotation("SENT_START"):
        return [0, len(doc)]
    sentence = doc[last[0]].sent
    return [sentence.start, sentence.end]


def _ordered(keys: Iterable[Key]) -> List[Key]:
    return sorted(keys, key=lambda k: (k[0], -k[1], k[2]))


def _align(eg: Example) -> Dict[Key, Key]:
    """{mention of the reference: the same characters in the predicted doc's tokens}."""
    out: Dict[Key, Key] = {}
    groups = [span for group in eg.reference.spans.values() for span in group]
    for span in [*eg.reference.ents, *groups]:
        found = eg.predicted.char_span(span.start_char, span.end_char, label=span.label_)
        if found is not None:
            out[span.start, span.end, span.label_] = (found.start, found.end, found.label_)
    return out


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0)))


def _observed_schema(examples: Iterable[Example]) -> Dict[str, Any]:
    entities: Dict[str, None] = {}
    spans: Dict[str, None] = {}
    types: Dict[str, Tuple[Dict[str, None], Dict[str, None]]] = {}
    key = "spans"
    for eg in examples:
        entities.update(dict.fromkeys(e.label_ for e in eg.reference.ents))
        for name, group in eg.reference.spans.items():
            if len(group):
                key = name
                spans.update(dict.fromkeys(s.label_ for s in group))
        for r in eg.reference._.relations:
            heads, tails = types.setdefault(r["type"], ({}, {}))
            heads[r["head"][2]] = tails[r["tail"][2]] = None
    return {
        "entities": {"labels": sorted(entities)},
        "spans": {"key": key, "labels": sorted(set(spans) - set(entities))},
        "relations": {t: {"heads": sorted(h), "tails": sorted(tl)} for t, (h, tl) in sorted(types.items())},
    }
