"""What the commands tell people, and the exit codes that they end with."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterable, Iterator, NoReturn

import typer
from rich.console import Console

from ..errors import CommuniqueError, Defect, DefectError, Interrupted

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
    except Interrupted as error:
        err.print(plain(error))
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    except CommuniqueError as error:
        fail(error)


def fail(error: object, code: int = USAGE) -> NoReturn:
    err.print(f"[red]error:[/red] {plain(error)}")
    raise typer.Exit(code)


def print_defects(defects: Iterable[Defect]) -> None:
    for defect in defects:
        err.print(plain(defect))


def plain(text: object) -> str:
    """The text as it is, whatever brackets it has."""
    return str(text).replace("[", r"\[")
