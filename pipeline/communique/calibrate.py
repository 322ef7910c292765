"""Fits a trained pipeline's confidences on gold releases that it was not trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple, Union

import numpy as np
from spacy.language import Language
from spacy.util import load_config

from .annotate.run import annotate_bare, load_model
from .bridge import get_schema
from .components.confidence import AS_IT_IS, EPSILON
from .corpus.exchange import unique_ids
from .errors import CommuniqueError, ConfigError
from .evaluate.calibration import confidence_pairs
from .release import Release

Line = Tuple[float, float]
STEEPEST = 10.0
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

    # a negative slope would turn the order of the scores around; a steep one is an accident of few examples
    found = minimize(loss, AS_IT_IS, bounds=[(0.0, STEEPEST), (-STEEPEST, STEEPEST)], method="L-BFGS-B").x
    return round(float(found[0]), 4), round(float(found[1]), 4)


def calibrate_pipeline(model: Union[str, Path], gold: Sequence[Release]) -> Dict[str, Line]:
    """Fit the lines of each layer on ``gold`` and write them into the config of the pipeline in the folder ``model``.

    Nothing is written before all are fitted. Returns {kind: (slope, offset)}. Raises ConfigError where the pipeline has
    no component that holds one, and CommuniqueError where the gold is empty or has an id twice.
    """
    path = Path(model) / "config.cfg"
    if not path.is_file():
        raise ConfigError("no pipeline in this folder: give the folder of a trained one", file=str(model))
    names = _components(path)
    if not names:
        raise ConfigError(f"no component with a calibration: add {' or '.join(FACTORIES)}", file=str(path))
    if not unique_ids(list(gold)):
        raise CommuniqueError("no gold to calibrate on")
    nlp = load_model(model)
    values: Dict[Tuple[str, str], Line] = {
        (names[factory], setting): AS_IT_IS for factory in names for setting in FACTORIES[factory]
    }
    _set(nlp, values)
    lines: Dict[str, Line] = {}
    for stage in STAGES:
        known = {kind: (names[factory], setting) for kind, factory, setting in stage if factory in names}
        if known:
            pairs = confidence_pairs(gold, annotate_bare(nlp, gold), get_schema(nlp))
            lines.update({kind: fit_line(pairs[kind]) for kind in known})
            values.update({place: lines[kind] for kind, place in known.items()})
            _set(nlp, values)
    _write(path, values)
    return lines


def can_calibrate(model: Union[str, Path]) -> bool:
    """Whether the pipeline in a folder has a component that holds a calibration."""
    return bool(_components(Path(model) / "config.cfg"))


def _components(path: Path) -> Dict[str, str]:
    """{factory: name} of the components that hold a calibration."""
    components = load_config(path)["components"]
    return {c["factory"]: name for name, c in components.items() if c.get("factory") in FACTORIES}


def _set(nlp: Language, values: Dict[Tuple[str, str], Line]) -> None:
    for (component, setting), line in values.items():
        setattr(nlp.get_pipe(component), setting, line)


def _write(path: Path, values: Dict[Tuple[str, str], Line]) -> None:
    """Change these settings in a saved pipeline's config, and no other character of it."""
    text = path.read_text("utf8")
    for (component, setting), line in values.items():
        header = f"[components.{component}]\n"
        start = text.index(header) + len(header)
        end = text.find("\n[", start)
        section = re.sub(
            rf"^{setting}\s*=.*$", f"{setting} = {list(line)}", text[start : end + 1 or None], flags=re.MULTILINE
        )
        text = text[:start] + section + (text[end + 1 :] if end >= 0 else "")
    new = path.with_suffix(".new")
    new.write_text(text, "utf8")
    new.replace(path)
