"""How long to train: a rule from the size of the gold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict

from thinc.api import Config


@dataclass(frozen=True)
class Rule:
    """Numbers of the rule, see ``Length.by``.

    epochs: how often the gold is read; updates: least updates an epoch, kept by smaller batches; least_batch: fewest
    words of a batch; least_steps: fewest updates of a training; evaluations: how often the dev corpus is scored.
    """

    epochs: int
    updates: int
    least_batch: int
    least_steps: int
    evaluations: int


@dataclass(frozen=True)
class Length:
    """Updates of a training, words of a batch, and updates between two evaluations."""

    steps: int
    batch: int
    eval_frequency: int

    @classmethod
    def by(cls, rule: Rule, words: int, base_batch: int) -> "Length":
        """Batches as large as the base's, or smaller for an epoch to have enough of them; then steps for the epochs."""
        batch = min(base_batch, max(rule.least_batch, words // rule.updates))
        steps = max(rule.least_steps, round(rule.epochs * words / batch))
        return cls(steps, batch, max(1, round(steps / rule.evaluations)))

    def set(self, config: Config) -> None:
        """Write it into the ``[training]`` block; warm-up and growing batches keep their proportions."""
        training = config["training"]
        size, share = training["batcher"]["size"], self.batch / batch_size(config)
        training["batcher"]["size"] = {**size, **_scaled(size, share)} if isinstance(size, dict) else self.batch
        schedule = training["optimizer"]["learn_rate"]
        if isinstance(schedule, dict) and "total_steps" in schedule:
            warmup = schedule.get("warmup_steps", 0) * self.steps / training["max_steps"]
            schedule["warmup_steps"] = max(1, round(warmup))
            schedule["total_steps"] = "${training.max_steps}"
        training.update(max_steps=self.steps, eval_frequency=self.eval_frequency)


def batch_size(config: Config) -> int:
    """Words of the largest batch of a config."""
    size = config["training"]["batcher"]["size"]
    return round(max(_numbers(size).values())) if isinstance(size, dict) else int(size)


def _numbers(schedule: Dict[str, Any]) -> Dict[str, float]:
    return {k: schedule[k] for k in ("start", "stop", "rate") if k in schedule}


def _scaled(schedule: Dict[str, Any], share: float) -> Dict[str, float]:
    return {k: max(1, round(v * share)) for k, v in _numbers(schedule).items()}
