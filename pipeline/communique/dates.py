"""Calendar expressions to ISO 8601: a date, a month, a year, or an interval "start/end"."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta
from typing import Callable, List, Match, Optional, Tuple

MONTHS = {m.lower(): i for i, m in enumerate(calendar.month_name) if m}
MONTHS.update({m.lower(): i for i, m in enumerate(calendar.month_abbr) if m})
MONTHS["sept"] = 9
DAYS = {d.lower(): i for i, d in enumerate(calendar.day_name)}
ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}
SEASONS = {"spring": (3, 5), "summer": (6, 8), "autumn": (9, 11), "fall": (9, 11)}
M = "(?P<m{0}>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\.?"
D = r"(?P<d{0}>\d{{1,2}})(?:st|nd|rd|th)?"
Y = r"(?P<y{0}>\d{{4}})"
TO = r"\s*(?:-|–|—|to|until|and|through)\s*"
DAY = f"(?:{'|'.join(DAYS)}),?\\s+"
Rule = Tuple["re.Pattern[str]", Callable[[Match[str], date], Optional[str]]]


def normalise_date(text: str, reference: Optional[date]) -> Optional[str]:
    """ISO form of a calendar expression, or None where it can't be told.

    ``reference`` is the day of the release: expressions without a year or relative ones need it.
    """
    cleaned = re.sub(r"\s+", " ", text.lower().replace("’", "'")).strip(" ,")
    cleaned = re.sub(rf"^(?:on |the |{DAY})", "", cleaned)
    for pattern, build in RULES:
        match = pattern.fullmatch(cleaned)
        if match:
            try:
                return build(match, reference or date.min)
            except (ValueError, OverflowError, _Unknown):
                return None
    return None


class _Unknown(Exception):
    """The expression needs the release's date, and there is none."""


def _rule(pattern: str, build: Callable[[Match[str], date], Optional[str]]) -> Rule:
    return re.compile(pattern), build


def _year(match: Match[str], reference: date, group: str = "y1", month: Optional[int] = None) -> int:
    value = match.groupdict().get(group)
    if value:
        return int(value)
    if reference == date.min:
        raise _Unknown
    # A bare month is the one nearest the release, so "December" in January is last year's.
    years = (reference.year - 1, reference.year, reference.year + 1)
    if month is None:
        return reference.year
    return min(years, key=lambda y: abs((date(y, month, 15) - reference).days))


def _span(start: date, end: date) -> str:
    return start.isoformat() if start == end else f"{start.isoformat()}/{end.isoformat()}"


def _months(year: int, first: int, last: int) -> str:
    return f"{year:04d}-{first:02d}/{year:04d}-{last:02d}"


def _day(match: Match[str], reference: date) -> str:
    month = MONTHS[match["m1"]]
    return date(_year(match, reference, month=month), month, int(match["d1"])).isoformat()


def _days(match: Match[str], reference: date) -> str:
    """Two days, the month or the year of one of them left out."""
    groups = match.groupdict()
    first, second = groups.get("m1") or groups["m2"], groups.get("m2") or groups["m1"]
    months = MONTHS[first], MONTHS[second]
    year2 = _year(match, reference, "y2", months[1]) if groups.get("y2") else None
    year1 = _year(match, reference, "y1", months[0]) if groups.get("y1") or year2 is None else year2
    year2 = year2 or year1
    return _span(date(year1, months[0], int(match["d1"])), date(year2, months[1], int(match["d2"])))


def _month(match: Match[str], reference: date) -> str:
    month = MONTHS[match["m1"]]
    return f"{_year(match, reference, month=month):04d}-{month:02d}"


def _month_range(match: Match[str], reference: date) -> str:
    first, second = MONTHS[match["m1"]], MONTHS[match["m2"]]
    year = _year(match, reference, "y2", second)
    return f"{int(match['y1'] or year):04d}-{first:02d}/{year:04d}-{second:02d}"


def _part(match: Match[str], reference: date) -> str:
    """Quarters and halves."""
    size = 3 if match["part"] == "quarter" or match["part"] == "q" else 6
    number = ORDINALS.get(match["n"]) or int(match["n"])
    year = _relative_year(match, reference)
    return _months(year, size * (number - 1) + 1, size * number)


def _edge(match: Match[str], reference: date) -> str:
    """Beginning, middle and end of a year."""
    first = {"early": 1, "beginning": 1, "start": 1, "mid": 5, "middle": 5, "late": 10, "end": 12, "year-end": 12}
    last = {"early": 3, "beginning": 1, "start": 1, "mid": 8, "middle": 8, "late": 12, "end": 12, "year-end": 12}
    year, part = _relative_year(match, reference), match["edge"]
    if first[part] == last[part]:
        return f"{year:04d}-{first[part]:02d}"
    return _months(year, first[part], last[part])


def _relative_year(match: Match[str], reference: date) -> int:
    groups = match.groupdict()
    year = _year(match, reference)
    return year + {"next": 1, "last": -1}.get(groups.get("rel") or "", 0)


def _season(match: Match[str], reference: date) -> str:
    year = _relative_year(match, reference)
    if match["season"] == "winter":
        return f"{year:04d}-12/{year + 1:04d}-02"
    return _months(year, *SEASONS[match["season"]])


def _relative_day(match: Match[str], reference: date) -> str:
    if reference == date.min:
        raise _Unknown
    days = {"today": 0, "tonight": 0, "yesterday": -1, "tomorrow": 1}
    return (reference + timedelta(days=days[match["word"]])).isoformat()


def _weekday(match: Match[str], reference: date) -> str:
    """The weekday of that name nearest the release, or the one after or before it."""
    if reference == date.min:
        raise _Unknown
    ahead = (DAYS[match["day"]] - reference.weekday()) % 7
    if match["rel"] == "next":
        ahead = ahead or 7
    elif match["rel"] == "last":
        ahead = ahead - 7
    elif ahead > 3:
        ahead -= 7
    return (reference + timedelta(days=ahead)).isoformat()


def _relative_unit(match: Match[str], reference: date) -> str:
    if reference == date.min:
        raise _Unknown
    step = {"this": 0, "current": 0, "next": 1, "coming": 1, "last": -1, "previous": -1, "past": -1}[match["rel"]]
    unit = match["unit"]
    if unit == "year":
        return f"{reference.year + step:04d}"
    if unit == "week":
        monday = reference - timedelta(days=reference.weekday()) + timedelta(weeks=step)
        return _span(monday, monday + timedelta(days=6))
    index = reference.year * 12 + reference.month - 1
    if unit == "month":
        index += step
        return f"{index // 12:04d}-{index % 12 + 1:02d}"
    quarter = index // 3 + step
    return _months(quarter // 4, quarter % 4 * 3 + 1, quarter % 4 * 3 + 3)


def _iso(match: Match[str], reference: date) -> str:
    return date(int(match["y"]), int(match["m"]), int(match["d"])).isoformat()


def _years(match: Match[str], reference: date) -> str:
    last = match["b"] if len(match["b"]) == 4 else match["a"][:2] + match["b"]
    return f"{match['a']}/{last}"


def _rules() -> List[Rule]:
    m1, m2, d1, d2, y1, y2 = (p.format(i) for p in (M, D, Y) for i in (1, 2))
    rel = r"(?:(?P<rel>next|last|this) year|" + y1 + ")"
    of = r"(?: of| in|,)?(?: the)? ?"
    return [
        _rule(r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)", _iso),
        _rule(r"(?P<y>\d{4})\.(?P<m>\d{1,2})\.(?P<d>\d{1,2})\.?", _iso),
        _rule(r"(?P<d>\d{1,2})[./](?P<m>\d{1,2})[./](?P<y>\d{4})", _iso),
        _rule(f"{m1} {d1}(?:(?:,| of)? {y1})?", _day),
        _rule(f"(?:the )?{d1}(?: of)? {m1}(?:,? {y1})?", _day),
        _rule(f"(?:from )?{m1} {d1}(?:,? {y1})?{TO}(?:{DAY})?(?:{m2} )?{d2}(?:,? {y2})?", _days),
        _rule(f"(?:from )?{d1}(?: {m1})?(?: {y1})?{TO}(?:{DAY})?{d2} {m2}(?:,? {y2})?", _days),
        _rule(f"{m1}(?:,? {y1})?", _month),
        _rule(f"{m1}(?: {y1})?{TO}{m2}(?: {y2})?", _month_range),
        _rule(r"(?:fiscal year |fy ?)?(?P<y1>\d{4})", lambda m, r: f"{_year(m, r):04d}"),
        _rule(rf"(?:fiscal year |fy ?)?(?P<a>\d{{4}}){TO}(?P<b>\d{{4}}|\d\d)", _years),
        _rule(rf"(?P<n>first|second|third|fourth|1st|2nd|3rd|4th) (?P<part>quarter|half){of}{rel}?", _part),
        _rule(rf"(?P<part>q)(?P<n>[1-4]){of}{rel}?", _part),
        _rule(rf"(?P<edge>early|late|mid|end|beginning|start|middle)(?:-|{of}){rel}", _edge),
        _rule(r"(?P<edge>year-end)", _edge),
        _rule(rf"(?P<season>spring|summer|autumn|fall|winter){of}{rel}?", _season),
        _rule(r"(?P<word>today|tonight|yesterday|tomorrow)", _relative_day),
        _rule(
            rf"(?:(?P<rel>next|last|this|coming) )?(?P<day>{'|'.join(DAYS)})(?: (?:morning|evening|afternoon))?",
            _weekday,
        ),
        _rule(
            r"(?P<rel>this|current|next|coming|last|previous|past) (?P<unit>week|month|quarter|year)", _relative_unit
        ),
    ]


RULES = _rules()
