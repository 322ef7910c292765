"""How far a training is, how fast it goes and how long it has to go: lines for a log, and a bar on a terminal."""

from __future__ import annotations

from itertools import islice, repeat
from typing import Any, List, Mapping, Optional, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from spacy.util import registry

from .console import clock, tell
from .loop import Evaluation, Step

# The first steps are no measure: caches are cold, and one long release weighs much.
WARM = 10


class Pace:
    """Words a second, and an estimate of the seconds left.

    plan: of each step, the words that it is to take, or anything in proportion; empty where the number of steps is
    open. frequency: steps from one evaluation to the next.
    """

    def __init__(self, plan: Sequence[float], frequency: int) -> None:
        self.plan = plan
        self.frequency = frequency
        self._last: Optional[Step] = None
        self._steps, self._seconds, self._words, self._planned = 0, 0.0, 0, 0.0
        self._evaluation = (0, 0.0)

    def add(self, step: Step) -> None:
        """Steps with an evaluation only tell what evaluations cost: the time of both is one."""
        before = self._last or Step(-1, 0, 0, 0.0, None)
        seconds = step.seconds - before.seconds
        if step.evaluation is None:
            self._steps += 1
            self._seconds += seconds
            self._words += step.words - before.words
            self._planned += self._plan(step.number)
        else:
            self._evaluation = (step.number, seconds)
        self._last = step

    def _plan(self, number: int) -> float:
        return self.plan[number] if number < len(self.plan) else 1.0

    @property
    def words_per_second(self) -> Optional[float]:
        """While training, evaluations left out; None where every step so far had one."""
        return self._words / self._seconds if self._seconds else None

    @property
    def left(self) -> Optional[float]:
        """Seconds; None before it can be told. An evaluation is taken to cost what the last one did."""
        if self._last is None or self._last.number < WARM or not self.plan:
            return None
        number = self._last.number
        if not self._steps:
            return self._last.seconds / (number + 1) * (len(self.plan) - number - 1)
        rate = self._seconds / self._planned
        at, seconds = self._evaluation
        evaluation = max(0.0, seconds - rate * self._plan(at))
        evaluations = (len(self.plan) - 1) // self.frequency - number // self.frequency
        return rate * sum(self.plan[number + 1 :]) + evaluation * evaluations


def plan_steps(training: Mapping[str, Any]) -> List[float]:
    """Size of the batch of each step, from step 0 to ``max_steps``, as a ``[training]`` section has it; empty where
    ``max_steps`` is 0. Batches that grow make the first steps faster than the last."""
    steps = training["max_steps"]
    size = training["batcher"].get("size", 1)
    sizes = registry.resolve({"size": size})["size"] if isinstance(size, dict) else size
    sizes = repeat(sizes) if isinstance(sizes, (int, float)) else iter(sizes)
    return [float(n) for n in islice(sizes, steps + 1)] if steps else []


class TrainingProgress:
    """Tells a console of a training's steps: a line at each evaluation, and on a terminal a bar below them."""

    def __init__(self, console: Console, training: Mapping[str, Any]) -> None:
        self.console = console
        self.total: Optional[int] = training["max_steps"] or None
        self.names = [name for name, weight in training["score_weights"].items() if weight is not None]
        # these may end a training before its last step
        self.limit = "at most" if training["patience"] or training["max_epochs"] > 0 else "about"
        self.pace = Pace(plan_steps(training), training["eval_frequency"])
        self.last: Optional[Step] = None
        self.best: Optional[Step] = None
        self._score: Optional[float] = None
        self._told = False
        state = TextColumn("{task.fields[state]}", markup=False)
        columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(bar_width=20), state)  # fit 80 characters
        hidden = not console.is_terminal
        self._bar = Progress(*columns, console=console, transient=True, disable=hidden, refresh_per_second=2)
        self._task = self._bar.add_task("", total=self.total, state="")

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, step: Step) -> None:
        self.last = step
        self.pace.add(step)
        if step.evaluation is not None:
            self._score = step.evaluation.score
            self.best = step if step.evaluation.best else self.best
            tell(self.console, self._line(step, step.evaluation))
        elif not self._told and self._left() and not self.console.is_terminal:
            tell(self.console, f"{self._count(step)}  {self._left()}")
        self._told = self._told or bool(self._left())
        self._bar.update(self._task, completed=step.number, state=", ".join(self._state()))

    def summary(self) -> str:
        if self.last is None or self.best is None or self.best.evaluation is None:
            return "no steps"
        score = 100 * self.best.evaluation.score
        return (
            f"{self.last.number} steps in {self.last.seconds:.0f} s, best score {score:.1f} at step {self.best.number}"
        )

    def _count(self, step: Step) -> str:
        return f"{step.number:{len(str(self.total or 0))}} of {self.total or 'many'} steps"

    def _left(self) -> str:
        return f"{self.limit} {clock(self.pace.left)} left" if self.pace.left else ""

    def _line(self, step: Step, found: Evaluation) -> str:
        speed = self.pace.words_per_second
        parts = [
            f"{self._count(step)}  score {100 * found.score:4.1f}{' (best)' if found.best else '       '}",
            " ".join(f"{name} {100 * found.scores[name]:.1f}" for name in self.names if name in found.scores),
            "" if speed is None else f"{speed:,.0f} words/s",
            f"{clock(step.seconds)} gone" + (f", {self._left()}" if self._left() else ""),
        ]
        return "  ".join(part for part in parts if part)

    def _state(self) -> List[str]:
        speed = self.pace.words_per_second
        state = [] if speed is None else [f"{speed:,.0f} words/s"]
        state += [self._left()] if self._left() else []
        return state if self._score is None else [*state, f"score {100 * self._score:.1f}"]
