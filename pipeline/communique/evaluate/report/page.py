"""Gathers what the report shows and writes the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...release import Release
from ...schema import Schema
from ..alignment import Alignment, align
from ..calibration import BINS, KINDS, confidence_pairs, expected_calibration_error, reliability
from ..candidates import Suggested
from ..causes import MISSED, SPURIOUS, Error, count_causes, error_layers, find_errors
from ..confusion import BOUNDARY, entity_confusion
from ..metrics import layers_of, prf, score_releases
from ..thresholds import best_point, scored_predictions, threshold_curve
from .groups import field_groups
from .plots import columns, line_plot, need_matplotlib, reliability_plot, threshold_plot
from .sidebyside import both_sides

Scores = Mapping[str, Mapping[str, float]]
RANKED = ("entities", "relations strict")


@dataclass(frozen=True)
class Evaluation:
    """Gold releases, what a pipeline found in them, its scores, and the pairs its relation stage saw, if known."""

    gold: Sequence[Release]
    predicted: Sequence[Release]
    schema: Schema
    scores: Scores
    suggested: Optional[Suggested] = None


@dataclass(frozen=True)
class About:
    """What was evaluated: the pipeline's name as it was given, its meta, the gold files, the log of its training."""

    model: str
    meta: Mapping[str, Any]
    gold: Sequence[str]
    log: Sequence[Dict[str, Any]] = ()


def write_report(
    path: Union[str, Path], evaluation: Evaluation, about: About, *, worst: int = 5, examples: int = 3, bins: int = BINS
) -> None:
    """Write the page.

    worst: how many of the worst releases are shown; examples: how many errors of each cause; bins: of the reliability
    plots and the calibration error. Raises CommuniqueError where matplotlib is not installed.
    """
    need_matplotlib()
    root = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(root), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    context = _context(evaluation, about, worst, examples, bins)
    html = environment.get_template("page.html.j2").render(context)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(html, "utf8")


def percent(value: Optional[float]) -> str:
    """With one decimal, without a sign; a dash where there is no value."""
    return "–" if value is None else f"{100 * value:.1f}"


def _context(evaluation: Evaluation, about: About, worst: int, examples: int, bins: int) -> Dict[str, Any]:
    gold, schema, scores = evaluation.gold, evaluation.schema, evaluation.scores
    alignments = align(list(gold), list(evaluation.predicted), schema)
    errors = find_errors(alignments, evaluation.suggested)
    layers = [layer for layer in (*layers_of(schema), "identity") if layer in scores]
    return {
        "about": about,
        "releases": len(gold),
        "words": sum(len(r.text.split()) for r in gold),
        "layers": [(layer, scores[layer]) for layer in layers],
        "identity": [
            (name, scores[f"identity {name}"]) for name in ("muc", "b3", "ceafe") if f"identity {name}" in scores
        ],
        "labels": [(layer, rows) for layer in layers_of(schema) if (rows := _label_rows(scores, layer, schema))],
        "groups": field_groups(gold, evaluation.predicted, schema),
        "group_layers": layers,
        "confusion": entity_confusion(alignments, schema),
        "boundary": BOUNDARY,
        "causes": _cause_rows(errors, schema),
        "relation_causes": _examples(errors, schema, "relations strict", examples),
        "other_causes": [
            (layer, _examples(errors, schema, layer, examples))
            for layer in error_layers(schema)
            if layer != "relations strict"
        ],
        "suggested": evaluation.suggested is not None,
        "calibration": _calibration(evaluation, bins),
        "bins": bins,
        "spans": schema.span_key if schema.spans else "",
        "thresholds": _thresholds(alignments, schema),
        "worst": _worst(alignments, schema, errors, worst),
        "training": _training(about.log),
    }


def _label_rows(scores: Scores, layer: str, schema: Schema) -> List[Tuple[str, Mapping[str, float]]]:
    """(label, scores) of a layer, in the scheme's order, those that it doesn't know last."""
    found = {key.split(":", 1)[1]: value for key, value in scores.items() if key.startswith(f"{layer}:")}
    order = [label for label in (*schema.labels, *schema.relation_names) if label in found]
    return [(label, found[label]) for label in dict.fromkeys([*order, *sorted(found)])]


def _cause_rows(errors: Sequence[Error], schema: Schema) -> List[Dict[str, Any]]:
    """One dict a layer: its rows (side, cause, count, share of the layer's errors) and totals of both sides."""
    out = []
    for layer, rows in count_causes(errors, schema).items():
        total = sum(n for _, _, n in rows)
        sides = {side: sum(n for s, _, n in rows if s == side) for side in (MISSED, SPURIOUS)}
        shares = [(side, cause, n, n / total) for side, cause, n in rows]
        out.append({"layer": layer, "rows": shares, "total": total, **sides})
    return out


def _examples(
    errors: Sequence[Error], schema: Schema, layer: str, most: int
) -> List[Tuple[str, List[Tuple[str, int, List[Error]]]]]:
    """[(side, [(cause, count, some of its errors)])] of a layer. Examples come from different releases, if they can."""
    out = []
    counts = count_causes([e for e in errors if e.layer == layer], schema).get(layer, [])
    for side in (MISSED, SPURIOUS):
        rows = []
        for cause, n in ((c, n) for s, c, n in counts if s == side):
            mine = [e for e in errors if (e.layer, e.side, e.cause) == (layer, side, cause)]
            firsts = list({e.release: e for e in reversed(mine)}.values())[::-1]
            rows.append((cause, n, (firsts + [e for e in mine if e not in firsts])[:most]))
        if rows:
            out.append((side, rows))
    return out


def _name(kind: str, schema: Schema) -> str:
    """A kind of prediction as the scheme calls it."""
    return schema.span_key if kind == "pledges" else kind


def _calibration(evaluation: Evaluation, bins: int) -> List[Dict[str, Any]]:
    """One dict a kind that something was predicted of: name, ece, size, the bins, the plot and its description."""
    pairs = confidence_pairs(evaluation.gold, evaluation.predicted, evaluation.schema)
    out = []
    for kind in KINDS:
        if not pairs[kind]:
            continue
        name = _name(kind, evaluation.schema)
        confidences, correct = [c for c, _ in pairs[kind]], [k for _, k in pairs[kind]]
        found = reliability(confidences, correct, bins)
        full = [b for b in found if b.size]
        said = ", ".join(f"{b.lower:g} to {b.upper:g}: {percent(b.accuracy)} % of {b.size}" for b in full)
        out.append(
            {
                "kind": name,
                "ece": expected_calibration_error(confidences, correct, bins),
                "size": len(correct),
                "confidence": sum(confidences) / len(confidences),
                "accuracy": sum(correct) / len(correct),
                "bins": full,
                "plot": reliability_plot(found, f"reliability-{kind}"),
                "alt": f"Reliability of {name}, right predictions by confidence: {said}",
            }
        )
    return out


def _thresholds(alignments: Sequence[Alignment], schema: Schema) -> List[Dict[str, Any]]:
    """One dict a kind, if any is gold or predicted: what to say of the curve, the plot and its description."""
    out = []
    for kind, scored in scored_predictions(alignments, schema).items():
        if not scored.gold and not scored.pairs:
            continue
        name = _name(kind, schema)
        curve = threshold_curve(scored.pairs, scored.gold)
        best = best_point(curve)
        said = f"F1 {percent(curve[0].f)} as it is"
        said += (
            f", at best {percent(best.f)} at {best.threshold:.2f}"
            if best.f > curve[0].f
            else ", and no threshold is better"
        )
        out.append(
            {
                "kind": name,
                "said": said,
                "plot": threshold_plot(curve, f"threshold-{kind}"),
                "alt": f"Precision, recall and F1 of {name} over the confidence threshold: {said}",
            }
        )
    return out


def _worst(alignments: Sequence[Alignment], schema: Schema, errors: Sequence[Error], most: int) -> List[Dict[str, Any]]:
    """The releases with the lowest F1 over entities and relations together, but none without an error."""
    ranked = []
    for one in alignments:
        found = score_releases([one.gold], [one.predicted], schema)
        parts = [found[layer] for layer in RANKED if layer in found]
        right = sum(round(part["p"] * part["predicted"]) for part in parts)
        score = prf(right, sum(part["predicted"] for part in parts), sum(part["gold"] for part in parts))
        if score["f"] < 1 and (score["gold"] or score["predicted"]):
            ranked.append((score["f"], -score["gold"], one.gold.id, one, found))
    out = []
    for f, _, name, one, found in sorted(ranked, key=lambda item: item[:3])[:most]:
        gold, predicted = both_sides(one)
        mine = [e for e in errors if e.release == name and e.layer == "relations strict"]
        out.append(
            {
                "id": name,
                "title": one.gold.title or one.gold.text.split("\n", 1)[0],
                "source": one.gold.source,
                "f": f,
                "layers": [(layer, found[layer]) for layer in layers_of(schema) if layer in found],
                "gold": gold,
                "predicted": predicted,
                "relations": [(side, [e for e in mine if e.side == side]) for side in (MISSED, SPURIOUS)],
            }
        )
    return out


def _training(log: Sequence[Dict[str, Any]]) -> List[Dict[str, str]]:
    """Plots of the losses and of the scores over the steps, those that the log has."""
    out = []
    for key, title in (("losses", "Loss by component"), ("scores", "Score on the development corpus")):
        names = sorted({name for row in log for name, value in row[key].items() if value})
        if not names:
            continue
        axes = {"yscale": "log", "ylabel": "loss"} if key == "losses" else {"ylabel": "score"}
        last = ", ".join(f"{name} {log[-1][key][name]:.3g}" for name in names if name in log[-1][key])
        plot = line_plot(columns(log, "step", key, names), f"training-{key}", "step", **axes)
        out.append(
            {"title": title, "plot": plot, "alt": f"{title} over {len(log)} steps of the log; at the last: {last}"}
        )
    return out
