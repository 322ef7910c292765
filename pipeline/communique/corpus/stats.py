"""Counts of a gold corpus, and its fingerprint."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List, Union

from ..release import Release
from .exchange import markup_files


def corpus_stats(releases: Iterable[Release]) -> Dict[str, Dict[str, int]]:
    """Tables of counts: total, labels, relations, sources and kinds."""
    totals: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    relations: Counter[str] = Counter()
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
        sources[release.source or "unknown"] += 1
        kinds[str(release.meta.get("kind", "unknown"))] += 1
    tables = {"total": totals, "labels": labels, "relations": relations, "sources": sources, "kinds": kinds}
    return {name: dict(counts.most_common()) for name, counts in tables.items()}


def fingerprint(paths: Iterable[Union[str, Path]]) -> str:
    """SHA-256 over the files' names and bytes, so that a model can say what it was trained from."""
    digest = hashlib.sha256()
    files: List[Path] = []
    for path in map(Path, paths):
        files += markup_files([path]) if path.is_dir() else [path]
    for file in files:
        digest.update(file.name.encode("utf8") + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
