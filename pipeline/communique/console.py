"""Lines for people to read."""

from __future__ import annotations

from rich.console import Console


def tell(console: Console, line: str) -> None:
    """A line as it is, whatever brackets it has and however long it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
