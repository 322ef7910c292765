"""The one format of all errors: {"error": {"code", "message", "field"}}."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional


class ApiError(Exception):
    """Raised for what a client did wrong or has to wait for. field: the part of the request that is at fault."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        error: Dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        return json.dumps({"error": error}).encode("ascii")


CLOSE = {"Connection": "close"}


def unavailable(code: str, message: str, retry_seconds: int) -> ApiError:
    return ApiError(503, code, message, headers={"Retry-After": str(retry_seconds)})
