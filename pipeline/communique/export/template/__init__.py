"""A spaCy pipeline with the code that runs it inside. Importing it registers the pipeline's components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.util import get_model_meta, load_model_from_init_py

from .runtime import register

__version__: str = get_model_meta(Path(__file__).parent)["version"]

register()


def load(**overrides: Any) -> Language:
    """The pipeline, as ``spacy.load`` gives it. Takes what that takes: disable, enable, exclude, config, vocab."""
    return load_model_from_init_py(__file__, **overrides)
