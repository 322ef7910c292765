"""What ``communique annotate`` may be told: see ``annotate.cfg``."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

from pydantic import Field

from ..settings import Section

DEFAULTS = Path(__file__).with_name("annotate.cfg")


class ModelSettings(Section):
    name: str = Field(min_length=1)


class WorkerSettings(Section):
    count: Optional[int] = Field(ge=1)
    threads: int = Field(ge=1)
    start_seconds: float = Field(gt=0)


class BatchSettings(Section):
    words: int = Field(ge=1)
    releases: int = Field(ge=1)
    ahead: int = Field(ge=1)


class Limits(Section):
    chars: int = Field(ge=1)
    line_bytes: int = Field(ge=1)
    release_seconds: float = Field(gt=0)


class ProgressSettings(Section):
    commit_seconds: float = Field(ge=0)
    line_seconds: float = Field(gt=0)


class SummarySettings(Section):
    labels: List[str]
    names: int = Field(ge=0)


class RaySettings(Section):
    address: Optional[str]
    cpus: float = Field(gt=0)
    gpus: float = Field(ge=0)


class Settings(Section):
    """All of ``annotate.cfg``, section by section."""

    model: ModelSettings
    workers: WorkerSettings
    batch: BatchSettings
    limits: Limits
    progress: ProgressSettings
    summary: SummarySettings
    ray: RaySettings
