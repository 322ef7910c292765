"""What all commands share: how they tell people what went wrong, their exit codes, and options that several have."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NoReturn, Optional

import typer
from rich.console import Console

from .errors import CommuniqueError, Defect, DefectError, Interrupted

REFUSED, USAGE = 1, 2
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong within, told to the user, with the exit code that it has."""
    try:
        yield
    except DefectError as error:
        print_defects(error.defects)
        raise typer.Exit(REFUSED) from error
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    except CommuniqueError as error:
        fail(error)


def fail(error: object, code: int = USAGE) -> NoReturn:
    if isinstance(error, Interrupted):
        err.print(plain(error))
        raise typer.Exit(error.exit_code)
    err.print(f"[red]error:[/red] {plain(error)}")
    raise typer.Exit(code)


def print_defects(defects: Iterable[Defect]) -> None:
    for defect in defects:
        err.print(plain(defect))


def plain(text: object) -> str:
    """The text as it is, whatever brackets it has."""
    return str(text).replace("[", r"\[")


def read_overrides(items: Optional[List[str]]) -> Dict[str, Any]:
    """What ``--set section.key=value`` says: a value that is no JSON is text."""
    overrides: Dict[str, Any] = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        if not equals:
            fail(f"--set {item}: write section.key=value")
        try:
            overrides[key] = json.loads(value)
        except ValueError:
            overrides[key] = value
    return overrides


def read_scheme(config: Path) -> Any:
    """Tokenizer and label scheme of a config, and the config."""
    from .corpus.exchange import load_tokenizer
    from .schema import Schema
    from .training import config_schema

    nlp, full = load_tokenizer(config)
    return nlp, Schema.from_disk(config_schema(config)), full
