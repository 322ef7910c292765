"""Splits releases into parts by a hash of their ids, so that a release stays in its part whatever else is added."""

from __future__ import annotations

import hashlib
from typing import Dict, Iterable, List, Mapping

from ..errors import CommuniqueError
from ..release import Release


def parse_parts(text: str) -> Dict[str, float]:
    """Read "train=0.8,dev=0.2". Raises CommuniqueError where the shares don't sum to 1."""
    parts: Dict[str, float] = {}
    for item in text.split(","):
        name, equals, share = item.partition("=")
        try:
            parts[name.strip()] = float(share)
        except ValueError:
            equals = ""
        if not equals or not name.strip() or parts[name.strip()] < 0:
            raise CommuniqueError(f"{item!r} is no part: write name=share, for example train=0.8,dev=0.2")
    if abs(sum(parts.values()) - 1.0) > 1e-6:
        raise CommuniqueError(f"the shares of {text!r} sum to {sum(parts.values()):g}, not to 1")
    return parts


def split_releases(releases: Iterable[Release], parts: Mapping[str, float]) -> Dict[str, List[Release]]:
    """Releases by part."""
    out: Dict[str, List[Release]] = {name: [] for name in parts}
    for release in releases:
        out[part_of(release.id, parts)].append(release)
    return out


def part_of(release_id: str, parts: Mapping[str, float]) -> str:
    """The part that an id falls into."""
    point = int.from_bytes(hashlib.sha256(release_id.encode("utf8")).digest()[:8], "big") / 2**64
    total = 0.0
    for name, share in parts.items():
        total += share
        if point < total:
            return name
    return list(parts)[-1]
