"""What options of the command line may be: kept apart from what they choose, so that ``--help`` loads none of it."""

from __future__ import annotations

from enum import StrEnum


class Engines(StrEnum):
    """Where releases are annotated."""

    local = "local"
    ray = "ray"


class Policy(StrEnum):
    """What becomes of releases that another model has annotated."""

    stop = "stop"
    keep = "keep"
    again = "again"
