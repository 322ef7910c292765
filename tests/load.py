"""The service under load, beside the pipeline alone: a benchmark, not a test.

    python tests/load.py RELEASES.jsonl [--model minilm] [--users 50] [--seconds 60] [--config serve.cfg]

Starts ``communique serve`` on a port of its own and lets locust's clients send it releases, one a request, each client
as fast as it gets its answers. Right before and after, the pipeline annotates the same releases in this process. Exit
code 1 where a request failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from communique.annotate.run import annotate, load_model
from communique.annotate.sources import Reading, read_inputs
from communique.release import Release
from serving import command, ready

HERE = Path(__file__).parent
RAMP = 2.0  # seconds until all clients are there and the first batches are through
WORDS = re.compile(r"^communique_words_total (\S+)$", re.M)
BATCHES = re.compile(r"^communique_batch_releases_(sum|count) (\S+)$", re.M)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", help="releases, as communique annotate reads them")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--config", help="config file of the service")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    records = read_inputs([options.releases], Reading(max_chars=100_000, line_bytes=1 << 26), {})
    releases = [record.item for record in records if isinstance(record.item, Release)]
    releases = [Release(r.id, r.text, r.title, r.date, r.source) for r in releases]
    if not releases:
        sys.exit(f"{options.releases}: no releases")
    nlp = load_model(options.model)
    alone = min(10.0, options.seconds / 2)
    before = offline(nlp, releases, alone)
    figures = under_load(releases, options)
    after = offline(nlp, releases, alone)
    figures["offline_words_a_second"] = [round(before), round(after)]
    figures["ratio"] = round(figures["words_a_second"] / statistics.mean([before, after]), 3)
    print(json.dumps(figures) if options.json else table(figures, options, releases))
    return 1 if figures["errors"] else 0


def offline(nlp, releases, seconds):
    """Words a second of the pipeline in this process, as ``communique annotate`` runs it."""
    list(annotate(nlp, releases[:8]))
    words, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        list(annotate(nlp, releases))
        words += count(releases)
    return words / (time.perf_counter() - begin)


def count(releases):
    return sum(len(release.text.split()) for release in releases)


def under_load(releases, options):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "releases.jsonl"
        lines = [json.dumps({"id": r.id, "text": r.text}, ensure_ascii=False) for r in releases]
        file.write_text("\n".join(lines), "utf8")
        settings = ["--model", options.model, *(["--config", options.config] if options.config else [])]
        with command(*settings) as (_, url, _lines):
            ready(url)
            locust = start_locust(url, file, options)
            time.sleep(RAMP)
            first, begin = metrics(url), time.perf_counter()
            time.sleep(max(1.0, options.seconds - 2 * RAMP))
            last, end = metrics(url), time.perf_counter()
            stats, errors = locust.communicate(timeout=options.seconds + 120)
            if not stats.strip():
                sys.exit(errors)
    figures = summary(json.loads(stats), options)
    figures["words_a_second"] = round((last["words"] - first["words"]) / (end - begin))
    batches = last["count"] - first["count"]
    figures["releases_a_batch"] = round((last["sum"] - first["sum"]) / batches, 1) if batches else 0.0
    return figures


def start_locust(url, file, options):
    args = ["-f", str(HERE / "locustfile.py"), "--headless", "--json", "--host", url, "--loglevel", "ERROR"]
    args += ["--users", str(options.users), "--spawn-rate", str(options.users), "--run-time", f"{options.seconds:g}s"]
    env = {**os.environ, "RELEASES": str(file)}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-m", "locust", *args], env=env, stdout=pipe, stderr=pipe, text=True)


def metrics(url):
    text = httpx.get(f"{url}/metrics").text
    return {"words": float(WORDS.findall(text)[0]), **{key: float(value) for key, value in BATCHES.findall(text)}}


def summary(stats, options):
    """Of locust's records, one for each name of request: here there is one name."""
    (record,) = [r for r in stats if r["name"] == "/annotate"]
    times = sorted((float(ms), n) for ms, n in record["response_times"].items())
    return {
        "users": options.users,
        "requests": record["num_requests"],
        "errors": record["num_failures"],
        "requests_a_second": round(
            record["num_requests"] / (record["last_request_timestamp"] - record["start_time"]), 1
        ),
        **{f"p{share}_ms": percentile(times, share / 100) for share in (50, 95, 99)},
    }


def percentile(times, share):
    """The least time in which at least this share of the requests was answered. times: sorted (ms, how many)."""
    wanted, seen = share * sum(n for _, n in times), 0
    for ms, n in times:
        seen += n
        if seen >= wanted:
            return ms
    return None


def table(figures, options, releases):
    alone = " and ".join(f"{n:,}" for n in figures["offline_words_a_second"])
    return "\n".join(
        [
            f"{options.model}, {len(releases)} releases of {count(releases):,} words, {figures['users']} clients",
            f"requests      {figures['requests']:,}, of which failed: {figures['errors']}",
            f"requests/s    {figures['requests_a_second']:,}",
            f"words/s       {figures['words_a_second']:,}, in batches of {figures['releases_a_batch']} releases",
            f"latency, ms   p50 {figures['p50_ms']:,.0f}   p95 {figures['p95_ms']:,.0f}   p99 {figures['p99_ms']:,.0f}",
            f"offline       {alone} words/s, right before and after",
            f"ratio         {figures['ratio']:.2f}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
