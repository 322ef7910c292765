"""Passages that releases share, and releases that are near-duplicates of one another.

A corpus written from templates teaches a model the templates. Passages are found by an exact index of word n-grams;
near-duplicates by MinHash over shingles with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import CommuniqueError, Defect
from ..release import Release
from ..schema import Duplicates
from .markup import Parsed

WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Word:
    """A lower-cased word, its offset, and whether it stands inside a name."""

    text: str
    start: int
    named: bool


def words_of(release: Release, names: Sequence[str]) -> List[Word]:
    """The words of a release; ``names`` are the labels whose mentions count as names."""
    named = [False] * len(release.text)
    for m in release.mentions:
        if m.label in names:
            named[m.start : m.end] = [True] * (m.end - m.start)
    return [Word(w.group().lower(), w.start(), named[w.start()]) for w in WORD.finditer(release.text)]


def shared_passages(
    parsed: Sequence[Parsed], names: Sequence[str], length: int, own: int
) -> Iterator[Tuple[Parsed, int, Parsed, str]]:
    """(release, offset, earlier release, passage) for each longest passage that a release shares with an earlier one.

    A passage has at least ``length`` words, and ``own`` of any ``length`` in a row outside of names: official names
    may be shared.
    """
    seen: Dict[Tuple[str, ...], int] = {}
    for number, item in enumerate(parsed):
        words = words_of(item.release, names)
        grams = [tuple(w.text for w in words[i : i + length]) for i in range(len(words) - length + 1)]
        counts = [sum(not w.named for w in words[i : i + length]) >= own for i in range(len(grams))]
        i = 0
        while i < len(grams):
            first = seen.get(grams[i])
            if first is None or not counts[i]:
                i += 1
                continue
            j = i
            while j < len(grams) and seen.get(grams[j]) == first and counts[j]:
                j += 1
            passage = " ".join(w.text for w in words[i : j + length - 1])
            yield item, words[i].start, parsed[first], passage
            i = j
        for gram in grams:
            seen.setdefault(gram, number)


def near_duplicates(parsed: Sequence[Parsed], shingle: int, threshold: float) -> Iterator[Tuple[Parsed, Parsed, float]]:
    """(release, earlier release, estimated Jaccard similarity) of pairs at or above the threshold.

    Raises CommuniqueError where datasketch is not installed.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as err:
        raise CommuniqueError("near-duplicates need datasketch: pip install 'communique[train]'") from err
    index = MinHashLSH(threshold=threshold)
    hashes: List[MinHash] = []
    for number, item in enumerate(parsed):
        words = [w.group().lower() for w in WORD.finditer(item.release.text)]
        grams = {" ".join(words[i : i + shingle]) for i in range(max(1, len(words) - shingle + 1))}
        sketch = MinHash()
        sketch.update_batch([g.encode("utf8") for g in grams])
        for other in sorted(index.query(sketch)):
            similarity = sketch.jaccard(hashes[other])
            if similarity >= threshold:
                yield item, parsed[other], similarity
        hashes.append(sketch)
        index.insert(number, sketch)


def duplicate_defects(parsed: Sequence[Parsed], names: Sequence[str], rules: Optional[Duplicates]) -> Iterator[Defect]:
    """Shared passages and near-duplicates as defects of the later release."""
    if rules is None:
        return
    for item, offset, other, passage in shared_passages(parsed, names, rules.passage, rules.own_words):
        line, column = item.source.position(offset)
        message = f"shared with {other.release.id}: {passage!r}"
        yield Defect(item.source.file, line, column, "shared-passage", message, "reword it")
    for item, other, similarity in near_duplicates(parsed, rules.shingle, rules.similarity):
        message = f"a near-duplicate of {other.release.id}: similarity {similarity:.2f}"
        yield Defect(item.source.file, 1, 1, "near-duplicate", message, "write another release")
