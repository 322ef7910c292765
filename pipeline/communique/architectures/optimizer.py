"""Adam with a learning rate of its own for some parameters, such as a pretrained encoder's."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, Tuple, Union

from spacy.util import registry
from thinc.api import Optimizer


class LayerwiseOptimizer(Optimizer):
    """An Optimizer that multiplies the learning rate of parameters whose name matches a pattern.

    PyTorch parameters keep their names in Thinc ("transformer.encoder.layer.0.output.dense.weight"), so a pattern
    can tell the encoder from the heads, or its lower layers from the upper.
    """

    def __init__(self, learn_rate: Any, *, scales: Dict[str, float], **settings: Any) -> None:
        super().__init__(learn_rate, **settings)
        self._scales = [(re.compile(pattern), scale) for pattern, scale in scales.items()]

    def __call__(self, key: Tuple[int, str], weights: Any, gradient: Any, *, lr_scale: float = 1.0) -> Any:
        for pattern, scale in self._scales:
            if pattern.search(key[1]):
                lr_scale *= scale
                break
        return super().__call__(key, weights, gradient, lr_scale=lr_scale)


@registry.optimizers("communique.LayerwiseAdam.v1")
def create_layerwise_adam(
    learn_rate: Union[float, Iterable[float]],
    scales: Dict[str, float],
    L2: float,
    beta1: float,
    beta2: float,
    eps: float,
    grad_clip: float,
    use_averages: bool,
) -> Optimizer:
    """Adam with decoupled weight decay; ``scales`` maps regular expressions to factors of the learning rate."""
    return LayerwiseOptimizer(
        learn_rate,
        scales=scales,
        L2=L2,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        grad_clip=grad_clip,
        use_averages=use_averages,
        L2_is_weight_decay=True,
    )
