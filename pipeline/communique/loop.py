"""spaCy's training loop, step by step: the same weights as ``spacy train``, and the caller sees every step."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, Iterator, Mapping, Optional

from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training.loop import (
    create_before_to_disk_callback,
    create_evaluation_callback,
    create_train_batches,
    train_while_improving,
    update_meta,
)
from spacy.util import registry, resolve_dot_names
from thinc.api import Config, fix_random_seed

from .workplace import BEST, LAST


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. losses: sums since the evaluation before, by component. score: what the best model is
    chosen by. best: no earlier one had a higher score."""

    losses: Dict[str, float]
    scores: Dict[str, float]
    score: float
    best: bool


@dataclass(frozen=True)
class Step:
    """One update. number: counts from 0. words: tokens seen so far. seconds: since the first step began, evaluations
    and saving among them."""

    number: int
    epoch: int
    words: int
    seconds: float
    evaluation: Optional[Evaluation]

    def to_json(self, evaluation: Evaluation) -> str:
        """The line of the training log."""
        record = {
            "step": self.number,
            "epoch": self.epoch,
            "seconds": round(self.seconds, 3),
            "losses": evaluation.losses,
            "scores": evaluation.scores,
            "score": evaluation.score,
        }
        return json.dumps(record) + "\n"


def train_steps(nlp: Language, folder: Path) -> Iterator[Step]:
    """Train an initialized pipeline as its config says, with ``model-best`` and ``model-last`` in ``folder``.

    This is ``spacy.training.loop.train`` but for the config's logger, which is not asked, and for what happens when the
    training is cut short: nothing is saved then.
    """
    config = nlp.config.interpolate()
    if config["training"]["seed"] is not None:
        fix_random_seed(config["training"]["seed"])
    settings = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    save = _saver(nlp, folder, settings)
    start = perf_counter()
    for _, info, is_best in _updates(nlp, config, settings):
        evaluation = None
        if is_best is not None:
            with nlp.select_pipes(disable=settings["frozen_components"]):
                update_meta(settings, nlp, info)
            save(is_best)
            evaluation = _evaluation(info, is_best)
        yield Step(info["step"], info["epoch"], info["words"], perf_counter() - start, evaluation)
    save(False)


def _updates(nlp: Language, config: Config, settings: Mapping[str, Any]) -> Iterator[Any]:
    train_corpus, dev_corpus = resolve_dot_names(config, [settings["train_corpus"], settings["dev_corpus"]])
    yield from train_while_improving(
        nlp,
        settings["optimizer"],
        create_train_batches(nlp, train_corpus, settings["batcher"], settings["max_epochs"]),
        create_evaluation_callback(nlp, dev_corpus, settings["score_weights"]),
        dropout=settings["dropout"],
        accumulate_gradient=settings["accumulate_gradient"],
        patience=settings["patience"],
        max_steps=settings["max_steps"],
        eval_frequency=settings["eval_frequency"],
        exclude=settings["frozen_components"],
        annotating_components=settings["annotating_components"],
        before_update=settings["before_update"],
    )


def _saver(nlp: Language, folder: Path, settings: Mapping[str, Any]) -> Any:
    prepare = create_before_to_disk_callback(settings["before_to_disk"])

    def save(best: bool) -> None:
        with nlp.use_params(settings["optimizer"].averages):
            prepare(nlp).to_disk(folder / LAST)
        if best:
            shutil.rmtree(folder / BEST, ignore_errors=True)
            shutil.copytree(folder / LAST, folder / BEST)

    return save


def _evaluation(info: Mapping[str, Any], best: bool) -> Evaluation:
    # numpy's numbers are no JSON, and scores by label, which are dicts, don't belong in a log of numbers
    scores = {k: float(v) for k, v in info["other_scores"].items() if isinstance(v, (int, float))}
    losses = {k: float(v) for k, v in info["losses"].items()}
    return Evaluation(losses, scores, float(info["score"]), best)
