"""Who logs in to Doccano: from the environment or from a prompt, never from the command line."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Callable

from .server import DoccanoError

URL, USERNAME, PASSWORD = "DOCCANO_URL", "DOCCANO_USERNAME", "DOCCANO_PASSWORD"


@dataclass(frozen=True)
class Credentials:
    username: str
    password: str = field(repr=False)


def find_credentials(prompt: Callable[[str, bool], str]) -> Credentials:
    """From the environment, or else what the user answers to ``prompt(question, hidden)``.

    Raises DoccanoError where neither is to be had.
    """
    found = []
    for variable, question in ((USERNAME, "User of Doccano"), (PASSWORD, "Password")):
        value = os.environ.get(variable)
        if not value:
            if not sys.stdin.isatty():
                raise DoccanoError("login", f"{variable} is not set, and there is no terminal to ask at: set it")
            value = prompt(question, variable == PASSWORD)
        found.append(value)
    return Credentials(*found)
