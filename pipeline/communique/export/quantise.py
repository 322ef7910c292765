"""Eight bits for the weights and activations of an encoder's ONNX graph. Needs the extra [export]."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List, Set, Tuple

import numpy as np

Ranges = Dict[str, Any]

SMALLEST = 1e-6
LARGEST = 127
DOMAIN = "com.microsoft"
# What zero becomes and what the farthest value in activations, which are unsigned, as processors multiply them fastest.
TWO_SIDED, ONE_SIDED = (128, 127), (0, 255)
ONE_SIDED_SHARE = 0.25


def quantise(graph: Path, feeds: Iterable[Dict[str, Any]], smoothing: float) -> bytes:
    """The graph with 8-bit products and embeddings. Each column of the weights has a scale of its own, each row of the
    embeddings too, and each word piece's activations, measured when they come. It takes one window at a time.

    feeds: inputs of the graph to measure the reach of its activations on. smoothing: see ``smooth``.
    """
    import onnx

    model = onnx.load(graph)
    lowest, highest = input_ranges(model, feeds)
    lifted = lift(model, lowest, highest)
    smooth(model, {name: np.maximum(highest[name], -lowest[name]) for name in highest}, smoothing, lifted)
    quantise_products(model, lifted)
    quantise_tables(model)
    data: bytes = model.SerializeToString()
    return data


def input_ranges(model: Any, feeds: Iterable[Dict[str, Any]]) -> Tuple[Ranges, Ranges]:
    """Lowest and highest value of each channel, of every input that meets weights in a product."""
    import onnx
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = list(_products(model))
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    lowest: Ranges = {}
    highest: Ranges = {}
    for feed in feeds:
        for name, values in zip(names, session.run(names, feed)):
            rows = values.reshape(-1, values.shape[-1])
            lowest[name] = np.minimum(lowest.get(name, np.inf), rows.min(axis=0))
            highest[name] = np.maximum(highest.get(name, -np.inf), rows.max(axis=0))
    return lowest, highest


def lift(model: Any, lowest: Ranges, highest: Ranges) -> Set[str]:
    """Move inputs that reach hardly below zero, as those behind a GELU, up to it: none of their 8 bits is then spent on
    a side that is empty. What that adds to a product is taken off again behind it.

    Returns the names of what the products read in their place, and moves their ranges along.
    """
    from onnx import helper

    lifted = set()
    for name, nodes in _products(model).items():
        floor = lowest[name].min()
        if floor < -ONE_SIDED_SHARE * np.median(highest[name]):
            continue
        higher = f"{name}_lifted"
        _store(model, f"{name}_floor", np.float32(-floor))
        _insert(model, nodes[0], [helper.make_node("Add", [name, f"{name}_floor"], [higher])])
        for ranges in (lowest, highest):
            ranges[higher] = ranges[name] - floor
        for node in nodes:
            output = node.output[0]
            excess = floor * _values(model, node.input[1]).sum(axis=0)
            node.input[0], node.output[0] = higher, f"{output}_lifted"
            _store(model, f"{output}_excess", excess.astype("float32"))
            take_off = helper.make_node("Add", [f"{output}_lifted", f"{output}_excess"], [output])
            model.graph.node.insert(list(model.graph.node).index(node) + 1, take_off)
        lifted.add(higher)
    return lifted


def smooth(model: Any, reach: Ranges, strength: float, lifted: Set[str]) -> None:
    """Divide the channels of each product's input by how far they reach, and multiply the weights accordingly, so that
    a few far-reaching channels don't cost all others their precision. The product stays the same.

    strength: from 0 to 1, the share of the reach that goes over to the weights; alpha of SmoothQuant (Xiao et al.
    2023). What takes the place of a name in ``lifted`` is put there too.
    """
    from onnx import helper

    for name, nodes in _products(model).items():
        weight = np.max([np.abs(_values(model, node.input[1])).max(axis=1) for node in nodes], axis=0)
        scale = np.maximum(reach[name], SMALLEST) ** strength / np.maximum(weight, SMALLEST) ** (1 - strength)
        scale = (scale / np.exp(np.log(scale).mean())).astype("float32")
        for node in nodes:
            _store(model, node.input[1], _values(model, node.input[1]) * scale[:, None])
        _store(model, f"{name}_scale", 1 / scale)
        smoothed = f"{name}_smooth"
        _insert(model, nodes[0], [helper.make_node("Mul", [name, f"{name}_scale"], [smoothed])])
        for node in nodes:
            node.input[0] = smoothed
        if name in lifted:
            lifted.add(smoothed)


def quantise_products(model: Any, lifted: Set[str]) -> None:
    """Put an 8-bit product in the place of each one with stored weights. A row of its input is a word piece."""
    from onnx import helper

    _store(model, "smallest", np.float32(SMALLEST))
    _store(model, "once", np.float32(1))
    _store(model, "flat", np.asarray([-1], dtype="int64"))
    for side, (zero, farthest) in (("two", TWO_SIDED), ("one", ONE_SIDED)):
        _store(model, f"{side}_zero", np.uint8(zero))
        _store(model, f"{side}_unit", np.float32(1 / farthest))
    for name, nodes in _products(model).items():
        side = "one" if name in lifted else "two"
        steps = [
            helper.make_node("Abs", [name], [f"{name}_size"]),
            helper.make_node("ReduceMax", [f"{name}_size"], [f"{name}_reach"], axes=[-1], keepdims=1),
            helper.make_node("Max", [f"{name}_reach", "smallest"], [f"{name}_positive"]),
            helper.make_node("Mul", [f"{name}_positive", f"{side}_unit"], [f"{name}_unit"]),
            helper.make_node("Reshape", [f"{name}_unit", "flat"], [f"{name}_units"]),
            helper.make_node("Shape", [f"{name}_units"], [f"{name}_rows"]),
            helper.make_node("Expand", [f"{side}_zero", f"{name}_rows"], [f"{name}_zeros"]),
            helper.make_node("QuantizeLinear", [name, f"{name}_units", f"{name}_zeros"], [f"{name}_int8"], axis=1),
        ]
        _insert(model, nodes[0], steps)
        for node in nodes:
            _quantise_product(model, node, name, f"{side}_zero")


def _quantise_product(model: Any, node: Any, name: str, zero: str) -> None:
    from onnx import helper

    weights, output = node.input[1], node.output[0]
    columns = _values(model, weights)
    unit = np.maximum(np.abs(columns).max(axis=0), SMALLEST) / LARGEST
    _remove(model, weights)
    _store(model, f"{weights}_int8", np.rint(columns / unit).astype("int8"))
    _store(model, f"{weights}_unit", unit.astype("float32"))
    _store(model, f"{weights}_zero", np.zeros(len(unit), dtype="int8"))
    factors = [f"{name}_int8", f"{weights}_int8", "once", f"{weights}_unit", zero, f"{weights}_zero"]
    steps = [
        helper.make_node("MatMulIntegerToFloat", factors, [f"{output}_units"], domain=DOMAIN),
        helper.make_node("Mul", [f"{output}_units", f"{name}_unit"], [output]),
    ]
    _insert(model, node, steps)
    model.graph.node.remove(node)


def quantise_tables(model: Any) -> None:
    """Store the embeddings, matrices of which rows are looked up, as 8-bit rows and a scale each."""
    from onnx import TensorProto, helper

    for name in _tables(model):
        rows = _values(model, name)
        unit = np.maximum(np.abs(rows).max(axis=1, keepdims=True), SMALLEST) / LARGEST
        _remove(model, name)
        _store(model, f"{name}_int8", np.rint(rows / unit).astype("int8"))
        _store(model, f"{name}_unit", unit.astype("float32"))
        for node in [n for n in model.graph.node if name in n.input]:
            index, found = node.input[1], node.output[0]
            steps = [
                helper.make_node("Gather", [f"{name}_int8", index], [f"{found}_int8"]),
                helper.make_node("Cast", [f"{found}_int8"], [f"{found}_float"], to=TensorProto.FLOAT),
                helper.make_node("Gather", [f"{name}_unit", index], [f"{found}_unit"]),
                helper.make_node("Mul", [f"{found}_float", f"{found}_unit"], [found]),
            ]
            _insert(model, node, steps)
            model.graph.node.remove(node)


def _products(model: Any) -> Dict[str, List[Any]]:
    """The products with stored weights, by their input."""
    stored = {tensor.name for tensor in model.graph.initializer}
    found: Dict[str, List[Any]] = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            found.setdefault(node.input[0], []).append(node)
    return found


def _tables(model: Any) -> List[str]:
    """Names of the float matrices that are only looked up."""
    from onnx import TensorProto

    uses: Dict[str, Set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            uses.setdefault(name, set()).add(node.op_type)
    floats = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 2]
    return [t.name for t in floats if uses.get(t.name) == {"Gather"}]


def _values(model: Any, name: str) -> Any:
    from onnx import numpy_helper

    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))


def _store(model: Any, name: str, values: Any) -> None:
    from onnx import numpy_helper

    _remove(model, name)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))


def _remove(model: Any, name: str) -> None:
    for tensor in [t for t in model.graph.initializer if t.name == name]:
        model.graph.initializer.remove(tensor)


def _insert(model: Any, before: Any, nodes: List[Any]) -> None:
    position = list(model.graph.node).index(before)
    for offset, node in enumerate(nodes):
        model.graph.node.insert(position + offset, node)
