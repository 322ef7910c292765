"""The log: one JSON object a line to standard error. Of what clients send only sizes are in it, never words."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Dict, List

LOGGER = "communique.serve"
OTHERS = ("uvicorn", "asyncio", "fastapi")


def log(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    logging.getLogger(LOGGER).log(level, event, extra={"fields": fields})


def set_up_logging() -> None:
    """Everything that this process logs goes through one handler, the server's warnings among it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in (LOGGER, *OTHERS):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == LOGGER else logging.WARNING)


class JsonLines(logging.Formatter):
    """A record as a line: time, level, event, and the fields given."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        # asyncio quotes errors in what it says, from the second line on
        event = (record.getMessage().strip().splitlines() or [""])[0]
        line: Dict[str, Any] = {"time": moment, "level": record.levelname.lower(), "event": event}
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line.update(describe(record.exc_info[1]))
        return json.dumps(line, ensure_ascii=True, default=str)


def describe(error: BaseException) -> Dict[str, Any]:
    """Where an error was raised and of what kind it is, but not what it says: that may quote a text."""
    frames: List[str] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "frames": frames}
