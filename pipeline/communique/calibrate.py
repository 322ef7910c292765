"""Fits a trained pipeline's confidences on gold releases that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Sequence, Tuple, Union

import numpy as np
from spacy.util import load_config

from .annotate.run import annotate_bare, load_model
from .bridge import get_schema
from .components.confidence import AS_IT_IS, EPSILON
from .errors import ConfigError
from .evaluate.calibration import confidence_pairs
from .release import Release

Line = Tuple[float, float]
FACTORIES = {"communique_confidence": ("entities", "spans", "relations"), "communique_facts": ("calibration",)}
# (what is fitted together, since it needs no other's calibration; kind of pair, factory and setting)
STAGES = (
    (("entities", "communique_confidence", "entities"), ("pledges", "communique_confidence", "spans")),
    (("relations", "communique_confidence", "relations"),),
    (("facts", "communique_facts", "calibration"),),
)


def fit_line(pairs: Sequence[Tuple[float, bool]]) -> Line:
    """Slope and offset of the log odds, by maximum likelihood with the smoothed targets of Platt (1999), in the form of
    Lin, Lin and Weng (2007). Without both right and wrong ones the scores stay as they are.
    """
    from scipy.optimize import minimize

    right = sum(correct for _, correct in pairs)
    wrong = len(pairs) - right
    if not right or not wrong:
        return AS_IT_IS
    p = np.clip([score for score, _ in pairs], EPSILON, 1 - EPSILON)
    odds = np.log(p / (1 - p))
    target = np.where([correct for _, correct in pairs], (right + 1) / (right + 2), 1 / (wrong + 2))

    def loss(line: Any) -> float:
        z = line[0] * odds + line[1]
        return float((np.logaddexp(0, z) - target * z).sum())

    # a negative slope would turn the order of the scores around
    found = minimize(loss, AS_IT_IS, bounds=[(0.0, None), (None, None)], method="L-BFGS-B").x
    return round(float(found[0]), 4), round(float(found[1]), 4)


def calibrate_pipeline(model: Union[str, Path], gold: Sequence[Release]) -> Dict[str, Line]:
    """Fit the lines of each layer on ``gold`` and write them into the config of the pipeline in the folder ``model``.

    Returns {kind: (slope, offset)}. Raises ConfigError where the pipeline has no component that holds one.
    """
    path = Path(model) / "config.cfg"
    if not path.is_file():
        raise ConfigError("no pipeline in this folder: give the folder of a trained one", file=str(model))
    names = _components(path)
    if not names:
        raise ConfigError(f"no component with a calibration: add {' or '.join(FACTORIES)}", file=str(path))
    for factory, settings in FACTORIES.items():
        if factory in names:
            _write(path, {(names[factory], setting): AS_IT_IS for setting in settings})
    lines: Dict[str, Line] = {}
    for stage in STAGES:
        known = [(kind, names[factory], setting) for kind, factory, setting in stage if factory in names]
        if known:
            nlp = load_model(model)
            pairs = confidence_pairs(gold, annotate_bare(nlp, gold), get_schema(nlp))
            found = {kind: fit_line(pairs[kind]) for kind, _, _ in known}
            _write(path, {(name, setting): found[kind] for kind, name, setting in known})
            lines.update(found)
    return lines


def can_calibrate(model: Union[str, Path]) -> bool:
    """Whether the pipeline in a folder has a component that holds a calibration."""
    return bool(_components(Path(model) / "config.cfg"))


def _components(path: Path) -> Dict[str, str]:
    """{factory: name} of the components that hold a calibration."""
    components = load_config(path)["components"]
    return {c["factory"]: name for name, c in components.items() if c.get("factory") in FACTORIES}


def _write(path: Path, values: Dict[Tuple[str, str], Line]) -> None:
    config = load_config(path)
    for (component, setting), line in values.items():
        config["components"][component][setting] = list(line)
    config.to_disk(path)
