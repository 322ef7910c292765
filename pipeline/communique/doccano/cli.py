"""``communique doccano``: parse, call, print."""

from __future__ import annotations

import typer

from . import queue_cli

doccano_app = typer.Typer(help="The annotation loop with Doccano.", no_args_is_help=True)
queue_cli.add_to(doccano_app)
