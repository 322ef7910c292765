"""Plots as SVG that stands in a page: no text is an outline, no id is used twice, nothing is loaded."""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from ...errors import CommuniqueError
from ..calibration import Bin
from ..thresholds import Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = Tuple[Sequence[float], Sequence[Optional[float]]]
SIZE = (3.5, 2.8)  # inches; the page scales it
# Okabe and Ito's colours, which people tell apart whatever colours they see; and dashes, for print in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("-", "--", ":", "-.")
STYLE: Dict[str, Any] = {"svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif", "axes.axisbelow": True}


def need_matplotlib() -> None:
    """Raises CommuniqueError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise CommuniqueError("plots need matplotlib: pip install 'communique[plots]'")


def reliability_plot(bins: Sequence[Bin], name: str) -> str:
    """The share of right predictions by confidence, against the diagonal, and below how many there are."""
    full = [b for b in bins if b.size]
    centres, width = [(b.lower + b.upper) / 2 for b in full], bins[0].upper - bins[0].lower

    def draw(figure: "Figure") -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.bar(centres, [b.accuracy for b in full], width, color=COLOURS[5], edgecolor="white", linewidth=1)
        top.plot([0, 1], [0, 1], color="#555", linestyle="--", linewidth=1)
        top.plot(
            [b.confidence for b in full], [b.accuracy for b in full], "o", color=COLOURS[0], markersize=4, clip_on=False
        )
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right")
        bottom.bar(centres, [b.size for b in full], width, color="#999", edgecolor="white", linewidth=1)
        bottom.set(xlabel="confidence", ylabel="number")

    return _svg(draw, name)


def threshold_plot(curve: Sequence[Point], name: str) -> str:
    """Precision, recall and F1 over the confidence threshold."""
    x = [point.threshold for point in curve]
    lines: Dict[str, Line] = {
        "precision": (x, [point.p for point in curve]),
        "recall": (x, [point.r for point in curve]),
        "F1": (x, [point.f for point in curve]),
    }
    return line_plot(lines, name, "threshold", xlim=(0, 1), ylim=(0, 1.02))


def line_plot(lines: Dict[str, Line], name: str, xlabel: str, **axes: Any) -> str:
    """Lines by name; a missing value (None) is a gap. ``axes``: what ``Axes.set`` takes."""

    def draw(figure: "Figure") -> None:
        panel = figure.subplots()
        for number, (label, (x, y)) in enumerate(lines.items()):
            values = [float("nan") if v is None else v for v in y]
            marker = "o" if len(x) < 30 else None
            look: Dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
            panel.plot(x, values, label=label, marker=marker, markersize=3, **look)
        panel.set(xlabel=xlabel, **axes)
        panel.grid(alpha=0.3)
        figure.legend(loc="outside upper center", ncols=min(3, max(1, len(lines))), frameon=False, fontsize=9)

    return _svg(draw, name)


def columns(rows: Sequence[Dict[str, Any]], key: str, inner: str, names: Sequence[str]) -> Dict[str, Line]:
    """Lines for ``line_plot`` out of rows: over ``key``, the values that ``inner`` holds under each name."""
    x: List[float] = [float(row[key]) for row in rows]
    return {name: (x, [row[inner].get(name) for row in rows]) for name in names}


def _svg(draw: Callable[["Figure"], None], name: str) -> str:
    """What ``draw`` draws, as an element to stand in HTML.

    ``name`` keeps its ids apart from those of other figures. Raises CommuniqueError where matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    style: Any = {**STYLE, "svg.hashsalt": name}
    with rc_context(style):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _embedded(buffer.getvalue(), name)


def _embedded(svg: str, name: str) -> str:
    """Without prolog, metadata, namespaces and a style sheet, which would hold for the whole page, and of any width."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text).replace("url(#", f"url(#{name}-")
    head, rest = text.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    return f'{head} aria-hidden="true" stroke-linejoin="round">{rest}'.strip()
