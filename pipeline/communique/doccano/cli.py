"""``communique doccano``: parse, call, print."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Dict, Iterator, List, Optional, Tuple

import typer

from ..errors import CommuniqueError, Defect
from ..told import REFUSED, USAGE, err, fail, out, plain, print_defects, read_scheme, told
from . import queue_cli
from .choices import Side

if TYPE_CHECKING:
    from ..release import Release
    from .options import Options
    from .remote import RemoteServer

DEFAULT_CONFIG = Path("configs/small.cfg")
HELP = "The annotation loop with Doccano: send releases, bring back what people annotated. See docs/annotating.md."
doccano_app = typer.Typer(help=HELP, no_args_is_help=True)

ProjectOption = Annotated[str, typer.Option("--project", "-p", help="Name of the project in Doccano.")]
UrlOption = Annotated[Optional[str], typer.Option(help="Address of Doccano; or the environment variable DOCCANO_URL.")]
SettingsOption = Annotated[
    Optional[Path], typer.Option("--settings", help="Config file with what differs from doccano.cfg.")
]
ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="Pipeline config: its tokenizer and label scheme are used.")
]
PlainOption = Annotated[
    bool, typer.Option("--plain-http", help="Allow http to another machine: the password can be read on the way.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


@doccano_app.command()
def push(
    inputs: Annotated[
        List[str], typer.Argument(help="Releases: whatever [bold]annotate[/bold] reads; with --gold, gold.")
    ],
    project: ProjectOption,
    gold: Annotated[
        bool, typer.Option("--gold", help="They are gold, markup or JSONL, and go as they are: no model runs.")
    ] = False,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Pipeline that annotates those without annotations.")
    ] = "minilm",
    apart: Annotated[
        Optional[bool],
        typer.Option("--apart/--together", help="Each annotator alone, on bare texts; or all on the same annotations."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what people changed or confirmed, too.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    settings: SettingsOption = None,
    url: UrlOption = None,
    plain_http: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send releases to a Doccano project, annotated by the model, for people to correct.

    The project is created where there is none. What it holds already stays; what people changed or confirmed is never
    replaced without --force. User and password are taken from DOCCANO_USERNAME and DOCCANO_PASSWORD, or asked for.
    Exit code 0: Doccano holds all releases, and gold as it is here; 1: some were refused, or gold differs there; 2: it
    could not be done.
    """
    from ..interrupts import interruptible
    from .colours import label_types
    from .project import add_label_types, open_project
    from .push import push as send

    with told():
        options = _options(settings, plain_http)
        checker = _checker(config, options)
        releases, refused = _to_send(inputs, gold, model, checker, options, bare=bool(apart))
        if releases:
            with interruptible() as stop, _connected(url, options) as server:
                stop.note = "what has arrived stays; push again to complete it"
                found = open_project(server, project, options.project, None if apart is None else not apart)
                if not found.settings.collaborative_annotation:
                    releases = [_bare(release) for release in releases]
                add_label_types(server, found, label_types(checker.schema, options.colours))
                pushed = send(server, found, releases, options.push, force=force, progress=_progress)
    if not releases:
        fail(CommuniqueError("there is nothing to send"), REFUSED if refused else USAGE)
    if as_json:
        sys.stdout.write(json.dumps({**pushed.to_dict(), "refused": len(refused)}) + "\n")
    else:
        for name, why in pushed.kept.items() if gold else ():
            err.print(plain(f"{name}: kept as it is there, {why} (--force replaces it)"))
        for name, numbers in pushed.twice.items():
            err.print(plain(f"{name}: there are several examples of it, {numbers}: delete all but one"))
        counts = ", ".join(f"{n} {key}" for key, n in pushed.counts().items() if n)
        err.print(plain(f"{len(releases)} releases: {counts}; {len(refused)} refused -> {pushed.url} {project!r}"))
    raise typer.Exit(REFUSED if refused or pushed.twice or (gold and pushed.kept) else 0)


@doccano_app.command()
def pull(
    output: Annotated[
        Path, typer.Argument(help="A .jsonl file or a folder for markup; where each annotates alone, a folder.")
    ],
    project: ProjectOption,
    everything: Annotated[bool, typer.Option("--all", help="Not only what people confirmed.")] = False,
    take: Annotated[
        Optional[Side], typer.Option(help="Which version stands where both sides changed a release.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    settings: SettingsOption = None,
    url: UrlOption = None,
    plain_http: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring what people annotated and confirmed in Doccano into the corpus, with who confirmed it and when.

    A release that was changed on both sides is shown as a diff and left alone. Exit code 0: all is here; 1: some were
    refused, or are in conflict; 2: it could not be done.
    """
    from ..interrupts import interruptible
    from .project import check_label_types, find_project
    from .pull import pull as bring

    with told():
        options = _options(settings, plain_http)
        checker = _checker(config, options)
        with interruptible(), _connected(url, options) as server:
            found = find_project(server, project)
            if found is None:
                raise CommuniqueError(f"{server.url} has no project {project!r} that this user is a member of")
            check_label_types(server, found, checker.schema)
            pulled = bring(server, found, output, checker, everything=everything, take=take)
    if as_json:
        sys.stdout.write(json.dumps(pulled.to_dict(), ensure_ascii=False) + "\n")
    else:
        print_defects(pulled.refused)
        for conflict in pulled.conflicts:
            err.print(plain(f"{conflict.id}: changed here and in Doccano; decide with --take server or --take local"))
            out.print(plain(conflict.diff), end="")
        counts = ", ".join(f"{n} {key}" for key, n in pulled.counts().items() if n) or "nothing to bring"
        err.print(plain(f"{counts} -> {', '.join(pulled.files) or output}"))
    raise typer.Exit(REFUSED if pulled.refused or pulled.conflicts else 0)


def _to_send(
    inputs: List[str], gold: bool, model: str, checker: Any, options: "Options", bare: bool
) -> Tuple[List["Release"], List[Defect]]:
    """Releases to send, annotated; what is refused is named and costs nobody else."""
    from ..annotate.sources import Reading
    from .gather import annotated, gold_releases, read_releases

    reading = Reading(options.push.chars, options.push.line_bytes, longer="raise [push] chars in --settings")
    items = gold_releases(inputs) if gold else read_releases(inputs, reading)
    if not gold and not bare:
        items = annotated(items, model, options.push.min_confidence)
    releases: List["Release"] = []
    refused: List[Defect] = []
    for item in items:
        defects = [item] if isinstance(item, Defect) else checker.defects(item, item.id)
        if not isinstance(item, Defect) and not defects:
            releases.append(item)
        print_defects(defects)
        refused += defects
    return releases, refused


def _bare(release: "Release") -> "Release":
    from dataclasses import replace

    return replace(release, mentions=[], relations=[], facts=None)


def _options(settings: Optional[Path], plain_http: bool) -> "Options":
    from .options import load_options

    overrides: Dict[str, Dict[str, Any]] = {"server": {"plain_http": plain_http or None}}
    return load_options(settings, overrides)


def _checker(config: Path, options: "Options") -> Any:
    from .check import Checker

    nlp, schema, _ = read_scheme(config)
    return Checker(schema, nlp.tokenizer, options.push.chars)


@contextmanager
def _connected(url: Optional[str], options: "Options") -> Iterator["RemoteServer"]:
    import os

    from .bridge import client_python
    from .credentials import URL, find_credentials
    from .remote import check_url, connect

    address = url or os.environ.get(URL) or options.server.url
    check_url(address, options.server.plain_http)
    client_python(options.client)  # before anybody is asked for a password
    with connect(address, find_credentials(_ask), options) as server:
        yield server


def _ask(question: str, hidden: bool) -> str:
    return str(typer.prompt(question, hide_input=hidden, err=True))


def _progress(done: int, total: int) -> None:
    if err.is_terminal:
        err.print(f"{done} of {total} sent", end="\r" if done < total else "\n")


queue_cli.add_to(doccano_app)
