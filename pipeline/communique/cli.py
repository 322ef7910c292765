"""The command line: parse, call, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional

import typer
from rich.console import Console
from rich.table import Table

from .choices import Engines, Policy
from .doccano.cli import doccano_app
from .errors import CommuniqueError, DefectError
from .own import choices
from .told import REFUSED, USAGE, err, fail, plain, print_defects, read_overrides, read_scheme

HELP = "Read government press releases: who met whom, who signed what, who pledged what, and the sentence that says so."
app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)
corpus_app = typer.Typer(help="Check, convert, split and count gold releases.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")
export_app = typer.Typer(help="Turn trained pipelines into what other services load.", no_args_is_help=True)
app.add_typer(export_app, name="export")
app.add_typer(doccano_app, name="doccano")
out = Console()

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="Pipeline config: its tokenizer and label scheme are used.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Name of a shipped model, a folder, or an installed package.")
]
DEFAULT_CONFIG = Path("configs/small.cfg")
DEFAULT_MODEL = "minilm"
LENGTH = "Length of the training"


RUN = "How it runs"


@app.command()
def annotate(
    inputs: Annotated[
        List[str],
        typer.Argument(
            help="Listing pages, JSONL, .txt, web pages, feeds, Parquet files, also .gz and .zst; folders of them; "
            "- for standard input."
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="JSONL, Parquet or SQLite to write, or - for standard output.")
    ],
    model: Annotated[
        Optional[str], typer.Option("--model", "-m", help="Name of a shipped model, a folder, or an installed package.")
    ] = None,
    view: Annotated[bool, typer.Option("--view", help="Print the facts for people to read.")] = False,
    min_confidence: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out mentions, relations and facts that are less certain.")
    ] = 0.0,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell nothing but what was refused.")] = False,
    max_chars: Annotated[
        Optional[int], typer.Option(min=1, help="Longest release, in characters; longer ones are refused.")
    ] = None,
    read_as: Annotated[
        Optional[str], typer.Option("--from", help="Format of the inputs, whatever their names say.")
    ] = None,
    write_as: Annotated[Optional[str], typer.Option("--format", help="Format of the output, likewise.")] = None,
    workers: Annotated[
        Optional[int],
        typer.Option("--workers", "-w", min=1, help="Processes; else one for each core.", rich_help_panel=RUN),
    ] = None,
    engine: Annotated[Engines, typer.Option(help="Where they run.", rich_help_panel=RUN)] = Engines.local,
    new_model: Annotated[
        Policy,
        typer.Option(
            help="Where another model has annotated what is there: stop, keep that, or annotate it again.",
            rich_help_panel=RUN,
        ),
    ] = Policy.stop,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try releases again on which the model has failed.", rich_help_panel=RUN)
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Write over an output that is not as a run has left it.", rich_help_panel=RUN),
    ] = False,
    config: Annotated[
        Optional[Path], typer.Option("--config", "-c", help="Settings: see docs/batch.md.", rich_help_panel=RUN)
    ] = None,
) -> None:
    """Annotate releases and write them in the exchange format, or as tables.

    What is done is kept beside the output, OUTPUT.progress: the same command goes on where it was interrupted, and
    takes only what is new or changed when it is run again. Records that can't be used are refused, named with file and
    line, and written to OUTPUT.refused.jsonl; the rest is annotated all the same.
    Exit code 0: all annotated; 1: some refused; 2: wrong usage, or the output can't be written; 130: interrupted.
    """
    from .annotate.command import Options, Show, run

    options = Options(
        inputs, output, model, min_confidence, max_chars, read_as, write_as, workers, engine, new_model, retry, replace
    )
    try:
        viewed = err if output == "-" or as_json else out
        told = run(options, config, Show(err, viewed if view else None, quiet))
    except CommuniqueError as error:
        fail(error)
    if as_json:
        (sys.stderr if output == "-" else sys.stdout).write(json.dumps(told.as_dict()) + "\n")
    elif not quiet:
        for line in told.lines():
            err.print(plain(line))
    raise typer.Exit(REFUSED if told.summary.refused else 0)


@app.command()
def facts(
    file: Annotated[Path, typer.Argument(help="Annotated releases, as written by [bold]annotate[/bold].")],
    type_: Annotated[
        Optional[List[str]], typer.Option("--type", "-t", help="Only facts of this type; may be repeated.")
    ] = None,
    name: Annotated[Optional[str], typer.Option("--name", "-n", help="Only facts with this text in a name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the facts of annotated releases, each with the sentence that says so."""
    from .annotate.view import thing
    from .corpus.exchange import read_jsonl

    releases, defects = read_jsonl(file)
    print_defects(defects)
    if defects and not releases:
        raise typer.Exit(USAGE)
    table = Table(box=None, pad_edge=False)
    for column in ("release", "head", "type", "tail", "score", "sentence"):
        table.add_column(column, overflow="fold")
    for release in releases:
        for fact in release.facts or []:
            if type_ and fact["type"] not in type_:
                continue
            if name and not any(name.lower() in str(fact[k]["name"]).lower() for k in ("head", "tail")):
                continue
            if as_json:
                sys.stdout.write(json.dumps({"release": release.id, **fact}, ensure_ascii=False) + "\n")
            else:
                said = " ".join(str(fact["evidence"][0].get("text", "")).split())
                ends = (thing(fact["head"]), fact["type"], thing(fact["tail"]))
                table.add_row(release.id, *ends, f"{fact['score']:.2f}", plain(said))
    if not as_json:
        out.print(table)
    raise typer.Exit(REFUSED if defects else 0)


@app.command()
def init(
    train: Annotated[Path, typer.Argument(help="Gold to train on, JSON lines in the exchange format.")],
    dev: Annotated[Path, typer.Option(help="Gold to choose the best model on.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the label scheme, the config and the gold.")
    ],
    base: Annotated[Path, typer.Option(help="Config to derive yours from.")] = DEFAULT_CONFIG,
    encoder: Annotated[
        Optional[str], typer.Option(help="Another pretrained encoder: a folder, or a name on the model hub.")
    ] = None,
    encoder_rate: Annotated[Optional[float], typer.Option(help="Learning rate of that encoder, e.g. 5e-5.")] = None,
    spans: Annotated[
        Optional[List[str]], typer.Option(help="Label of spans that may enclose entities; may be repeated.")
    ] = None,
    symmetric: Annotated[
        Optional[List[str]], typer.Option(help="Relation type without a direction; may be repeated.")
    ] = None,
    tokenizer: Annotated[
        choices.Tokens, typer.Option(help="The base's, cut at blanks only, or cut at every sign too.")
    ] = choices.Tokens.base,
    records: Annotated[
        choices.Records, typer.Option(help="What a record is; auto: what the base's rules find in most of them.")
    ] = choices.Records.auto,
    off_boundaries: Annotated[
        choices.OffBoundaries, typer.Option(help="What to do with mentions off token boundaries.")
    ] = choices.OffBoundaries.error,
    overlaps: Annotated[
        choices.Overlaps, typer.Option(help="What to do with entities that overlap.")
    ] = choices.Overlaps.error,
    epochs: Annotated[int, typer.Option(min=1, help="How often the gold is read.", rich_help_panel=LENGTH)] = 20,
    updates: Annotated[
        int, typer.Option(min=1, help="Least updates an epoch; batches get smaller for it.", rich_help_panel=LENGTH)
    ] = 120,
    least_batch: Annotated[int, typer.Option(min=1, help="Fewest words of a batch.", rich_help_panel=LENGTH)] = 150,
    least_steps: Annotated[
        int, typer.Option(min=1, help="Fewest updates of a training.", rich_help_panel=LENGTH)
    ] = 200,
    evaluations: Annotated[
        int, typer.Option(min=1, help="How often the dev gold is scored.", rich_help_panel=LENGTH)
    ] = 10,
    show: Annotated[int, typer.Option(help="How many places of each kind of defect are named.")] = 5,
    force: Annotated[bool, typer.Option("--force", help="Write over what is in the folder.")] = False,
) -> None:
    """Begin a pipeline for labels of your own: read them off the gold, write a label scheme and a config.

    Gold that a pipeline can't hold is named with file, line and mend. Exit code 1: the gold must be mended; 2: wrong
    usage.
    """
    if encoder_rate is not None and encoder is None:
        fail(CommuniqueError("--encoder-rate is of the encoder that --encoder names: give that too"))
    from .own import report, start
    from .own.length import Rule

    there = [] if force else start.existing(output)
    if there:
        fail(CommuniqueError(f"{there[0]} is there already: name another folder, or --force to write over it"))
    options = start.Options(
        base,
        Rule(epochs, updates, least_batch, least_steps, evaluations),
        tuple(spans or ()),
        tuple(symmetric or ()),
        tokenizer,
        records,
        off_boundaries,
        overlaps,
        encoder,
        encoder_rate,
    )
    try:
        started = start.start(train, dev, output, options)
    except DefectError as error:
        for line in report.shortened(error.defects, show):
            err.print(plain(line))
        raise typer.Exit(REFUSED) from error
    except CommuniqueError as error:
        fail(error)
    for line in report.shortened(started.notices, show):
        err.print(plain(line))
    for line in report.summary(started):
        out.print(plain(line), highlight=False, soft_wrap=True)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Pipeline config.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for model-best and model-last.")],
    corpus: Annotated[List[Path], typer.Option("--corpus", help="Gold files that the model's meta shall name.")],
    override: Annotated[
        Optional[List[str]], typer.Option("--set", help="Config override, e.g. training.max_steps=100.")
    ] = None,
    gpu_id: Annotated[int, typer.Option(help="Number of the GPU to train on; -1: the CPU.")] = -1,
) -> None:
    """Train a pipeline as [bold]spacy train[/bold] does, and note in its meta what it was trained from.

    The folder keeps what an earlier training has put there until this one has finished; [bold]log.jsonl[/bold] in it
    has a line for each evaluation. Exit code 130 after Ctrl-C.
    """
    from .training import train_pipeline

    try:
        best = train_pipeline(config, output, corpus, read_overrides(override), gpu_id=gpu_id, console=out)
    except CommuniqueError as error:
        fail(error)
    out.print(f"best model: {plain(best)}", soft_wrap=True, highlight=False)


@app.command()
def curve(
    config: Annotated[Path, typer.Argument(help="Pipeline config.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the trainings: what is there is kept.")],
    corpus: Annotated[List[Path], typer.Option("--corpus", help="Gold files to train on.")],
    gold: Annotated[List[str], typer.Option(help="Gold to score on, name=path.")],
    share: Annotated[List[float], typer.Option(help="Share of the corpus to train on.")],
    seed: Annotated[List[int], typer.Option(help="Seed of the draw and of the training.")],
    plot: Annotated[Optional[Path], typer.Option(help="File for the figure, e.g. curve.svg.")] = None,
    override: Annotated[
        Optional[List[str]], typer.Option("--set", help="Config override, e.g. training.max_steps=100.")
    ] = None,
) -> None:
    """Print the learning curve: scores of a pipeline trained on shares of a corpus, with several seeds."""
    from .corpus.exchange import read_gold
    from .curve import curve_table, plot_curve, run_point
    from .evaluate.metrics import layers_of
    from .evaluate.report.plots import need_matplotlib
    from .schema import Schema
    from .training import config_schema

    sets = {name: path for name, _, path in (item.partition("=") for item in gold)}
    if not all(sets.values()) or not all(sets) or len(sets) < len(gold):
        fail(CommuniqueError("--gold: write name=path, each name once"))
    if not all(0 < s <= 1 for s in share):
        fail(CommuniqueError("--share: write a number above 0 and up to 1"))
    try:
        if plot is not None:
            need_matplotlib()
        layers = [*layers_of(Schema.from_disk(config_schema(config))), "identity"]
        args = (config, output, corpus, {name: read_gold([path]) for name, path in sets.items()})
        points = [run_point(*args, s, n, read_overrides(override), console=err) for s in share for n in seed]
        sys.stdout.write(curve_table(points, layers))
        if plot is not None:
            plot_curve(points, layers, plot)
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except CommuniqueError as error:
        fail(error)


@app.command()
def evaluate(
    gold: Annotated[List[Path], typer.Argument(help="Gold releases: JSONL, markup files, or folders of them.")],
    model: ModelOption = DEFAULT_MODEL,
    output: Annotated[Optional[Path], typer.Option("--output", "-o", help="JSON file for the scores.")] = None,
    report: Annotated[
        Optional[Path], typer.Option("--report", "-r", help="HTML page with scores, errors by cause and calibration.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a pipeline on gold releases by the metrics of the annotation guide."""
    from .annotate.run import annotate_bare, load_model
    from .bridge import get_schema
    from .corpus.exchange import read_gold, unique_ids
    from .evaluate.calibration import calibration_record, confidence_pairs
    from .evaluate.metrics import layers_of, score_releases
    from .evaluate.report.plots import need_matplotlib
    from .evaluate.table import scores_table

    try:
        if report is not None:
            need_matplotlib()
        nlp = load_model(model)
        schema = get_schema(nlp)
        releases = unique_ids(read_gold(gold))
        predicted = annotate_bare(nlp, releases)
        scores = score_releases(releases, predicted, schema)
        record = {
            "model": model,
            "gold": [str(p) for p in gold],
            "releases": len(releases),
            "scores": scores,
            "calibration": calibration_record(confidence_pairs(releases, predicted, schema)),
        }
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf8")
        if report is not None:
            from .evaluate.candidates import suggested_pairs
            from .evaluate.report.page import About, Evaluation, write_report
            from .evaluate.report.training_log import read_training_log

            about = About(model, nlp.meta, [str(p) for p in gold], read_training_log(nlp.path))
            write_report(
                report, Evaluation(releases, predicted, schema, scores, suggested_pairs(nlp, predicted)), about
            )
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except (CommuniqueError, ValueError) as error:
        fail(error)
    except OSError as error:
        fail(CommuniqueError(f"{error.filename or output or report}: {error.strerror}"))
    if as_json:
        sys.stdout.write(text)
    else:
        out.print(scores_table(scores, layers_of(schema)))


@app.command()
def serve(
    config: Annotated[
        Optional[Path], typer.Option("--config", "-c", help="Config file with what differs from the defaults.")
    ] = None,
    model: Annotated[
        Optional[str], typer.Option("--model", "-m", help="Name of a shipped model, a folder, or an installed package.")
    ] = None,
    host: Annotated[Optional[str], typer.Option(help="Address to listen at.")] = None,
    port: Annotated[Optional[int], typer.Option(help="Port to listen at; 0: any that is free.")] = None,
    workers: Annotated[Optional[int], typer.Option(help="Processes that hold the model.")] = None,
) -> None:
    """Annotate over HTTP until SIGTERM or Ctrl-C: see docs/serving.md.

    The token that clients must have is taken from the environment variable COMMUNIQUE_TOKEN, or from the file that the
    config names. Exit code 0: all that was taken was answered; 1: not all; 2: it could not be started.
    """
    try:
        from .serve.server import run
        from .serve.settings import load_settings
    except ImportError as error:
        fail(CommuniqueError(f"{error.name} is not installed: pip install 'communique[serve]'"))
    overrides: Dict[str, Dict[str, Any]] = {
        "model": {"name": model},
        "server": {"host": host, "port": port},
        "workers": {"count": workers},
    }
    try:
        code = run(load_settings(config, overrides))
    except CommuniqueError as error:
        fail(error)
    raise typer.Exit(code)


@app.command()
def calibrate(
    gold: Annotated[List[Path], typer.Argument(help="Gold releases that the pipeline was not trained on.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a trained pipeline; its config is changed.")],
) -> None:
    """Fit a pipeline's confidences on gold releases, so that of what is scored 0.8 eight in ten are right."""
    from .calibrate import calibrate_pipeline
    from .corpus.exchange import read_gold

    try:
        lines = calibrate_pipeline(model, read_gold(gold))
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except CommuniqueError as error:
        fail(error)
    for kind, (slope, offset) in lines.items():
        err.print(f"{kind:10} log odds x {slope:.3f} {offset:+.3f}")


@export_app.command()
def onnx(
    model: Annotated[Path, typer.Argument(help="Folder of a trained pipeline with a transformer.")],
    output: Annotated[Path, typer.Argument(help="Folder to write; a pipeline that is there is replaced.")],
    precision: Annotated[
        str, typer.Option(help="[bold]int8[/bold], small and fast, or [bold]fp32[/bold], exact.")
    ] = "int8",
    texts: Annotated[
        Optional[List[Path]], typer.Option(help="Releases to measure the encoder on, for int8; may be repeated.")
    ] = None,
    smoothing: Annotated[
        Optional[float], typer.Option(min=0.0, max=1.0, help="How far outliers move from activations to weights.")
    ] = None,
    outlier: Annotated[
        Optional[float], typer.Option(min=1.0, help="Reach beyond which channels keep 32 bits, against the others'.")
    ] = None,
) -> None:
    """Write a pipeline whose encoder runs in ONNX Runtime, without torch; [bold]spacy.load[/bold] reads it."""
    from .annotate.run import load_model
    from .corpus.exchange import read_gold
    from .export.folder import check_replaceable, replace_folder
    from .export.onnx import export_onnx
    from .export.quantise import Settings
    from .training import trim_strings

    given = {"smoothing": smoothing, "outlier": outlier}
    settings = Settings(**{key: value for key, value in given.items() if value is not None})

    def write(folder: Path) -> None:
        nlp.to_disk(folder)
        trim_strings(folder)

    try:
        check_replaceable(output)
        measured = [release.text for release in read_gold(texts or [])]
        nlp = export_onnx(load_model(model), precision, measured, settings)
        size = replace_folder(output, write)
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except (CommuniqueError, OSError) as error:
        fail(error)
    err.print(f"{model} -> {output}: {precision}, {size / 2**20:.1f} MB")


@export_app.command()
def wheel(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, a folder, or an installed package.")],
    output: Annotated[Path, typer.Argument(help="Folder to write the wheel into.")],
    name: Annotated[
        Optional[str],
        typer.Option(help="Name without the language; [bold]communique_[/bold] and the model's by itself."),
    ] = None,
    version: Annotated[Optional[str], typer.Option(help="Version of the wheel; communique's by itself.")] = None,
    meta: Annotated[
        Optional[Path],
        typer.Option(
            help="JSON with what its meta doesn't say: description, author, email, url, license, sources, notes."
        ),
    ] = None,
) -> None:
    """Build a wheel of a pipeline and the code that runs it, which pip installs without communique."""
    from .export.wheel import export_wheel

    try:
        built = export_wheel(model, output, name=name, version=version, meta_file=meta)
    except (CommuniqueError, OSError) as error:
        fail(error)
    err.print(f"{plain(model)} -> {plain(built)}: {built.stat().st_size / 2**20:.1f} MB")


@app.command()
def vectors(
    config: Annotated[Path, typer.Argument(help="Config of a transformer pipeline: its encoder is used.")],
    output: Annotated[Path, typer.Argument(help="Folder for the vectors.")],
    width: Annotated[int, typer.Option(help="Width of a vector.")] = 64,
) -> None:
    """Distil static word vectors from a pretrained encoder, for the small pipeline."""
    from spacy.util import load_config

    from .vectors import distil_vectors

    try:
        model = load_config(config)["components"]["transformer"]["model"]
        words = distil_vectors(model["name"], model["package"], model["package_folder"], width, output)
    except (KeyError, OSError) as error:
        fail(CommuniqueError(f"{config}: no transformer in this config: {error}"))
    except CommuniqueError as error:
        fail(error)
    err.print(f"{words} words -> {plain(output)}")


@corpus_app.command()
def check(
    paths: Annotated[List[Path], typer.Argument(help="Markup files, or folders of them.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Print every defect of gold releases with file, line, column and mend. Exit code 1 where there is any."""
    from .corpus.check import Checker
    from .corpus.duplicates import duplicate_defects
    from .corpus.exchange import read_markup

    try:
        nlp, schema, _ = read_scheme(config)
    except CommuniqueError as error:
        fail(error)
    parsed, defects = read_markup(paths)
    defects += list(Checker(schema, nlp.tokenizer).corpus(parsed))
    skipped: Optional[CommuniqueError] = None
    try:
        defects += list(duplicate_defects(parsed, schema.entities, schema.duplicates))
    except CommuniqueError as error:
        skipped = error
    if as_json:
        sys.stdout.write(json.dumps([d.to_dict() for d in defects], ensure_ascii=False, indent=1) + "\n")
    else:
        for defect in defects:
            out.print(plain(defect), soft_wrap=True, highlight=False)
        err.print(f"{len(defects)} defects in {len(parsed)} releases")
    if skipped is not None:
        fail(skipped)
    raise typer.Exit(REFUSED if defects else 0)


@corpus_app.command()
def sweep(
    paths: Annotated[List[Path], typer.Argument(help="Markup files, or folders of them.")],
    config: ConfigOption = DEFAULT_CONFIG,
    code: Annotated[Optional[List[str]], typer.Option("--code", help="Only hints of this code.")] = None,
) -> None:
    """Print what is worth a second look: cues without a relation, names with several labels, unrelated meetings."""
    from .corpus.exchange import read_markup
    from .corpus.sweep import CODES, sentence_cutter
    from .corpus.sweep import sweep as hints

    unknown = [c for c in code or [] if c not in CODES]
    if unknown:
        fail(CommuniqueError(f"--code {unknown[0]}: write {', '.join(CODES)}"))

    try:
        nlp, schema, full = read_scheme(config)
    except CommuniqueError as error:
        fail(error)
    parsed, defects = read_markup(paths)
    print_defects(defects)
    found = [h for h in hints(parsed, schema, sentence_cutter(nlp, full)) if not code or h.code in code]
    for hint in found:
        out.print(plain(hint), soft_wrap=True, highlight=False)
    err.print(f"{len(found)} hints in {len(parsed)} releases")
    raise typer.Exit(REFUSED if defects else 0)


@corpus_app.command()
def convert(
    paths: Annotated[List[Path], typer.Argument(help="Markup files or folders, or exchange .jsonl files.")],
    output: Annotated[Path, typer.Argument(help="A .spacy file, a .jsonl file, or a folder for markup.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Convert gold releases between markup, the exchange format and spaCy's DocBin, without loss."""
    from .corpus import exchange

    try:
        releases = exchange.read_gold(paths)
        if output.suffix == ".spacy":
            nlp, schema, _ = read_scheme(config)
            output.parent.mkdir(parents=True, exist_ok=True)
            exchange.to_docbin(releases, nlp.tokenizer, schema).to_disk(output)
        elif output.suffix == ".jsonl":
            output.parent.mkdir(parents=True, exist_ok=True)
            exchange.write_jsonl(output, releases)
        elif output.suffix:
            fail(CommuniqueError(f"{output}: write a .spacy file, a .jsonl file, or a folder"))
        else:
            exchange.write_markup(output, releases)
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except CommuniqueError as error:
        fail(error, REFUSED)
    err.print(f"{len(releases)} releases -> {plain(output)}")


@corpus_app.command()
def split(
    paths: Annotated[List[Path], typer.Argument(help="Gold releases: JSONL, markup files, or folders of them.")],
    output: Annotated[Path, typer.Argument(help="Folder for the parts, one JSONL file each.")],
    parts: Annotated[str, typer.Option(help="Names and shares.")] = "train=0.8,dev=0.2",
) -> None:
    """Split gold releases into parts by a hash of their ids."""
    from .corpus import exchange
    from .corpus.split import parse_parts, split_releases

    try:
        shares = parse_parts(parts)
        found = split_releases(exchange.read_gold(paths), shares)
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except CommuniqueError as error:
        fail(error)
    output.mkdir(parents=True, exist_ok=True)
    for name, releases in found.items():
        exchange.write_jsonl(output / f"{name}.jsonl", releases)
        err.print(f"{len(releases):6} {name}")


@corpus_app.command()
def stats(
    paths: Annotated[List[Path], typer.Argument(help="Gold releases: JSONL, markup files, or folders of them.")],
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Markdown tables, as in a datasheet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Count releases, words, labels, names, relations, lengths, governments, sources and kinds."""
    from .corpus.exchange import read_gold
    from .corpus.stats import corpus_stats, markdown

    try:
        tables = corpus_stats(read_gold(paths))
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    if as_json:
        sys.stdout.write(json.dumps(tables, ensure_ascii=False, indent=1) + "\n")
        return
    if as_markdown:
        sys.stdout.write(markdown(tables))
        return
    for name, counts in tables.items():
        table = Table(name, "n", box=None, pad_edge=False)
        for key, value in counts.items():
            table.add_row(plain(key), str(value))
        out.print(table, "")


@corpus_app.command()
def agreement(
    first: Annotated[Path, typer.Argument(help="One annotation: JSONL, a markup file, or a folder.")],
    second: Annotated[Path, typer.Argument(help="Another, independent one of the same releases.")],
    config: ConfigOption = DEFAULT_CONFIG,
    show: Annotated[bool, typer.Option("--differences", "-d", help="List what only one of them has.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the agreement of two annotations of the same releases, by the metrics of the annotation guide."""
    from .corpus import agreement as between
    from .corpus.exchange import read_gold
    from .evaluate.metrics import layers_of
    from .evaluate.table import scores_table

    try:
        _, schema, _ = read_scheme(config)
        sides = read_gold([first]), read_gold([second])
        pairs = between.match_releases(*sides)
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except CommuniqueError as error:
        fail(error)
    scores = between.agreement(pairs, schema)
    if as_json:
        sys.stdout.write(json.dumps({"releases": len(pairs), "scores": scores}, indent=1, sort_keys=True) + "\n")
        return
    if show:
        for d in between.differences(pairs, schema):
            out.print(plain(f"{d.release}:{d.offset}: {d.side} only: {d.what}"), soft_wrap=True, highlight=False)
    out.print(scores_table(scores, layers_of(schema)))
    alone = [len(side) - len(pairs) for side in sides]
    err.print(f"{len(pairs)} releases in both, {alone[0]} only in the first, {alone[1]} only in the second")


def main() -> None:
    """Entry point for ``python -m communique``."""
    app()
