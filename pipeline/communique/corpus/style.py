"""Changes of typography: quotes, dashes, the case of the headline, honorifics before names."""

from __future__ import annotations

import re
from random import Random
from typing import Iterator, Sequence, Tuple

from ..release import Release
from .edits import Edit

STRAIGHT = {"“": '"', "”": '"', "‘": "'", "’": "'"}
SMALL = {"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"}


def restyle_quotes(release: Release, random: Random, share: float) -> Iterator[Edit]:
    """Curly quotes become straight, all of a release or none; straight ones become curly where their side is plain."""
    if random.random() >= share:
        return
    curly = any(c in release.text for c in STRAIGHT)
    for i, c in enumerate(release.text):
        if curly and c in STRAIGHT:
            yield Edit(i, i + 1, STRAIGHT[c])
        elif not curly and c in "\"'":
            opening = i == 0 or release.text[i - 1] in " \n(["
            yield Edit(i, i + 1, ("“" if opening else "”") if c == '"' else ("‘" if opening else "’"))


def restyle_dashes(release: Release, random: Random, share: float) -> Iterator[Edit]:
    """En dashes become em dashes or spaced hyphens, and the other way round."""
    if random.random() >= share:
        return
    new = random.choice("–—-")
    for found in re.finditer(r"(?<=\s)[–—-](?=\s)", release.text):
        yield Edit(found.start(), found.end(), new)


def restyle_headline(release: Release, random: Random, share: float) -> Iterator[Edit]:
    """A headline in sentence case gets capitals, or is all in capitals, word by word."""
    if release.title is None or random.random() >= share:
        return
    shout = random.random() < 0.15
    for found in re.finditer(r"(?<![^\W_])[^\W\d_][^\W_]*", release.text.partition("\n")[0]):
        word = found.group()
        if len(word.upper()) != len(word):
            continue
        if shout:
            yield Edit(found.start(), found.end(), word.upper())
        elif found.start() and word not in SMALL and release.text[found.start() - 1] not in "’'.":
            yield Edit(found.start(), found.start() + 1, word[0].upper())


def add_honorifics(
    release: Release, titles: Tuple[str, str], random: Random, share: float, honorifics: Sequence[str]
) -> Iterator[Edit]:
    """ "Minister Lim" becomes "Minister Mr Lim" or "Minister H.E. Lim": honorifics stay outside of names."""
    if random.random() >= share or not honorifics:
        return
    title, name = titles
    ends = {m.end for m in release.mentions if m.label == title}
    word = random.choice(honorifics)
    for m in release.mentions:
        if m.label == name and m.start - 1 in ends and " " in release.span_text(m):
            yield Edit(m.start - 1, m.start, f" {word} ")
