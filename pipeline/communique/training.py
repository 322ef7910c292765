"""Trains and evaluates the pipelines of the configs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Union

import srsly
from spacy.language import Language
from spacy.util import load_config

from .annotate.run import annotate
from .bridge import get_schema
from .corpus.stats import fingerprint
from .errors import CommuniqueError, ConfigError
from .evaluate.metrics import score_releases
from .release import Release
from .schema import Schema

PathLike = Union[str, Path]
META_KEY = "communique"


def train_pipeline(config: PathLike, output: PathLike, corpus: Iterable[PathLike], overrides: Dict[str, Any]) -> Path:
    """Train as ``spacy train`` does and note in the model's meta what it was trained from.

    Returns the folder of the best model. Raises ConfigError where the config or its corpora can't be used.
    """
    from spacy.cli.train import train

    origin = provenance(config, corpus)
    try:
        train(Path(config), Path(output), overrides=overrides)
    except SystemExit as err:  # spaCy's command line has printed why
        raise ConfigError("training failed, see above", file=str(config)) from err
    best = Path(output) / "model-best"
    meta = srsly.read_json(best / "meta.json")
    meta[META_KEY] = origin
    srsly.write_json(best / "meta.json", meta)
    return best


def provenance(config: PathLike, corpus: Iterable[PathLike]) -> Dict[str, str]:
    """Fingerprints of a config's values, of its label scheme and of the gold files it is trained from."""
    scheme = Schema.from_disk(config_schema(config)).to_dict()
    return {
        "config": _digest(load_config(config, interpolate=True)),
        "schema": _digest(scheme),
        "corpus": fingerprint(corpus),
    }


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode("utf8")).hexdigest()


def config_schema(config: PathLike) -> str:
    """Path of the label scheme that a config names in ``[paths] schema``."""
    try:
        return str(load_config(config)["paths"]["schema"])
    except (OSError, ValueError) as err:
        raise ConfigError(f"can't read the config: {err}", file=str(config)) from err
    except KeyError as err:
        raise ConfigError("the config names no label scheme: add schema to [paths]", file=str(config)) from err


def evaluate_pipeline(nlp: Language, gold: List[Release]) -> Dict[str, Dict[str, float]]:
    """Scores of the guide for a pipeline on gold releases, its own annotation from the text alone.

    Raises CommuniqueError where the model fails on a release.
    """
    predicted = []
    bare = (Release(r.id, r.text, r.title, r.date, r.source) for r in gold)
    for item in annotate(nlp, bare):
        if not isinstance(item, Release):
            raise CommuniqueError(str(item))
        predicted.append(item)
    return score_releases(gold, predicted, get_schema(nlp))
