"""What ``communique doccano`` lets one choose. The command line imports it on every start."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """Whose version of a release stands where both were changed."""

    server = "server"
    local = "local"
