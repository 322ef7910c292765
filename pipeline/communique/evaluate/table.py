"""Scores as a table for the terminal."""

from __future__ import annotations

from typing import Dict, Sequence

from rich.markup import escape
from rich.table import Table

from .metrics import LAYERS


def scores_table(scores: Dict[str, Dict[str, float]], layers: Sequence[str] = LAYERS) -> Table:
    """Layers in order, each with its labels below, but for the enclosing spans'; percentages with one decimal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("layer")
    for column in ("P", "R", "F", "gold", "predicted"):
        table.add_column(column, justify="right")
    for layer in layers:
        if layer not in scores:
            continue
        _row(table, layer, scores[layer], "bold")
        for key in sorted(k for k in scores if k.startswith(f"{layer}:")):
            if not layer.endswith((" exact", " overlap")):
                _row(table, "  " + key.split(":", 1)[1], scores[key], "")
    for key in (k for k in scores if k.startswith("identity")):
        _row(table, key, scores[key], "bold" if key == "identity" else "")
    return table


def _row(table: Table, name: str, score: Dict[str, float], style: str) -> None:
    figures = [f"{100 * score[k]:.1f}" if k in score else "" for k in "prf"]
    counts = [f"{score[k]:.0f}" if k in score else "" for k in ("gold", "predicted")]
    table.add_row(escape(name), *figures, *counts, style=style)
