"""Encoders: several token encoders side by side, and a pretrained transformer found wherever it is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Linear, Model
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


@registry.architectures("communique.RepeatTok2Vec.v1")
def build_repeat_tok2vec(
    tok2vec: Model[List[Doc], List[Floats2d]], width: int, attr: str
) -> Model[List[Doc], List[Floats2d]]:
    """A token's vector, and beside it the maximum of a projection, ``width`` wide, of all tokens of the doc that have
    the same ``attr`` ("ORTH"), so that what is said where an abbreviation is introduced is known wherever it stands.

    After the label consistency of Krishnan and Manning (2006), without their second pass.
    """
    project: Model[Any, Any] = Linear(nO=width)
    return Model(
        "repeat_tok2vec",
        _repeat_forward,
        init=_repeat_init,
        layers=[tok2vec, project],
        dims={"nO": None},
        attrs={"attr": attr},
    )


def _repeat_init(model: Model[Any, Any], X: Any = None, Y: Any = None) -> None:
    tok2vec, project = model.layers
    tok2vec.initialize(X=X)
    project.set_dim("nI", tok2vec.get_dim("nO"))
    project.initialize()
    model.set_dim("nO", tok2vec.get_dim("nO") + project.get_dim("nO"))


def _repeat_forward(
    model: Model[Any, Any], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    tok2vec, project = model.layers
    ops = model.ops
    vectors, bp_tok2vec = tok2vec(docs, is_train)
    lengths = [len(v) for v in vectors]
    X = ops.xp.concatenate(vectors)
    values, bp_project = project(X, is_train)
    groups = _groups(docs, model.attrs["attr"])
    order = ops.asarray1i(np.argsort(groups, kind="stable").tolist())
    sizes = ops.asarray1i(np.bincount(groups).tolist())
    top, which = ops.reduce_max(ops.as_contig(values[order]), sizes)
    pooled = top[groups]

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        dY = ops.xp.concatenate(d_outputs)
        d_top = ops.alloc2f(*top.shape)
        ops.scatter_add(d_top, ops.asarray1i(groups), ops.as_contig(dY[:, X.shape[1] :]))
        d_values = ops.alloc2f(*values.shape)
        d_values[order] = ops.backprop_reduce_max(d_top, which, sizes)
        dX = dY[:, : X.shape[1]] + bp_project(d_values)
        d_docs: List[Doc] = bp_tok2vec(ops.unflatten(ops.asarray2f(dX), ops.asarray1i(lengths)))
        return d_docs

    outputs = ops.unflatten(ops.asarray2f(ops.xp.concatenate([X, pooled], axis=1)), ops.asarray1i(lengths))
    return outputs, backprop


def _groups(docs: List[Doc], attr: str) -> Any:
    """For every token of the docs, one after the other, the number of its group: the same doc and attribute."""
    parts, seen = [np.zeros(0, dtype="int64")], 0
    for doc in docs:
        kinds, group = np.unique(doc.to_array([attr]), return_inverse=True)
        parts.append(group.reshape(-1) + seen)
        seen += len(kinds)
    return np.concatenate(parts)


@registry.architectures("communique.TensorListener.v1")
def build_tensor_listener(width: int) -> Model[List[Doc], List[Floats2d]]:
    """The vectors that an earlier component left in ``doc.tensor``, shape (tokens, width). Nothing learns behind it."""
    return Model("tensor_listener", _tensor_forward, dims={"nO": width})


def _tensor_forward(
    model: Model[Any, Any], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    vectors = []
    for doc in docs:
        shape = (len(doc), model.get_dim("nO"))
        if doc.tensor.shape != shape and len(doc):
            reason = "its encoder has another width" if len(doc.tensor) else "the encoder did not run"
            raise ConfigError(f"doc.tensor has the shape {doc.tensor.shape}, not {shape}: {reason}")
        vectors.append(model.ops.asarray2f(cast(Any, doc.tensor.reshape(shape))))
    return vectors, lambda d_outputs: docs


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
    need_transformers()
    from spacy_transformers.architectures import create_TransformerModel_v3

    model: Model[Any, Any] = create_TransformerModel_v3(
        find_encoder(name, package, package_folder),
        get_spans,
        tokenizer_config=tokenizer_config,
        transformer_config=transformer_config,
        mixed_precision=mixed_precision,
    )
    return model


def need_transformers() -> None:
    """Raises ConfigError where spacy-transformers is not installed."""
    try:
        import spacy_transformers  # noqa: F401
    except ImportError as err:
        raise ConfigError(
            "this pipeline needs the extra [transformers]: pip install 'communique[transformers]'"
        ) from err


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
