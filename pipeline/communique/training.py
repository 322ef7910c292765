"""Trains and evaluates the pipelines of the configs."""

from __future__ import annotations

import hashlib
import json
import os
import time
from configparser import InterpolationError
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Union

import srsly
from catalogue import RegistryError
from rich.console import Console
from spacy.language import Language
from spacy.strings import StringStore
from spacy.training.initialize import init_nlp
from spacy.util import load_config, load_model_from_path
from thinc.api import ConfigValidationError, require_gpu

from .annotate.run import annotate_bare
from .bridge import get_schema
from .calibrate import calibrate_pipeline, can_calibrate
from .console import tell
from .corpus.exchange import from_docbin
from .corpus.stats import fingerprint
from .errors import CommuniqueError, ConfigError
from .evaluate.metrics import score_releases
from .interrupts import Stop, interruptible
from .loop import train_steps
from .progress import TrainingProgress
from .release import Release
from .schema import Schema
from .workplace import BEST, LOG, workplace

PathLike = Union[str, Path]
META_KEY = "communique"


def train_pipeline(
    config: PathLike,
    output: PathLike,
    corpus: Iterable[PathLike],
    overrides: Dict[str, Any],
    *,
    gpu_id: int = -1,
    console: Optional[Console] = None,
) -> Path:
    """Train as ``spacy train`` does, with the same weights, and note in the model's meta what it was trained from.

    The models and the training log come into the folder ``output`` at the end only: until then what an earlier training
    has put there stays. Confidences are fitted on the dev corpus of ``[paths]``. gpu_id: number of the GPU, -1 for the
    CPU. console: where to tell of the progress, if anywhere.

    Returns the folder of the best model. Raises ConfigError where the config or its corpora can't be used, Interrupted
    after SIGINT or SIGTERM, and CommuniqueError where another process trains in ``output`` or a file can't be written.
    """
    started = time.time()
    best = Path(output) / BEST
    console = console or Console(quiet=True)
    with interruptible() as stop, _named_os_errors(config):
        origin = provenance(config, corpus)
        with workplace(Path(output)) as place:
            if place.found:
                tell(console, f"{output}: {place.found}")
            stop.note = f"the models in {output} are as they were before"
            tell(console, f"training {config} into {output}")
            nlp = _initialize(config, overrides, gpu_id)
            with TrainingProgress(console, nlp.config.interpolate()["training"]) as progress:
                _train(nlp, place.folder, progress, stop)
            tell(console, progress.summary())
            _calibrate(nlp, place.folder / BEST, console)
            trim_strings(place.folder / BEST)
            _note(place.folder / BEST / "meta.json", origin, started)
            with stop.held(f"the training had finished, its model is {best}"):
                place.finish()
    return best


def _train(nlp: Language, folder: Path, progress: TrainingProgress, stop: Stop) -> None:
    """Train into a folder, and write the training log there."""
    with open(folder / LOG, "w", encoding="utf8") as log:
        for step in train_steps(nlp, folder):
            stop.check()
            if step.evaluation is not None:
                log.write(step.to_json(step.evaluation))
                log.flush()  # so that it can be followed, and outlives a crash
            progress.show(step)


def _calibrate(nlp: Language, model: Path, console: Console) -> None:
    """Fit the confidences of a model just trained, where it has components for it and its config names a dev corpus."""
    dev = nlp.config.interpolate()["paths"].get("dev")
    if dev is not None and can_calibrate(model):
        tell(console, f"fitting the confidences on {dev}")
        try:
            gold = [replace(r, id=str(i)) for i, r in enumerate(from_docbin(dev, nlp, get_schema(nlp)))]
            calibrate_pipeline(model, gold)
        except (CommuniqueError, OSError, ValueError) as err:  # the training itself must not be lost for it
            tell(console, f"the confidences are not fitted: {err}")


def trim_strings(model: Path) -> None:
    """Take the words of the training texts, and of their augmentations, out of a saved pipeline's string store.

    What has a vector, is a label or belongs to the language stays: other words come back when they are read.
    """
    nlp = load_model_from_path(model)
    vectors = nlp.vocab.vectors.key2row
    kept = set(nlp.__class__().vocab.strings)
    kept.update(label for _, pipe in nlp.pipeline for label in getattr(pipe, "labels", ()))
    kept.update(word for word in nlp.vocab.strings if nlp.vocab.strings[word] in vectors)
    StringStore(sorted(kept)).to_disk(model / "vocab" / "strings.json")


def _initialize(config: PathLike, overrides: Dict[str, Any], gpu_id: int) -> Language:
    """The pipeline of a config, ready to train. Raises ConfigError where it can't be made."""
    if gpu_id >= 0:
        try:
            require_gpu(gpu_id)
        except ValueError as err:
            raise ConfigError(f"can't train on GPU {gpu_id}: {err}") from err
    try:
        return init_nlp(load_config(config, overrides=overrides, interpolate=False), use_gpu=gpu_id)
    except ConfigValidationError as err:  # its text has the whole config, but for this
        text = ConfigValidationError.from_error(err, show_config=False).text
        raise ConfigError(text.strip(), file=str(config)) from err
    except (InterpolationError, RegistryError) as err:
        raise ConfigError(str(err), file=str(config)) from err


@contextmanager
def _named_os_errors(config: PathLike) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise CommuniqueError(f"{config}: can't train: {err}") from err


def _note(file: Path, origin: Dict[str, str], started: float) -> None:
    """Write the origin into a model's meta and date it to the start of the training, so that make trains again where
    config or corpus have changed since then."""
    meta = srsly.read_json(file)
    meta[META_KEY] = origin
    srsly.write_json(file, meta)
    os.utime(file, (started, started))


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
    """Scores of the guide for a pipeline on gold releases, its own annotation from the text alone."""
    return score_releases(gold, annotate_bare(nlp, gold), get_schema(nlp))
