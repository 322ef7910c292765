"""spaCy's transformer, whose output serves training and annotation in one pass."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy_transformers.pipeline_component import DEFAULT_CONFIG, Transformer
from thinc.api import Model, Optimizer


@Language.factory("communique_transformer", assigns=["doc._.trf_data"], default_config=DEFAULT_CONFIG["transformer"])
def make_transformer(
    nlp: Language,
    name: str,
    model: Model[List[Doc], Any],
    set_extra_annotations: Callable[[List[Doc], Any], None],
    max_batch_items: int,
) -> "SharedTransformer":
    return SharedTransformer(nlp.vocab, model, set_extra_annotations, max_batch_items=max_batch_items, name=name)


class SharedTransformer(Transformer):
    """A Transformer that leaves what it computed in ``update`` on the docs, as ``doc._.trf_data``.

    Later components that are named in ``[training] annotating_components`` read it there, so that the transformer needs
    not be one of these itself and encodes each batch once instead of twice.
    """

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        examples = list(examples)
        losses = super().update(examples, drop=drop, sgd=sgd, losses=losses)
        outputs = next((listener._outputs for listener in self.listeners), None)
        for eg, data in zip(examples, outputs or []):
            eg.predicted._.trf_data = data
        return losses
