"""Counts of a gold corpus, and its fingerprint."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, Set, Tuple, Union

from ..release import Release
from .exchange import markup_files

LENGTHS = (0, 100, 200, 300, 400, 500)


def corpus_stats(releases: Iterable[Release]) -> Dict[str, Dict[str, int]]:
    """Tables of counts: total, labels, names, relations, lengths, governments, sources and kinds.

    names: different names by label, each thing counted once in a release, by its longest form. lengths: releases by
    words.
    """
    totals: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    relations: Counter[str] = Counter()
    names: Dict[str, Set[str]] = defaultdict(set)
    lengths: Counter[str] = Counter({length_band(edge): 0 for edge in LENGTHS})
    governments: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for release in releases:
        totals["releases"] += 1
        totals["words"] += len(release.text.split())
        totals["mentions"] += len(release.mentions)
        totals["relations"] += len(release.relations)
        totals["clusters"] += len({m.cluster for m in release.mentions if m.cluster is not None})
        labels.update(m.label for m in release.mentions)
        relations.update(r.type for r in release.relations)
        for label, name in _longest_names(release):
            names[label].add(name)
        lengths[length_band(len(release.text.split()))] += 1
        governments[str(release.meta.get("government", "unknown"))] += 1
        sources[release.source or "unknown"] += 1
        kinds[str(release.meta.get("kind", "unknown"))] += 1
    tables = {
        "total": totals.most_common(),
        "labels": labels.most_common(),
        "names": sorted(((label, len(found)) for label, found in names.items()), key=lambda pair: -pair[1]),
        "relations": relations.most_common(),
        "lengths": list(lengths.items()),
        "governments": governments.most_common(),
        "sources": sources.most_common(),
        "kinds": kinds.most_common(),
    }
    return {name: dict(counts) for name, counts in tables.items()}


def markdown(tables: Mapping[str, Mapping[str, int]]) -> str:
    """The tables in Markdown, each under its name."""
    parts = []
    for name, counts in tables.items():
        rows = [f"| {key} | {value:,} |" for key, value in counts.items()]
        parts.append("\n".join([f"| {name} | n |", "|---|---:|", *rows]))
    return "\n\n".join(parts) + "\n"


def length_band(words: int) -> str:
    """The band of lengths that a number of words falls into."""
    lower = max((edge for edge in LENGTHS if edge <= words), default=0)
    above = [edge for edge in LENGTHS if edge > words]
    return f"{lower} to {above[0] - 1}" if above else f"{lower} and more"


def _longest_names(release: Release) -> Iterator[Tuple[str, str]]:
    """(label, longest form) of every cluster, by label."""
    longest: Dict[Tuple[str, str], str] = {}
    for m in release.mentions:
        if m.cluster is not None:
            text, key = release.span_text(m), (m.label, m.cluster)
            longest[key] = max(longest.get(key, ""), text, key=len)
    for (label, _), name in longest.items():
        yield label, name


def fingerprint(paths: Iterable[Union[str, Path]]) -> str:
    """SHA-256 over the files' names and bytes, so that a model can say what it was trained from."""
    digest = hashlib.sha256()
    files: List[Path] = []
    for path in map(Path, paths):
        files += markup_files([path]) if path.is_dir() else [path]
    for file in files:
        digest.update(file.name.encode("utf8") + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
