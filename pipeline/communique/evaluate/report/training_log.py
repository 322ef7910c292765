"""The log of a training: one JSON object a line, with step, losses by component, scores by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Union

from ...workplace import LOG


def read_training_log(model: Union[str, Path]) -> List[Dict[str, Any]]:
    """The records of the log beside a model's folder, by step; none where there is no log.

    Lines that are no record of a step are passed over: a training that was broken off may leave half of one.
    """
    path = Path(model).resolve().parent / LOG
    if not path.is_file():
        return []
    found = (_record(line) for line in path.read_text("utf8", errors="replace").splitlines())
    return sorted((record for record in found if record), key=lambda record: float(record["step"]))


def _record(line: str) -> Dict[str, Any]:
    """Step, losses and scores of a line, numbers only; empty where the line is no record."""
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(data, dict) or not _is_number(data.get("step")):
        return {}
    return {"step": data["step"], **{key: _numbers(data.get(key)) for key in ("losses", "scores")}}


def _numbers(data: Any) -> Dict[str, float]:
    return {str(k): float(v) for k, v in data.items() if _is_number(v)} if isinstance(data, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
