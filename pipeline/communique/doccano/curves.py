"""The simulation's points as a table and a figure."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ..evaluate.report.plots import COLOURS, DASHES, STYLE, need_matplotlib
from ..schema import Schema
from .simulate import RANDOM, Point

MEAN = "mean"
Curve = Dict[int, List[Point]]


def layers_compared(schema: Schema) -> Tuple[str, ...]:
    """The layers that the queue weighs, by the names of the metrics."""
    spans = (f"{schema.span_key} overlap",) if schema.spans else ()
    return ("entities", *spans, *(("relations strict",) if schema.relations else ()))


def curves_table(points: Iterable[Point], layers: Sequence[str]) -> str:
    """A Markdown table: a line for each order and size, F1 in percent as mean ± standard deviation of the seeds, and
    one for each order with the releases and words that it needs for what random order reaches at its end."""
    curves = _curves(points)
    columns = [MEAN, *layers]
    lines = [f"| order | releases | words | {' | '.join(columns)} |", "|---|---|---|" + "---|" * len(columns)]
    for order, curve in curves.items():
        for size, runs in curve.items():
            cells = [_cell([f1(run, column, layers) for run in runs]) for column in columns]
            words = round(mean(run["words"] for run in runs))
            lines.append(f"| {order} | {size} | {words:,} | {' | '.join(cells)} |")
    lines += ["", f"| as good as {RANDOM} at its end | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for order in curves:
        for unit in ("releases", "words"):
            shares = [reached(curves, order, column, layers, unit) for column in columns]
            cells = ["–" if share is None else f"{share:.0%}" for share in shares]
            lines.append(f"| {order}, share of the {unit} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def f1(point: Point, column: str, layers: Sequence[str]) -> float:
    """F1 of a layer in percent, or the mean of all layers."""
    values: List[float] = [100 * point["scores"].get(layer, {"f": 0.0})["f"] for layer in layers]
    return mean(values) if column == MEAN else values[list(layers).index(column)]


def reached(
    curves: Dict[str, Curve], order: str, column: str, layers: Sequence[str], unit: str = "releases"
) -> Optional[float]:
    """The share of the releases or words of random order's end at which an order is as good as that, between two points
    by a straight line, or None where it is not. Means of the seeds."""
    goal_x, goal = _means(curves[RANDOM], column, layers, unit)[-1]
    before: Optional[Tuple[float, float]] = None
    for x, y in _means(curves[order], column, layers, unit):
        if y >= goal:
            if before is None or y == before[1]:
                return x / goal_x
            return (before[0] + (x - before[0]) * (goal - before[1]) / (y - before[1])) / goal_x
        before = x, y
    return None


def plot_curves(points: Iterable[Point], layers: Sequence[str], output: Union[str, Path]) -> None:
    """A figure with a panel for each layer, over releases and over words: F1, mean and range of the seeds.

    Raises CommuniqueError where matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    curves = _curves(points)
    columns = [MEAN, *layers]
    style: Any = {**STYLE, "svg.hashsalt": "queue"}
    with rc_context(style):
        figure = Figure(figsize=(3.2 * len(columns), 6), layout="constrained")
        panels = figure.subplots(2, len(columns), squeeze=False)
        for row, unit in zip(panels, ("releases", "words")):
            for panel, column in zip(row, columns):
                _panel(panel, curves, column, layers, unit)
        for panel, column in zip(panels[0], columns):
            panel.set_title(column)
        for row in panels:
            row[0].set_ylabel("F1")
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
        figure.savefig(output, metadata={"Date": None})


def _panel(panel: Any, curves: Dict[str, Curve], column: str, layers: Sequence[str], unit: str) -> None:
    for number, (order, curve) in enumerate(curves.items()):
        x = [at for at, _ in _means(curve, column, layers, unit)]
        values = [[f1(run, column, layers) for run in runs] for runs in curve.values()]
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        panel.plot(x, [mean(v) for v in values], marker="o", markersize=3, label=order, **look)
        panel.fill_between(x, [min(v) for v in values], [max(v) for v in values], alpha=0.15, color=look["color"])
    panel.axhline(_means(curves[RANDOM], column, layers, unit)[-1][1], color="#777", linewidth=0.8, linestyle=":")
    panel.set_xlabel(f"{unit} annotated")
    panel.grid(alpha=0.3)


def _curves(points: Iterable[Point]) -> Dict[str, Curve]:
    """{order: {releases: the runs of the seeds}}; every order begins with the points from which it went on."""
    found: Dict[str, Curve] = {}
    for point in sorted(points, key=lambda p: (p["order"] != RANDOM, p["order"], p["releases"], p["seed"])):
        found.setdefault(point["order"], {}).setdefault(point["releases"], []).append(point)
    first = min(found[RANDOM])
    return {order: {first: found[RANDOM][first], **curve} for order, curve in found.items()}


def _means(curve: Curve, column: str, layers: Sequence[str], unit: str) -> List[Tuple[float, float]]:
    return [(mean(run[unit] for run in runs), mean(f1(run, column, layers) for run in runs)) for runs in curve.values()]


def _cell(values: Sequence[float]) -> str:
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")
