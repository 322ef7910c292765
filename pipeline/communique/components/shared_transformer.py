"""spaCy's transformer, whose output serves training and annotation in one pass. Needs spacy-transformers."""

from __future__ import annotations

from typing import Dict, Iterable, Optional

from spacy.training import Example
from spacy_transformers.pipeline_component import Transformer
from thinc.api import Optimizer


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
