"""The learning curve: a pipeline's scores against the share of the corpus that it was trained on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from rich.console import Console
from spacy.language import Language

from .annotate.run import load_model
from .corpus.exchange import load_tokenizer, read_gold, to_docbin
from .evaluate.report.plots import need_matplotlib
from .release import Release
from .schema import Schema
from .training import config_schema, evaluate_pipeline, provenance, train_pipeline

PathLike = Union[str, Path]
Record = Dict[str, Any]


def draw(releases: Iterable[Release], share: float, seed: int) -> List[Release]:
    """A share of the releases, by a hash of seed and id: with one seed, a smaller share is part of a larger one."""

    def rank(release: Release) -> str:
        return hashlib.sha256(f"{seed}/{release.id}".encode()).hexdigest()

    ordered = sorted(releases, key=rank)
    return ordered[: max(1, round(share * len(ordered)))]


def run_point(
    config: PathLike,
    output: PathLike,
    train: Sequence[PathLike],
    gold: Mapping[str, Sequence[Release]],
    share: float,
    seed: int,
    overrides: Dict[str, Any],
    console: Optional[Console] = None,
) -> Record:
    """Train on a share of the releases with one seed and score the model on each gold set.

    The steps of training are scaled by the square root of the share, since a small corpus is learned sooner, and the
    model of the last step is scored. A point whose record is in the folder ``output`` already is not trained again,
    unless the config, the overrides, the corpus or the gold sets have changed.
    """
    folder = Path(output) / f"{share:g}-{seed}"
    record = folder / "scores.json"
    settings = {
        **provenance(config, train),
        "overrides": overrides,
        "gold": {name: digest(releases) for name, releases in gold.items()},
    }
    if record.exists():
        known = dict(json.loads(record.read_text("utf8")))
        if known.get("settings") == settings:
            return known
    releases = draw(read_gold(train), share, seed)
    most = overrides.get("training.max_steps", load_tokenizer(config)[1]["training"]["max_steps"])
    steps = max(1, round(most * share**0.5))
    model = train_on(config, folder, train, releases, steps, {**overrides, "system.seed": seed}, console)
    scores = {name: evaluate_pipeline(model, list(releases)) for name, releases in gold.items()}
    point = {
        "share": share,
        "seed": seed,
        "releases": len(releases),
        "steps": steps,
        "scores": scores,
        "settings": settings,
    }
    record.write_text(json.dumps(point, indent=1, sort_keys=True) + "\n", "utf8")
    return point


def train_on(
    config: PathLike,
    folder: Path,
    corpus: Sequence[PathLike],
    releases: Iterable[Release],
    steps: int,
    overrides: Mapping[str, Any],
    console: Optional[Console] = None,
) -> Language:
    """The pipeline of the last of so many steps, trained on some releases of a corpus. It is kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    nlp, full = load_tokenizer(config)
    to_docbin(releases, nlp.tokenizer, Schema.from_disk(config_schema(config))).to_disk(folder / "train.spacy")
    changes = {
        **overrides,
        "paths.train": str(folder / "train.spacy"),
        "training.max_steps": steps,
        "training.eval_frequency": steps,
    }
    schedule = full["training"]["optimizer"]["learn_rate"]
    if isinstance(schedule, dict) and "total_steps" in schedule:
        changes["training.optimizer.learn_rate.total_steps"] = steps
    return load_model(str(train_pipeline(config, folder, corpus, changes, console=console)))


def digest(releases: Iterable[Release]) -> str:
    """A fingerprint of releases with all that is known of them."""
    lines = "\n".join(json.dumps(r.to_dict(), sort_keys=True) for r in releases)
    return hashlib.sha256(lines.encode("utf8")).hexdigest()


def curve_table(points: Iterable[Record], layers: Sequence[str]) -> str:
    """A Markdown table: a line for each gold set and share, F1 in percent as mean ± standard deviation of the seeds.

    A layer that a gold set hasn't got is shown as "–".
    """
    lines = [f"| scored on | trained on | {' | '.join(layers)} |", "|---|---|" + "---|" * len(layers)]
    for name, releases, runs in _groups(points):
        cells = []
        for layer in layers:
            values = _values(runs, name, layer)
            spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.1f}{spread}" if values else "–")
        lines.append(f"| {name} | {releases} releases | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot_curve(points: Iterable[Record], layers: Sequence[str], output: PathLike) -> None:
    """A figure with a panel for each gold set: F1 against releases, mean and range over seeds.

    Raises CommuniqueError where matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    groups = _groups(points)
    names = list(dict.fromkeys(name for name, _, _ in groups))
    figure = Figure(figsize=(5 * len(names), 4), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names):
        mine = [(releases, runs) for set_name, releases, runs in groups if set_name == name]
        for layer in layers:
            values = [_values(runs, name, layer) for _, runs in mine]
            x = [releases for releases, _ in mine]
            if not all(values):
                continue
            (line,) = panel.plot(x, [mean(v) for v in values], marker="o", label=layer)
            panel.fill_between(x, [min(v) for v in values], [max(v) for v in values], alpha=0.2, color=line.get_color())
        panel.set(title=name, xlabel="releases trained on", ylim=(0, 100), xscale="log")
        panel.set_xticks(x, [str(n) for n in x], minor=False)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("F1")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    figure.savefig(output)


def _values(runs: Iterable[Record], name: str, layer: str) -> List[float]:
    """F1 of a layer in percent, of the runs that have it."""
    scores = (run["scores"][name] for run in runs)
    return [100 * s[layer]["f"] for s in scores if layer in s]


def _groups(points: Iterable[Record]) -> List[Tuple[str, int, List[Record]]]:
    """(gold set, number of releases, its runs), by gold set and size."""
    groups: Dict[Tuple[str, int], List[Record]] = {}
    items = sorted(points, key=lambda p: (p["releases"], p["seed"]))
    for name in dict.fromkeys(name for p in items for name in p["scores"]):
        for point in items:
            groups.setdefault((name, point["releases"]), []).append(point)
    return [(name, releases, runs) for (name, releases), runs in groups.items()]
