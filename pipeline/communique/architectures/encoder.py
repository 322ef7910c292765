"""Encoders: several token encoders side by side, and a pretrained transformer found wherever it is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model
from thinc.types import Floats2d

from ..errors import ConfigError


@registry.architectures("communique.ConcatTok2Vec.v1")
def build_concat_tok2vec(
    left: Model[List[Doc], List[Floats2d]], right: Model[List[Doc], List[Floats2d]], width: int
) -> Model[List[Doc], List[Floats2d]]:
    """The vectors of two encoders side by side, ``width`` being the sum of theirs.

    Thinc's ``concatenate`` adds up what its layers' backprops return, which listeners leave out.
    """
    return Model("concat_tok2vec", _concat_forward, init=_concat_init, layers=[left, right], dims={"nO": width})


def _concat_init(model: Model[Any, Any], X: Any = None, Y: Any = None) -> None:
    for layer in model.layers:
        layer.initialize(X=X)


def _concat_forward(
    model: Model[Any, Any], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    (left, bp_left), (right, bp_right) = (layer(docs, is_train) for layer in model.layers)
    ops = model.ops
    outputs = [ops.xp.concatenate([a, b], axis=1) for a, b in zip(left, right)]

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        bp_left([ops.as_contig(d[:, : a.shape[1]]) for d, a in zip(d_outputs, left)])
        bp_right([ops.as_contig(d[:, a.shape[1] :]) for d, a in zip(d_outputs, left)])
        return docs

    return outputs, backprop


@registry.architectures("communique.TransformerModel.v1")
def build_transformer(
    name: str,
    package: Optional[str],
    package_folder: str,
    get_spans: Any,
    tokenizer_config: Dict[str, Any],
    transformer_config: Dict[str, Any],
    mixed_precision: bool = False,
) -> Model[Any, Any]:
    """spacy-transformers' model, its pretrained encoder found in this order: a folder ``name``, the folder
    ``package_folder`` of the installed distribution ``package``, the model hub under ``name``.

    Raises ConfigError where spacy-transformers is not installed.
    """
    try:
        from spacy_transformers.architectures import create_TransformerModel_v3
    except ImportError as err:
        raise ConfigError(
            "this pipeline needs the extra [transformers]: pip install 'communique[transformers]'"
        ) from err
    model: Model[Any, Any] = create_TransformerModel_v3(
        find_encoder(name, package, package_folder),
        get_spans,
        tokenizer_config=tokenizer_config,
        transformer_config=transformer_config,
        mixed_precision=mixed_precision,
    )
    return model


def find_encoder(name: str, package: Optional[str], package_folder: str) -> str:
    """Where the encoder is: a folder, or a name for the hub."""
    if Path(name).is_dir():
        return name
    if package is not None:
        try:
            root = distribution(package).locate_file(package_folder)
        except PackageNotFoundError:
            return name
        if Path(str(root)).is_dir():
            return str(root)
    return name
