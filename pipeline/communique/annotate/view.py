"""What a person reads: each release's facts, and the sentence that says each."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..release import Release


def print_release(console: Console, release: Release, types: Sequence[str]) -> None:
    """Print one release's facts in text order, those of one sentence by type in the given order."""
    console.print(render(release, types))


def render(release: Release, types: Sequence[str]) -> RenderableType:
    head = Text(release.title or release.text.split("\n", 1)[0], style="bold")
    if release.date:
        head.append(f"  {release.date}", style="dim")
    facts = release.facts or []
    if not facts:
        return Group(head, Padding(Text("no facts found", style="dim"), (0, 0, 1, 2)))
    parts: List[RenderableType] = [head]
    ranked = sorted(facts, key=lambda f: (f["evidence"][0].get("start", 0), _rank(types, f["type"])))
    for sentence, group in _by_sentence(ranked):
        parts.append(Padding(_table(group), (0, 0, 0, 2)))
        parts.append(Padding(Text(f"“{sentence}”", style="dim italic"), (0, 0, 1, 6)))
    return Group(*parts)


def _rank(types: Sequence[str], name: str) -> int:
    return types.index(name) if name in types else len(types)


def _by_sentence(facts: Sequence[Mapping[str, Any]]) -> List[Tuple[str, List[Mapping[str, Any]]]]:
    """Facts whose first evidence is the same sentence stand together over it."""
    groups: Dict[str, List[Mapping[str, Any]]] = {}
    for fact in facts:
        sentence = " ".join(str(fact["evidence"][0].get("text", "")).split())
        groups.setdefault(sentence, []).append(fact)
    return list(groups.items())


def _table(facts: List[Mapping[str, Any]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="dim")
    table.add_column(style="cyan", max_width=42)
    table.add_column(style="green", no_wrap=True)
    table.add_column(max_width=70)
    for fact in facts:
        table.add_row(f"{fact['score']:.2f}", thing(fact["head"]), fact["type"], thing(fact["tail"]))
    return table


def thing(data: Mapping[str, Any]) -> str:
    """A name with its normal form, where that says more."""
    norm = data.get("norm")
    return f"{data['name']} [{norm}]".replace("[", r"\[") if norm and norm != data["name"] else str(data["name"])
