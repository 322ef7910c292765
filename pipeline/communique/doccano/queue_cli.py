"""``communique doccano queue`` and ``simulate``: what to annotate next, and whether that order is worth it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Dict, Iterable, List, Optional

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from ..errors import Defect
from ..told import REFUSED, err, fail, plain, print_defects, read_overrides, told

if TYPE_CHECKING:
    from ..release import Release

out = Console()


def add_to(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command()(queue)
    app.command()(simulate)


def queue(
    inputs: Annotated[List[str], typer.Argument(help="Releases: whatever [bold]annotate[/bold] reads.")],
    output: Annotated[str, typer.Option("--output", "-o", help="JSONL file to write, or - for standard output.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name of a shipped model, a folder, or an installed package.")
    ] = "minilm",
    second: Annotated[
        str, typer.Option(help="Another model: where the two differ there is something to learn.")
    ] = "small",
    alone: Annotated[bool, typer.Option("--alone", help="Read with the one model only, in less time.")] = False,
    corpus: Annotated[
        Optional[List[Path]], typer.Option("--corpus", help="Annotated already: JSONL, markup; may be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many releases to choose.")] = 10,
    settings: Annotated[
        Optional[Path], typer.Option("--settings", help="Config file with what differs from queue.cfg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")] = False,
) -> None:
    """Choose the releases to annotate next, those from which the model would learn most first.

    They are written as they came, with the reasons under [bold]queue[/bold]. What the corpus has already, by id or by
    text, is left out. Exit code 0: all were ranked; 1: some were refused; 2: wrong usage.
    """
    from ..annotate.run import load_model
    from ..annotate.sinks import STDOUT
    from ..annotate.sources import Reading
    from ..bridge import get_schema
    from ..corpus.exchange import read_gold
    from . import queue as queues
    from .gather import read_releases
    from .queue_settings import load_settings

    with told():
        if Path(output).is_dir():
            fail(f"{output}: it is a folder: name a file in it")
        options = load_settings(settings)
        known = read_gold(corpus or [])
        found = read_releases(
            inputs,
            Reading(options.limits.chars, options.limits.line_bytes, longer="raise [limits] chars in --settings"),
        )
        nlp = load_model(model)
        other = None if alone else queues.committee(nlp, model, second)
        releases: List["Release"] = []
        refused: List[Defect] = []
        for item in found:
            (refused if isinstance(item, Defect) else releases).append(item)  # type: ignore[arg-type]
        free, left = queues.unannotated(releases, known)
        readings: List[queues.Reading] = []
        with _progress() as bar:
            task = bar.add_task("reading", total=len(free))
            for read in queues.read(nlp, free, options, other):
                bar.advance(task)
                (refused if isinstance(read, Defect) else readings).append(read)  # type: ignore[arg-type]
        places = queues.rank(readings, known, options, count)
        key = get_schema(nlp).span_key
        _write((queues.with_reasons(place, number, key) for number, place in enumerate(places, 1)), output)
    print_defects(refused)
    counts = {"ranked": len(readings), "left_out": len(left), "refused": len(refused), "output": output}
    stdout = output == STDOUT
    if as_json:
        reasons = [{"id": p.reading.release.id, **queues.reasons(p, n, key)} for n, p in enumerate(places, 1)]
        record = {**counts, "left_out": left, "queue": reasons}
        (sys.stderr if stdout else sys.stdout).write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        (err if stdout else out).print(_table(places, key))
        err.print(
            f"{len(places)} of {len(readings)} releases, {len(left)} left out as annotated, {len(refused)} refused"
            f" -> {plain(output)}"
        )
    raise typer.Exit(REFUSED if refused else 0)


def _write(releases: Iterable["Release"], output: str) -> None:
    from ..annotate.sinks import STDOUT, dump, is_stream, save_releases

    if output == STDOUT:
        sys.stdout.writelines(map(dump, releases))
    elif is_stream(output):
        with open(output, "w", encoding="utf8") as stream:
            stream.writelines(map(dump, releases))
    else:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        save_releases(releases, Path(output))


def _table(places: Any, key: str) -> Table:
    from .doubts import LAYERS, SPANS
    from .queue import in_words

    table = Table(box=None, pad_edge=False)
    for column in ("", "release", "score", "words", "errors expected", "differences", "likest", "doubts"):
        table.add_column(column, overflow="fold", justify="right" if column in ("", "score", "words") else "left")
    for number, place in enumerate(places, 1):
        mine = place.reading
        errors = [f"{mine.errors[layer]:.1f} {key if layer == SPANS else layer}" for layer in LAYERS]
        differences = [f"{n:.0f} {key if layer == SPANS else layer}" for layer, n in mine.differences.items()]
        like = f"{place.likeness:.2f} {place.like}" if place.like is not None else ""
        cells = (str(number), mine.release.id, f"{place.score:.2f}", str(mine.words), ", ".join(errors))
        table.add_row(*map(plain, (*cells, ", ".join(differences), like, "; ".join(map(in_words, mine.doubts)))))
    return table


def simulate(
    config: Annotated[Path, typer.Argument(help="Pipeline config.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the trainings: what is there is kept.")],
    corpus: Annotated[List[Path], typer.Option("--corpus", help="Gold files to annotate once more.")],
    gold: Annotated[List[Path], typer.Option(help="Gold to score on.")],
    seed: Annotated[List[int], typer.Option(help="Seed of the draw and of the training.")],
    points: Annotated[Path, typer.Option(help="JSON file for the points.")],
    held: Annotated[int, typer.Option(min=1, help="Releases to fit the confidences on.")],
    first: Annotated[int, typer.Option(min=1, help="Releases to begin with.")],
    step: Annotated[int, typer.Option(min=1, help="Releases to add at a time.")],
    last: Annotated[int, typer.Option(min=1, help="Releases at the end.")],
    steps: Annotated[int, typer.Option(min=1, help="Updates of each training.")],
    queue: Annotated[
        Optional[List[str]],
        typer.Option("--queue", help="An order to compare, name=settings.cfg, or a name alone for the defaults."),
    ] = None,
    plot: Annotated[Optional[Path], typer.Option(help="File for the figure, e.g. curve.svg.")] = None,
    override: Annotated[
        Optional[List[str]], typer.Option("--set", help="Config override, e.g. training.dropout=0.1.")
    ] = None,
) -> None:
    """Annotate an annotated corpus once more, at random and in the queue's order, and print what each order reaches."""
    from ..corpus.exchange import read_gold
    from ..evaluate.report.plots import need_matplotlib
    from ..schema import Schema
    from ..training import config_schema
    from .curves import curves_table, layers_compared, plot_curves
    from .queue_settings import load_settings
    from .simulate import RANDOM, Job, Plan
    from .simulate import simulate as run

    named = dict(item.partition("=")[::2] for item in queue or ["queue"])
    if RANDOM in named or not all(named) or len(named) < len(queue or named):
        fail(f"--queue: write name=settings.cfg, each name once and none of them {RANDOM}")
    if first >= last:
        fail(f"--last {last}: it must be more than --first {first}")
    with told():
        if plot is not None:
            need_matplotlib()
        settings: Dict[str, Any] = {name: load_settings(Path(file) if file else None) for name, file in named.items()}
        plan = Plan(held, first, step, last, steps)
        job = Job(config, output, corpus, read_gold(gold), plan, read_overrides(override), err)
        layers = layers_compared(Schema.from_disk(config_schema(config)))
        found = list(run(job, settings, seed))
        points.parent.mkdir(parents=True, exist_ok=True)
        points.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf8")
        sys.stdout.write(curves_table(found, layers))
        if plot is not None:
            plot_curves(found, layers, plot)


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
