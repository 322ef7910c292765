"""Abbreviations of long names: introduced in brackets behind the name, and used from there on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import Random
from typing import Dict, List, Optional, Sequence, Set

from ..release import Mention, Release
from .edits import Edit, apply_edits
from .swap import clusters_of

CAPITALISED = re.compile(r"(?<![^\W_])[A-Z](?=[a-z])")
PARTIES = re.compile(r"^\S*\w[-–—/]\w\S*\s")
WORD = re.compile(r"\w+")
ARTICLE = re.compile(r"(?<!\w)[Tt]he \Z")
FORMS = (" ({})", " (“{}”)", " (hereinafter “{}”)")
OFTEN = (8, 2, 1)


@dataclass(frozen=True)
class _Plan:
    """What happens to one thing: its abbreviation, the mention that introduces it (or none), and where it is used."""

    abbreviation: str
    introduced: Optional[Mention]
    used: List[Mention]


def is_abbreviation(text: str) -> bool:
    """One word with two capitals or more: "MOU", "KoSIF"."""
    return " " not in text and sum(map(str.isupper, text)) > 1


def initials(name: str) -> str:
    """ "Korea-Chile Free Trade Agreement" gives "FTA"."""
    return "".join(found.group() for found in CAPITALISED.finditer(PARTIES.sub("", name)))


def abbreviate(
    release: Release,
    labels: Sequence[str],
    articles: Sequence[str],
    letters: Sequence[int],
    random: Random,
    share: float,
) -> Release:
    """A share of the things of some labels get an abbreviation, or are called by the one they have more often.

    It is a mention of its own in the same cluster; no relation moves to it, since the full name beside it carries them.
    It has at least and at most as many letters as ``letters`` says and is no word of the release. Before it, mentions
    of the labels ``articles`` lose their article: "the Ministry said" becomes "MTI said".
    """
    taken = set(WORD.findall(release.text))
    plans: List[_Plan] = []
    for label in labels:
        for mentions in clusters_of(release, label).values():
            plan = _plan(release, mentions, letters, taken, random) if random.random() < share else None
            if plan is not None:
                taken.add(plan.abbreviation)
                plans.append(plan)
    edits: List[Edit] = []
    for plan in plans:
        if plan.introduced is not None:
            form = random.choices(FORMS, OFTEN)[0].format(plan.abbreviation)
            edits.append(Edit(plan.introduced.end, plan.introduced.end, form))
        for m in plan.used:
            edits.append(Edit(m.start, m.end, plan.abbreviation))
            article = ARTICLE.search(release.text[: m.start])
            if article and m.label in articles:
                edits.append(Edit(article.start(), article.end(), ""))
    return _introduce(apply_edits(release, edits), plans)


def _plan(
    release: Release, mentions: List[Mention], letters: Sequence[int], taken: Set[str], random: Random
) -> Optional[_Plan]:
    ordered = sorted(mentions, key=lambda m: m.start)
    texts = {m.id: release.span_text(m) for m in ordered}
    body = 0 if release.title is None else release.text.find("\n") + 1
    known = [m for m in ordered if is_abbreviation(texts[m.id])]
    if known:
        introduced, at, short = None, known[0], texts[known[0].id]
    else:
        fits = {m.id: letters[0] <= len(initials(texts[m.id])) <= letters[1] for m in ordered}
        free = [m for m in ordered if m.start >= body and fits[m.id] and _room(release, m)]
        if not free or initials(texts[free[0].id]) in taken:
            return None
        introduced = at = free[0]
        short = initials(texts[at.id])
    later = [m for m in ordered if m.start > at.start and texts[m.id] != short and _behind(release, m) != " ("]
    return _Plan(short, introduced, [m for m in later if random.random() < 0.75])


def _room(release: Release, mention: Mention) -> bool:
    """Whether a bracket may be put behind a mention: no bracket or ending is there, and nothing else ends with it."""
    alone = sum(m.end == mention.end for m in release.mentions) == 1
    return (
        alone
        and release.text[mention.end : mention.end + 1] in (" ", ",", ".", "\n", "")
        and (_behind(release, mention) != " (")
    )


def _behind(release: Release, mention: Mention) -> str:
    return release.text[mention.end : mention.end + 2]


def _introduce(release: Release, plans: Sequence[_Plan]) -> Release:
    """The release with a mention for each abbreviation that stands in brackets now."""
    moved: Dict[int, Mention] = {m.id: m for m in release.mentions}
    number = max(moved, default=-1) + 1
    added: List[Mention] = []
    for plan in plans:
        if plan.introduced is not None:
            name = moved[plan.introduced.id]
            start = release.text.index(plan.abbreviation, name.end)
            end = start + len(plan.abbreviation)
            added.append(replace(name, id=number + len(added), start=start, end=end))
    return replace(release, mentions=[*release.mentions, *added]).canonical()
