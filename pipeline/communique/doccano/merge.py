"""Three versions of a release, what was pulled last, ours and Doccano's, and which one is to stand."""

from __future__ import annotations

import difflib
import json
from enum import Enum
from typing import Iterator, List, Optional, Tuple

from ..corpus import markup
from ..errors import CommuniqueError
from ..release import Release
from .rows import plain


class Outcome(Enum):
    new = "new"
    same = "same"
    updated = "updated"  # Doccano's stands
    ours = "ours"  # ours stands: only we changed it
    conflict = "conflict"


def outcome(base: Optional[Release], ours: Optional[Release], theirs: Release) -> Outcome:
    """Which version stands. All of them without what a pull notes: see ``rows.plain``."""
    if ours is None:
        return Outcome.new
    if ours == theirs:
        return Outcome.same
    if base is not None and base == ours:
        return Outcome.updated
    if base is not None and base == theirs:
        return Outcome.ours
    return Outcome.conflict


def conflict_diff(base: Optional[Release], ours: Release, theirs: Release) -> str:
    """What each side changed, as diffs of markup; where it is not known what they began with, how they differ."""
    if base is None:
        return "".join(_diff(("ours", ours), ("Doccano's", theirs)))
    return "".join([*_diff(("before", base), ("ours", ours)), *_diff(("before", base), ("Doccano's", theirs))])


def _diff(before: Tuple[str, Release], after: Tuple[str, Release]) -> Iterator[str]:
    old, new = (_lines(release) for _, release in (before, after))
    names = [f"{release.id} ({name})" for name, release in (before, after)]
    for line in difflib.unified_diff(old, new, names[0], names[1], n=1):
        yield line if line.endswith("\n") else f"{line}\n"


def _lines(release: Release) -> List[str]:
    try:
        return markup.write(plain(release)).splitlines(keepends=True)
    except CommuniqueError:  # spans that cross
        return [f"{line}\n" for line in json.dumps(release.to_dict(), ensure_ascii=False, indent=1).splitlines()]
