"""Pipelines that misbehave where a text says so, loaded in the processes of a pool: see test_workers.py."""

from __future__ import annotations

import os
import signal
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Optional

from spacy.language import Language
from spacy.tokens import Doc

from communique.annotate.run import load_model


@Language.component("poison")
def poison(doc: Doc) -> Doc:
    """CRASH ends the process, PAUSE takes a second, SLEEP takes a minute, RAISE raises, HALF stops it amid its answer."""
    words = doc.text.split()
    if "HALF" in words:
        Connection._send_bytes = _half
    if "CRASH" in words:
        os._exit(3)
    if "RAISE" in words:
        raise ValueError(f"a text that says {doc.text!r}")
    time.sleep(60 if "SLEEP" in words else 1 if "PAUSE" in words else 0)
    return doc


def _half(connection: Any, message: Any) -> None:
    begin = struct.pack("!i", len(message)) + bytes(message)[: len(message) // 2]
    os.write(connection.fileno(), begin)
    os.kill(os.getpid(), signal.SIGSTOP)


@dataclass(frozen=True)
class Poisoned:
    """Loads a model with the component ``poison`` in front; raises once the file ``broken`` is there."""

    name: str
    broken: Optional[str] = None

    def __call__(self) -> Language:
        if self.broken is not None and os.path.exists(self.broken):
            raise OSError("the model is broken")
        nlp = load_model(self.name)
        nlp.add_pipe("poison", first=True)
        return nlp
