"""The names that the service goes by, and whether a request uses one of them.

A web page may have its own name lead to this machine once it is loaded (DNS rebinding). To the browser what listens
here is then the page's own, and only the header Host tells.
"""

from __future__ import annotations

import ipaddress
import re
from typing import FrozenSet, Iterable, Optional, Tuple

from ..hosts import is_local
from .settings import Settings

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::[0-9]*)?", re.I | re.A)


def load_names(settings: Settings, token: Optional[str]) -> Optional[FrozenSet[str]]:
    """What the service may be called beside the names of this machine; None: anything."""
    server = settings.server
    if not server.hosts and (token is not None or server.open or not is_local(server.host)):
        return None
    return frozenset(map(_plain, server.hosts))


def is_named(headers: Iterable[Tuple[bytes, bytes]], names: FrozenSet[str]) -> bool:
    """Whether the headers call the service by one of ``names``, or by one of this machine."""
    given = [value.decode("latin-1") for name, value in headers if name == b"host"]
    found = HOST.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return False
    host = found[1]
    bracketed = host.startswith("[")
    name = _plain(host.strip("[]"))
    return bracketed == (":" in name) and (name in names or is_local(name))


def _plain(name: str) -> str:
    """A name or address as all its spellings have it."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().removesuffix(".")
