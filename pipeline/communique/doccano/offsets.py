"""Offsets in code points, as the exchange format has them, and in UTF-16 units, as Doccano's page counts."""

from __future__ import annotations

from bisect import bisect_left

LAST_OF_ONE = 0xFFFF


class OffsetError(ValueError):
    """Raised for an offset that the text doesn't have."""


class Utf16:
    """The two ways to count the places between the characters of a text."""

    def __init__(self, text: str) -> None:
        self._pairs = [i for i, char in enumerate(text) if ord(char) > LAST_OF_ONE]
        self._units = [i + n for n, i in enumerate(self._pairs)]
        self.length = len(text) + len(self._pairs)

    def units(self, points: int) -> int:
        """An offset in code points, from 0 to the text's length, in UTF-16 units."""
        return points + bisect_left(self._pairs, points)

    def points(self, units: int) -> int:
        """An offset in UTF-16 units in code points.

        Raises OffsetError for one outside of the text or within a character of two units.
        """
        if not 0 <= units <= self.length:
            raise OffsetError(f"the offset {units} is not inside the text (0-{self.length})")
        before = bisect_left(self._units, units)
        if before and self._units[before - 1] == units - 1:
            raise OffsetError(f"the offset {units} splits a character that is two UTF-16 units long")
        return units - before
