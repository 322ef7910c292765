"""Tags spans with a CRF: entities into ``doc.ents`` or enclosing spans into ``doc.spans``, a probability on each."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model
from thinc.types import Floats2d

from ..architectures.crf import Lattice, TagScheme, marginals, negative_log_likelihood, viterbi
from ..bridge import set_values, span_key

default_model_config = """
[model]
@architectures = "communique.SpanCRF.v1"
hidden_width = 96
dropout = 0.1

[model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true
"""
DEFAULT_MODEL = Config().from_str(default_model_config)["model"]
Prediction = List[Tuple[int, int, str, float]]


@Language.factory(
    "communique_spans",
    assigns=["doc.ents", "doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "spans_key": None,
        "scorer": {"@scorers": "communique.span_scorer.v1"},
    },
    default_score_weights={"ents_f": 1.0},
)
def make_span_tagger(
    nlp: Language,
    name: str,
    model: Model[List[Doc], List[Floats2d]],
    spans_key: Optional[str],
    scorer: Optional[Callable[..., Dict[str, Any]]],
) -> "SpanTagger":
    return SpanTagger(nlp.vocab, model, name, spans_key=spans_key, scorer=scorer)


class SpanTagger(TrainablePipe):
    """Tags spans that don't overlap, by a CRF over BILUO tags.

    With ``spans_key`` null the spans become ``doc.ents``, otherwise ``doc.spans[spans_key]``. The probability of each,
    its marginal under the CRF, is ``span._.confidence`` (and ``doc.spans[key].attrs["scores"]``, as in spancat).
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], List[Floats2d]],
        name: str = "spans",
        *,
        spans_key: Optional[str] = None,
        scorer: Optional[Callable[..., Dict[str, Any]]] = None,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.spans_key = spans_key
        self.scorer = scorer
        self.cfg: Dict[str, Any] = {"labels": []}

    @property
    def labels(self) -> Tuple[str, ...]:
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> List[str]:
        return list(self.labels)

    @property
    def scheme(self) -> TagScheme:
        return TagScheme(self.labels)

    def add_label(self, label: str) -> int:
        """Add a label before the model is initialised. Returns 1, or 0 if it is there already."""
        if label in self.labels:
            return 0
        if self.model.get_ref("crf").has_dim("nO"):
            raise ValueError(f"{self.name}: can't add {label!r} after the model was initialised")
        self.cfg["labels"].append(label)
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
    ) -> None:
        """Set the labels, given or found in the examples, and the model's sizes."""
        validate_get_examples(get_examples, "SpanTagger.initialize")
        sample: List[Doc] = []
        found: Dict[str, None] = {}
        for eg in get_examples():
            if len(sample) < 10 and len(eg.x):
                sample.append(eg.x)
            found.update(dict.fromkeys(s.label_ for s in self._reference(eg.reference)))
        for label in labels if labels is not None else sorted(found):
            self.add_label(label)
        if not self.labels:
            raise ValueError(Errors.E143.format(name=self.name))
        for layer in ("crf", "output_layer"):
            self.model.get_ref(layer).set_dim("nO", self.scheme.size)
        self.model.initialize(X=sample or None)

    def predict(self, docs: Iterable[Doc]) -> List[Prediction]:
        """Spans of each doc as (start, end, label, probability)."""
        docs = list(docs)
        out: List[Prediction] = [[] for _ in docs]
        full = [i for i, doc in enumerate(docs) if len(doc)]
        if not full or not self.labels:
            return out
        emissions = self.model.predict([docs[i] for i in full])
        lattice = self._lattice(emissions)
        xp, scheme = self.model.ops.xp, self.scheme
        found = marginals(xp, lattice)
        for column, (i, tags) in enumerate(zip(full, viterbi(xp, lattice))):
            row = self.model.ops.to_numpy(tags)  # type: ignore[no-untyped-call]
            for start, end, label in scheme.decode(row):
                probability = found.span(column, start, row[start:end].tolist())
                out[i].append((start, end, label, probability))
        return out

    def beginnings(self, docs: Iterable[Doc]) -> List["np.ndarray[Any, Any]"]:
        """P(a span of the label begins at the token), of each doc an array of shape (tokens, labels).

        Unlike ``predict`` this also tells of the spans that are not in the best sequence of tags.
        """
        docs = list(docs)
        out = [np.zeros((len(doc), len(self.labels))) for doc in docs]
        full = [i for i, doc in enumerate(docs) if len(doc)]
        if not full or not self.labels:
            return out
        lattice = self._lattice(self.model.predict([docs[i] for i in full]))
        found = marginals(self.model.ops.xp, lattice).tags()
        tags = self.model.ops.to_numpy(found)  # type: ignore[no-untyped-call]
        for column, i in enumerate(full):
            mine = tags[: len(docs[i]), column]
            out[i] = mine[:, 1::4] + mine[:, 4::4]
        return out

    def set_annotations(self, docs: Iterable[Doc], predictions: Sequence[Prediction]) -> None:
        for doc, items in zip(docs, predictions):
            spans = [Span(doc, start, end, label=label) for start, end, label, _ in items]
            if self.spans_key is None:
                doc.set_ents(spans)
            else:
                scores = [score for *_, score in items]
                doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key, attrs={"scores": scores}, spans=spans)
            set_values(doc, "confidences", {span_key(s, e, label): p for s, e, label, p in items})

    def get_loss(self, examples: Iterable[Example], scores: Any) -> Tuple[float, Any]:
        """Negative log likelihood a token, and its gradient on the emissions; the transitions' is kept in the model."""
        examples = list(examples)
        validate_examples(examples, "SpanTagger.get_loss")
        xp = self.model.ops.xp
        known = [i for i, eg in enumerate(examples) if len(eg.x) and self._annotated(eg.reference)]
        gradients = [xp.zeros_like(s) for s in scores]
        if not known:
            return 0.0, gradients
        gold = [xp.asarray(self._tags(examples[i])) for i in known]
        lattice = self._lattice([scores[i] for i in known])
        loss, d_emissions, *d_moves = negative_log_likelihood(xp, lattice, gold)
        size = float(sum(lattice.lengths))
        for i, d_scores in zip(known, d_emissions):
            gradients[i] = (d_scores / size).astype(scores[i].dtype)
        crf = self.model.get_ref("crf")
        for param, d_param in zip(("T", "start", "end"), d_moves):
            crf.inc_grad(param, (d_param / size).astype("float32"))
        return loss / size, gradients

    def _lattice(self, emissions: List[Floats2d]) -> Lattice:
        xp, crf = self.model.ops.xp, self.model.get_ref("crf")
        params = [crf.get_param(p) for p in ("T", "start", "end")]
        return Lattice.build(xp, emissions, *(p + xp.asarray(c) for p, c in zip(params, self.scheme.constraints())))

    def _annotated(self, reference: Doc) -> bool:
        return (
            bool(reference.has_annotation("ENT_IOB")) if self.spans_key is None else self.spans_key in reference.spans
        )

    def _reference(self, reference: Doc) -> Sequence[Span]:
        return reference.ents if self.spans_key is None else list(reference.spans.get(self.spans_key, []))

    def _tags(self, eg: Example) -> "np.ndarray[Any, Any]":
        """Gold tags on the predicted doc's tokens. Spans that overlap an earlier, longer one are left out."""
        aligned = eg.get_aligned_spans_y2x(self._reference(eg.reference), allow_overlap=True)
        kept: List[Tuple[int, int, str]] = []
        for span in sorted(aligned, key=lambda s: (s.start - s.end, s.start)):
            free = all(span.end <= start or end <= span.start for start, end, _ in kept)
            if free and span.label_ in self.labels:
                kept.append((span.start, span.end, span.label_))
        return self.scheme.encode(kept, len(eg.x))

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        if self.scorer is None:
            return {}
        return self.scorer(examples, spans_key=self.spans_key, labels=self.labels)
