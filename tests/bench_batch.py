"""What the machinery of batches costs: words a second of plain loops, of one process, of two, and of Ray.

    python tests/bench_batch.py RELEASES.jsonl [--model NAME] [--rounds N] [--words N] [--ray]
    python tests/bench_batch.py RELEASES.jsonl [--model NAME] --memory 2000 20000

All read the same releases, repeated with other ids, with one core for each process; they take turns, the median of the
rounds counts. That they find the same, to the byte, is checked first. The loop is ``nlp.pipe`` over the texts, which
nobody reads from a file or writes to one; two loops at once have a core each, as two processes do. With --memory: the peak memory of two runs that differ in their length only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench import machine

LOOP = """
import communique.preload
import json, sys, time
from communique.annotate.run import load_model
nlp = load_model(sys.argv[1], threads=1)
texts = [json.loads(line)["text"] for line in open(sys.argv[2], encoding="utf8")]
for _ in nlp.pipe(texts[:50]):
    pass
begin = time.perf_counter()
for _ in nlp.pipe(texts):
    pass
print(sum(len(text.split()) for text in texts) / (time.perf_counter() - begin))
"""


def loops(model: str, source: Path, folder: Path, count: int) -> float:
    """The sum of so many at once."""
    command = [sys.executable, "-c", LOOP, model, str(source)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(process.communicate()[0]) for process in processes)


def batch(model: str, source: Path, folder: Path, *options: str) -> float:
    out = folder / "out.jsonl"
    for path in folder.glob("out.jsonl*"):
        path.unlink()
    command = [sys.executable, "-m", "communique", "annotate", str(source), "-o", str(out), "-m", model, "--json"]
    result = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)["words_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", type=Path)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=100_000, help="least words of a round")
    parser.add_argument("--ray", action="store_true", help="Ray too, with two actors")
    parser.add_argument("--memory", type=int, nargs="+", metavar="RELEASES", help="peak memory of so many, instead")
    options = parser.parse_args()
    if options.memory:
        memory(options)
        return
    ways = {
        "loop": (loops, 1),
        "2 loops": (loops, 2),
        "1 process": (batch, "-w", "1"),
        "2 processes": (batch, "-w", "2"),
    }
    if options.ray:
        ways["Ray, 2 actors"] = (batch, "--engine", "ray", "-w", "2")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, releases, words = repeated(options.releases, folder / "in.jsonl", options.words)
        print(f"{machine()}; {options.model}; {releases} releases, {words:,} words a round, median of {options.rounds}")
        speeds, outputs = {way: [] for way in ways}, set()
        for _ in range(options.rounds):
            for way, (run, *args) in ways.items():
                speeds[way].append(run(options.model, source, folder, *args))
                if run is batch:
                    outputs.add((folder / "out.jsonl").read_bytes())
        if len(outputs) > 1:
            sys.exit("they did not write the same")
    median = {way: statistics.median(found) for way, found in speeds.items()}
    print("\n| way | words/s | of the loop | of two loops | of one process |\n|---|---|---|---|---|")
    for way, speed in median.items():
        shares = " | ".join(f"{speed / median[other]:.2f}" for other in ("loop", "2 loops", "1 process"))
        print(f"| {way} | {speed:,.0f} | {shares} |")


def memory(options: argparse.Namespace) -> None:
    """Peak of the proportional set size of a run with two processes: main process, workers, and what forks them."""
    print(
        f"{machine()}; {options.model}; two processes\n\n| releases | peak memory, MB | of the first |\n|---|---|---|"
    )
    first = 0.0
    for count in options.memory:
        with tempfile.TemporaryDirectory() as name:
            source, *_ = repeated(options.releases, Path(name) / "in.jsonl", 0, count)
            command = [
                sys.executable,
                "-m",
                "communique",
                "annotate",
                str(source),
                "-o",
                f"{name}/out.jsonl",
                "--quiet",
            ]
            process = psutil.Popen([*command, "-m", options.model, "-w", "2"])
            peak = 0.0
            while process.poll() is None:
                peak = max(peak, used(process))
                time.sleep(0.2)
            if process.returncode:
                sys.exit(f"annotate ended with exit code {process.returncode}")
        first = first or peak
        print(f"| {count:,} | {peak:,.0f} | {peak / first:.2f} |", flush=True)


def used(process: psutil.Process) -> float:
    """Megabytes of a process and all that it started; pages that several share count once in all."""
    total = 0.0
    for part in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += part.memory_full_info().pss / 1e6
    return total


def repeated(releases: Path, source: Path, least: int, count: int = 0) -> "tuple[Path, int, int]":
    """The releases, as often as it takes to have so many words and releases, each time with ids of their own."""
    records = [json.loads(line) for line in releases.read_text("utf8").splitlines() if line.strip()]
    words = sum(len(record["text"].split()) for record in records)
    times = max(-(-least // words), -(-count // len(records)))
    with source.open("w", encoding="utf8") as stream:
        for number in range(times):
            for record in records:
                stream.write(json.dumps({"id": f"{record['id']}-{number}", "text": record["text"]}) + "\n")
    return source, times * len(records), times * words


if __name__ == "__main__":
    main()
