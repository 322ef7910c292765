"""Edits of an ONNX graph. Needs the extra [export]."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Dict, List, Set

import numpy as np

DOMAIN = "com.microsoft"


def values(model: Any, name: str) -> Any:
    """The stored values of that name, an array."""
    from onnx import numpy_helper

    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))


def store(model: Any, name: str, array: Any) -> str:
    """Store values under a name, in the place of what has it. Returns the name."""
    from onnx import numpy_helper

    remove(model, name)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def remove(model: Any, name: str) -> None:
    for tensor in [t for t in model.graph.initializer if t.name == name]:
        model.graph.initializer.remove(tensor)


def replace(model: Any, node: Any, nodes: List[Any]) -> None:
    """Put nodes in the place of one."""
    insert(model, node, nodes)
    model.graph.node.remove(node)


def insert(model: Any, before: Any, nodes: List[Any]) -> None:
    position = list(model.graph.node).index(before)
    for offset, node in enumerate(nodes):
        model.graph.node.insert(position + offset, node)


def stored(model: Any) -> Set[str]:
    """Names of all stored values."""
    return {tensor.name for tensor in model.graph.initializer}


def readers(model: Any) -> Dict[str, List[Any]]:
    """The nodes that read each name."""
    found: Dict[str, List[Any]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            found[name].append(node)
    return found


def products(model: Any) -> Dict[str, List[Any]]:
    """The products with stored weights, by their input."""
    weights = stored(model)
    found: Dict[str, List[Any]] = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            found.setdefault(node.input[0], []).append(node)
    return found


def tables(model: Any) -> List[str]:
    """Names of the float matrices of which rows are looked up, and nothing else."""
    from onnx import TensorProto

    uses = {name: {node.op_type for node in nodes} for name, nodes in readers(model).items()}
    floats = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 2]
    return [t.name for t in floats if uses.get(t.name) == {"Gather"}]


def drop_mask(model: Any, mask: str) -> None:
    """Let attention see all word pieces: where windows come one by one, none is padding. ONNX Runtime's faster
    attention, which never holds all weights at once, takes no mask.
    """
    for node in model.graph.node:
        if node.op_type == "MultiHeadAttention":
            del node.input[4:]
    made_of_it = {mask}
    for node in list(model.graph.node):
        if made_of_it & set(node.input):
            made_of_it.update(node.output)
            model.graph.node.remove(node)
    for tensor in [i for i in model.graph.input if i.name == mask]:
        model.graph.input.remove(tensor)
    for name in stored(model) - set(readers(model)):
        remove(model, name)


def split_layer_norms(model: Any) -> None:
    """Add first, then normalise: ONNX Runtime has a fast way to do either, and a slow one to do both at once."""
    from onnx import helper

    for node in [n for n in model.graph.node if n.op_type == "SkipLayerNormalization"]:
        added, skipped, scale, shift, bias = node.input
        output = node.output[0]
        epsilon = next(a.f for a in node.attribute if a.name == "epsilon")
        steps = [
            helper.make_node("Add", [added, bias], [f"{output}_biased"]),
            helper.make_node("Add", [f"{output}_biased", skipped], [f"{output}_sum"]),
            helper.make_node("LayerNormalization", [f"{output}_sum", scale, shift], [output], axis=-1, epsilon=epsilon),
        ]
        replace(model, node, steps)
