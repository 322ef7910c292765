"""Swaps of names, offices, bodies, countries, dates and amounts for others of the registers, cluster by cluster."""

from __future__ import annotations

import calendar
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Union

import srsly

from ..countries import load_register
from ..errors import ConfigError
from ..release import Mention, Release
from .edits import Edit

Clusters = Dict[str, List[Mention]]
MONTHS = list(calendar.month_name)[1:]
MONTH = re.compile(rf"\b({'|'.join(MONTHS)})\b")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
DAY = re.compile(r"(?<![\d.])\d{1,2}(?:st|nd|rd|th)?(?![\d.])")
NOT_BEFORE = r"(?<!\w)(?<!Latin )(?<!Central )(?<!North )(?<!South )(?<!Inter-)(?<!Pan-)"
SHORTEST_MONTH = 28
DIGITS = re.compile(r"\d")
PORTFOLIO = re.compile(r"(.*\b(?:Minister|Secretary|Commissioner)(?: of State)? (?:of|for)(?: the)? )(\S.*)\Z")


@dataclass(frozen=True)
class Registers:
    """What can be put in another's place: one JSON file each, in one folder."""

    persons: List[Dict[str, Any]]
    agencies: List[Dict[str, str]]
    countries: List[Dict[str, Any]]
    portfolios: List[str]
    currencies: Dict[str, List[str]]

    @classmethod
    def from_disk(cls, folder: Union[str, Path]) -> "Registers":
        """Raises ConfigError where a file is missing or no JSON."""
        try:
            return cls(**{name: srsly.read_json(Path(folder) / f"{name}.json") for name in cls.__dataclass_fields__})
        except (OSError, ValueError) as err:
            raise ConfigError(f"can't read the registers: {err}", file=str(folder)) from err


def clusters_of(release: Release, label: str) -> Clusters:
    """Clusters that hold mentions of this label and no other."""
    groups: Clusters = defaultdict(list)
    labels: Dict[str, set[str]] = defaultdict(set)
    for m in release.mentions:
        if m.cluster is not None:
            groups[m.cluster].append(m)
            labels[m.cluster].add(m.label)
    return {name: [m for m in ms if m.label == label] for name, ms in groups.items() if label in labels[name]}


def swap_persons(release: Release, label: str, registers: Registers, random: Random, share: float) -> Iterator[Edit]:
    """The longest form of each name becomes another full name, shorter ones its short form."""
    taken: set[str] = set()
    for mentions in clusters_of(release, label).values():
        if random.random() >= share:
            continue
        kind = random.choice(registers.persons)
        family = random.choice([name for name in kind["family"] if name not in taken] or kind["family"])
        given = random.choice(kind["given"])
        taken.add(family)
        full, short = (kind[key].format(family=family, given=given) for key in ("full", "short"))
        longest = max((release.span_text(m) for m in mentions), key=len)
        for m in mentions:
            text = release.span_text(m)
            alone = len(longest.split()) == 1
            new = full if text == longest and not alone else short
            yield Edit(m.start, m.end, new.upper() if text.isupper() and len(text) > 2 else new)


def swap_portfolios(release: Release, label: str, registers: Registers, random: Random, share: float) -> Iterator[Edit]:
    """ "Minister of Trade" becomes "Minister of Energy", in all mentions of the office."""
    taken: set[str] = set()
    for mentions in clusters_of(release, label).values():
        if random.random() >= share:
            continue
        free = [p for p in registers.portfolios if p not in taken] or registers.portfolios
        new = random.choice(free)
        taken.add(new)
        for m in mentions:
            found = PORTFOLIO.match(release.span_text(m))
            if found:
                yield Edit(m.start + found.start(2), m.end, new)


def swap_agencies(release: Release, label: str, registers: Registers, random: Random, share: float) -> Iterator[Edit]:
    """A body becomes another with the same short form ("Ministry"), its abbreviation too."""
    free = [a for a in registers.agencies if a["name"] not in release.text]
    for mentions in clusters_of(release, label).values():
        texts = {release.span_text(m) for m in mentions}
        name = max(texts, key=len)
        shorts = [a["short"] for a in free if re.search(rf"\b{re.escape(a['short'])}\b", name)]
        if random.random() >= share or not shorts or len(name.split()) < 2:
            continue
        new = random.choice([a for a in free if a["short"] == shorts[0]])
        forms = {name: new["name"], shorts[0]: new["short"]}
        forms.update({t: new["abbreviation"] for t in texts if " " not in t and sum(map(str.isupper, t)) > 1})
        if texts <= set(forms):
            free.remove(new)
            yield from (Edit(m.start, m.end, forms[release.span_text(m)]) for m in mentions)


def swap_countries(
    release: Release, label: str, registers: Registers, random: Random, share: float, inside: Sequence[str]
) -> Iterator[Edit]:
    """A country becomes another that takes the article likewise, also inside of names of the labels ``inside``."""
    codes = load_register()
    known = {codes.code(c["name"]): c for c in registers.countries}
    used = {codes.code(release.span_text(m)) for m in release.mentions if m.label == label}
    free = [c for code, c in known.items() if code not in used]
    for code in sorted(str(c) for c in used if c in known):
        old = known[code]
        fits = [c for c in free if _fits(old, c)]
        if random.random() >= share or not fits:
            continue
        new = random.choice(fits)
        free.remove(new)
        forms = {text: _form(text, old, new) for text in _texts(release, label, code, old)}
        longest_first = sorted(forms, key=len, reverse=True)
        pattern = re.compile(rf"{NOT_BEFORE}(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")
        for m in release.mentions:
            if m.label == label and release.span_text(m) in forms:
                yield Edit(m.start, m.end, forms[release.span_text(m)])
            elif m.label in inside:
                for found in pattern.finditer(release.text, m.start, m.end):
                    yield Edit(found.start(), found.end(), forms[found.group()])


def _texts(release: Release, label: str, code: str, old: Mapping[str, Any]) -> List[str]:
    lookup = load_register().code
    tagged = {release.span_text(m) for m in release.mentions if m.label == label}
    return sorted({t for t in tagged if lookup(t) == code} | {old["name"], old["adjective"]})


def _fits(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(old.get("the")) == bool(new.get("the")) and ("official" in new or "official" not in old)


def _form(text: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The other country's form of the same kind: adjective, official name, abbreviation or name."""
    if text == old["adjective"] != old["name"]:
        return str(new["adjective"])
    if " of " in text and "official" in new:
        return str(new["official"])
    if text.replace(".", "").isupper() and "abbreviation" in new:
        return str(new["abbreviation"])
    return str(new["name"])


def swap_dates(release: Release, label: str, random: Random, share: float) -> Iterator[Edit]:
    """Months and years move by the same step in the whole release; days of one number are drawn anew."""
    if random.random() >= share:
        return
    months, years = random.randrange(1, 12), random.randrange(-6, 4)
    for m in (m for m in release.mentions if m.label == label):
        text = release.span_text(m)
        new = MONTH.sub(lambda f: MONTHS[(MONTHS.index(f.group()) + months) % 12], text)
        new = YEAR.sub(lambda f: str(int(f.group()) + years), new)
        days = [d for d in DAY.finditer(new) if d.group().isdigit()]
        if MONTH.search(new) and any(int(d.group()) > SHORTEST_MONTH for d in days):
            new = DAY.sub(lambda f: str(max(1, int(f.group()) - 3)) if f.group().isdigit() else f.group(), new)
            days = [d for d in DAY.finditer(new) if d.group().isdigit()]
        if MONTH.search(new) and len(days) == 1:
            new = new[: days[0].start()] + str(random.randint(1, SHORTEST_MONTH)) + new[days[0].end() :]
        yield Edit(m.start, m.end, new)


def swap_amounts(release: Release, label: str, registers: Registers, random: Random, share: float) -> Iterator[Edit]:
    """Digits are drawn anew, the currency's sign or code may change for another of its kind."""
    if random.random() >= share:
        return
    kinds = registers.currencies.values()
    new_for = {old: random.choice(list(kind)) for kind in kinds for old in kind}
    signs = re.compile("|".join(rf"(?<!\w){re.escape(s)}(?![A-Za-z])" for s in sorted(new_for, key=len, reverse=True)))
    new_of: Dict[str, str] = {}
    for m in (m for m in release.mentions if m.label == label):
        text = release.span_text(m)
        if text not in new_of:
            drawn = DIGITS.sub(lambda _: str(random.randrange(1, 10)), text)
            new_of[text] = signs.sub(lambda f: new_for[f.group()], drawn, count=1)
        yield Edit(m.start, m.end, new_of[text])


def articles(release: Release, edits: Sequence[Edit]) -> Iterator[Edit]:
    """ "a Korean delegation" becomes "an Egyptian delegation"."""
    for e in edits:
        before = re.search(r"(?<!\w)([Aa])(n?) (?:[“\"‘(])?\Z", release.text[max(0, e.start - 4) : e.start])
        if before and e.new:
            at = max(0, e.start - 4) + before.start()
            vowel = re.match(r"(?!Eu)[aeioAEIO]|Uz", e.new) is not None
            yield Edit(at, at + len(before[1] + before[2]), before[1] + ("n" if vowel else ""))


def merge(groups: Sequence[Sequence[Edit]]) -> List[Edit]:
    """Edits of all groups, an earlier group's before a later one's where they overlap."""
    out: List[Edit] = []
    for e in (e for group in groups for e in group):
        if all(e.end <= o.start or o.end <= e.start for o in out):
            out.append(e)
    return out
