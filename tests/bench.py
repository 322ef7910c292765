"""Words a second of the pipelines, whole and by component: a benchmark, not a test.

    python tests/bench.py RELEASES.jsonl [MODEL...]

Warm-up first, then the models take turns, round by round; the median of the rounds counts. Without models: those that
ship, and those trained under training/.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

from communique.annotate.run import load_model, shipped_models

ROUNDS = 5
ROOT = Path(__file__).resolve().parent.parent


def component_times(nlp, texts):
    """Seconds of the tokenizer and of each component over all texts."""
    start = time.perf_counter()
    docs = [nlp.make_doc(t) for t in texts]
    times = {"tokenizer": time.perf_counter() - start}
    for name, pipe in nlp.pipeline:
        start = time.perf_counter()
        if hasattr(pipe, "pipe"):
            docs = list(pipe.pipe(docs, batch_size=nlp.batch_size))
        else:
            docs = [pipe(d) for d in docs]
        times[name] = time.perf_counter() - start
    return times


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: make bench RELEASES=file.jsonl")
    texts = [json.loads(line)["text"] for line in Path(sys.argv[1]).read_text("utf8").splitlines() if line.strip()]
    words = sum(len(t.split()) for t in texts)
    trained = [str(p) for p in sorted(ROOT.glob("training/*/model-best"))]
    models = {name: load_model(name) for name in (sys.argv[2:] or [*shipped_models(), *trained])}
    whole, parts = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for nlp in models.values():
        list(nlp.pipe(texts[:8]))
    for _ in range(ROUNDS):
        for name, nlp in models.items():
            start = time.perf_counter()
            list(nlp.pipe(texts))
            whole[name].append(time.perf_counter() - start)
            for component, seconds in component_times(nlp, texts).items():
                parts[name][component].append(seconds)
    print(f"{len(texts)} releases, {words} words, median of {ROUNDS} rounds")
    for name in models:
        print(f"\n{name}: {words / statistics.median(whole[name]):,.0f} words/s")
        medians = {c: statistics.median(s) for c, s in parts[name].items()}
        total = sum(medians.values())
        for component, seconds in medians.items():
            print(f"  {component:12} {words / seconds:12,.0f} words/s  {100 * seconds / total:5.1f} %")


if __name__ == "__main__":
    main()
