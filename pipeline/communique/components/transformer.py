"""The factory of the transformer. spaCy imports every factory at once, so spacy-transformers waits until it is used."""

from __future__ import annotations

from typing import Any, Callable, List

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from ..architectures.encoder import need_transformers


@Language.factory(
    "communique_transformer",
    assigns=["doc._.trf_data"],
    default_config={
        "max_batch_items": 4096,
        "set_extra_annotations": {"@annotation_setters": "spacy-transformers.null_annotation_setter.v1"},
    },
)
def make_transformer(
    nlp: Language,
    name: str,
    model: Model[List[Doc], Any],
    set_extra_annotations: Callable[[List[Doc], Any], None],
    max_batch_items: int,
) -> Any:
    """A ``SharedTransformer``. Raises ConfigError where spacy-transformers is not installed."""
    need_transformers()
    from .shared_transformer import SharedTransformer

    return SharedTransformer(nlp.vocab, model, set_extra_annotations, max_batch_items=max_batch_items, name=name)
