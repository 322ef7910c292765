"""Eight bits for the weights and activations of an encoder's ONNX graph. Needs the extra [export]."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

import numpy as np

from .graph import DOMAIN, insert, products, readers, remove, replace, store, stored, tables, values

SMALLEST = 1e-6
LARGEST = 127
STEPS = 255


@dataclass(frozen=True)
class Settings:
    """How the activations are fitted into eight bits.

    smoothing: from 0 to 1, the share of a channel's reach that goes over to its weights; alpha of SmoothQuant (Xiao et
    al. 2023). outlier: channels that reach more than so many times as far as 99 % of them are computed apart, in 32
    bits, after LLM.int8() (Dettmers et al. 2022).
    """

    smoothing: float = 0.75
    outlier: float = 1.6


@dataclass
class Reach:
    """Lowest and highest value of each channel of an activation, two arrays of shape (channels,)."""

    lowest: Any
    highest: Any

    def widest(self) -> Any:
        return np.maximum(np.maximum(self.highest, -self.lowest), SMALLEST)

    def divided(self, scale: Any) -> "Reach":
        return Reach(self.lowest / scale, self.highest / scale)


def quantise(graph: Path, feeds: Iterable[Dict[str, Any]], settings: Settings) -> bytes:
    """The graph with 8-bit products and embeddings. Each column of the weights has a scale of its own, each row of the
    embeddings too, and each activation one that is fixed beforehand, so that nothing need be measured when it runs.

    feeds: inputs of the graph to measure the reach of its activations on.
    """
    import onnx

    model = onnx.load(graph)
    for name, reach in measure(model, feeds).items():
        nodes = products(model)[name]
        scale = smoothing_scale(reach.widest(), [values(model, n.input[1]) for n in nodes], settings.smoothing)
        quantise_products(model, name, nodes, scale, reach.divided(scale), settings.outlier)
    quantise_tables(model)
    data: bytes = model.SerializeToString()
    return data


def measure(model: Any, feeds: Iterable[Dict[str, Any]]) -> Dict[str, Reach]:
    """How far every input reaches that meets weights in a product."""
    import onnx
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    names = list(products(model))
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found: Dict[str, Reach] = {}
    for feed in feeds:
        for name, activations in zip(names, session.run(names, feed)):
            rows = activations.reshape(-1, activations.shape[-1])
            before = found.get(name, Reach(np.inf, -np.inf))
            found[name] = Reach(
                np.minimum(before.lowest, rows.min(axis=0)), np.maximum(before.highest, rows.max(axis=0))
            )
    return found


def smoothing_scale(reach: Any, weights: List[Any], strength: float) -> Any:
    """What to divide the channels of an input by, and multiply the weights with, so that a few far-reaching channels
    don't cost all others their precision. Shape (channels,).
    """
    heaviest = np.maximum(np.max([np.abs(w).max(axis=1) for w in weights], axis=0), SMALLEST)
    scale = reach**strength / heaviest ** (1 - strength)
    return (scale / np.exp(np.log(scale).mean())).astype("float32")


def quantise_products(model: Any, name: str, nodes: List[Any], scale: Any, reach: Reach, outlier: float) -> None:
    """Put 8-bit products in the place of all that read ``name``, whose channels reach so far once divided by the scale.

    Activations are unsigned, as processors multiply them fastest; their zero is where their reach has it, so that none
    of the 8 bits is spent on a side that is empty, as one is behind a GELU.
    """
    from onnx import helper

    widest = reach.widest()
    apart = np.flatnonzero(widest > outlier * np.quantile(widest, 0.99))
    kept = np.delete(np.stack([reach.lowest, reach.highest]), apart, axis=1)
    low, high = min(float(kept[0].min()), 0.0), max(float(kept[1].max()), SMALLEST)
    unit = store(model, f"{name}_unit", np.float32((high - low) / STEPS))
    zero = store(model, f"{name}_zero", np.uint8(np.rint(-low * STEPS / (high - low))))
    smooth = f"{name}_smooth"
    steps = [
        helper.make_node("Mul", [name, store(model, f"{name}_scale", 1 / scale)], [smooth]),
        helper.make_node("QuantizeLinear", [smooth, unit, zero], [f"{name}_int8"]),
    ]
    if len(apart):
        indices = store(model, f"{name}_apart", apart.astype("int64"))
        steps.append(helper.make_node("Gather", [smooth, indices], [f"{name}_outliers"], axis=-1))
    insert(model, nodes[0], steps)
    for node in nodes:
        rows = values(model, node.input[1]) * scale[:, None]
        _quantise_product(model, node, [f"{name}_int8", unit, zero], rows, apart, f"{name}_outliers")


def _quantise_product(model: Any, node: Any, inputs: List[str], rows: Any, apart: Any, outliers: str) -> None:
    from onnx import helper

    weights, output = node.input[1], node.output[0]
    remove(model, weights)
    eight = rows.copy()
    eight[apart] = 0
    unit = np.maximum(np.abs(eight).max(axis=0), SMALLEST) / LARGEST
    activations, activation_unit, activation_zero = inputs
    factors = [
        activations,
        store(model, f"{weights}_int8", np.rint(eight / unit).astype("int8")),
        activation_unit,
        store(model, f"{weights}_unit", unit.astype("float32")),
        activation_zero,
        store(model, f"{weights}_zero", np.zeros(len(unit), dtype="int8")),
    ]
    add = _bias(model, output)
    if add is not None:
        factors.append(add.input[1])
        output = add.output[0]
        model.graph.node.remove(add)
    if not len(apart):
        steps = [helper.make_node("MatMulIntegerToFloat", factors, [output], domain=DOMAIN)]
    else:
        exact = store(model, f"{weights}_apart", rows[apart].astype("float32"))
        steps = [
            helper.make_node("MatMulIntegerToFloat", factors, [f"{output}_most"], domain=DOMAIN),
            helper.make_node("MatMul", [outliers, exact], [f"{output}_rest"]),
            helper.make_node("Add", [f"{output}_most", f"{output}_rest"], [output]),
        ]
    replace(model, node, steps)


def _bias(model: Any, output: str) -> Optional[Any]:
    """The node that adds a bias to a product and is all that reads it: the 8-bit product can do so itself."""
    nodes = readers(model)[output]
    if len(nodes) == 1 and nodes[0].op_type == "Add" and nodes[0].input[1] in stored(model):
        return nodes[0]
    return None


def quantise_tables(model: Any) -> None:
    """Store the embeddings, matrices of which rows are looked up, as 8-bit rows and a scale each."""
    from onnx import TensorProto, helper

    for name in tables(model):
        rows = values(model, name)
        unit = np.maximum(np.abs(rows).max(axis=1, keepdims=True), SMALLEST) / LARGEST
        remove(model, name)
        eight = store(model, f"{name}_int8", np.rint(rows / unit).astype("int8"))
        units = store(model, f"{name}_unit", unit.astype("float32"))
        for node in readers(model)[name]:
            index, found = node.input[1], node.output[0]
            steps = [
                helper.make_node("Gather", [eight, index], [f"{found}_int8"]),
                helper.make_node("Cast", [f"{found}_int8"], [f"{found}_float"], to=TensorProto.FLOAT),
                helper.make_node("Gather", [units, index], [f"{found}_unit"]),
                helper.make_node("Mul", [f"{found}_float", f"{found}_unit"], [found]),
            ]
            replace(model, node, steps)
