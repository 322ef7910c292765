"""The bearer token: where it comes from, and whether a request has it."""

from __future__ import annotations

import hmac
import re
from typing import Iterable, Mapping, Optional, Tuple

from ..errors import ConfigError
from ..hosts import is_local
from .settings import Settings

VARIABLE = "COMMUNIQUE_TOKEN"
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what RFC 6750 lets a header carry


def load_token(settings: Settings, environment: Mapping[str, str]) -> Optional[str]:
    """The token that clients must have, or None where none was set.

    Raises ConfigError for a token that no client could send, and where none was set but others than this machine can
    reach the service.
    """
    where, token = _find(settings, environment)
    if token is None:
        if not is_local(settings.server.host) and not settings.server.open:
            raise ConfigError(
                f"at {settings.server.host} others than this machine can reach the service: set {VARIABLE} or "
                "[server] token_file, or, if everybody may use it, [server] open = true"
            )
        return None
    if not TOKEN.fullmatch(token):
        raise ConfigError("a token has letters, digits and -._~+/ only, and is not empty", file=where)
    return token


def _find(settings: Settings, environment: Mapping[str, str]) -> Tuple[str, Optional[str]]:
    if VARIABLE in environment:
        return VARIABLE, environment[VARIABLE]
    if settings.server.token_file is None:
        return "", None
    path = settings.folder / settings.server.token_file
    try:
        return str(path), path.read_text("utf8").strip()
    except OSError as err:
        raise ConfigError(f"[server] token_file can't be read: {err.strerror}", file=str(path)) from err
    except UnicodeDecodeError as err:
        raise ConfigError("[server] token_file holds no text", file=str(path)) from err


def has_token(headers: Iterable[Tuple[bytes, bytes]], token: str) -> bool:
    """Whether the headers hold the token, found out in a time that says nothing about it."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        return False
    scheme, _, credentials = given[0].partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(credentials.strip(), token.encode("ascii"))
