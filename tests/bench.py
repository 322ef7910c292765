"""What the pipelines cost and find, side by side: a benchmark, not a test.

    python tests/bench.py RELEASES.jsonl [NAME=MODEL...] [--plain PYTHON] [--torch PYTHON]

Each pipeline runs in a process of its own, so that its memory can be told; they take turns, round by round, after a
warm-up and after what they find was compared; the median of the rounds counts. Without models: those that ship and,
where it is trained, minilm under spacy-transformers and in ONNX Runtime with 32 bits. Scores where the releases are
gold. ``--plain`` and ``--torch`` name the Python of fresh environments, of the base install and of the extra [minilm];
pipelines run in the one that has what they need, and its size is told.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("entities", "pledges overlap", "relations strict", "facts", "identity")
FIRST_FACT = """
import sys
from communique.annotate.run import load_model
nlp = load_model(sys.argv[1])
doc = nlp("Korea and Chile sign pact\\nTrade Minister Baek Seo-yun met with Minister Ana Rojas in Lima on May 12, 2026.")
assert doc._.facts
"""


class Worker:
    """A process that holds one pipeline and does what it is told, one line of JSON at a time."""

    def __init__(self, python: str, model: str, releases: Path) -> None:
        command = [python, __file__, "--worker", model, str(releases)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, task: str, **options):
        self.process.stdin.write(json.dumps({"task": task, **options}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a pipeline's process has ended: see above")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def work(model: str, file: Path) -> None:
    """The worker's side: in a base install there is nothing to score with."""
    from communique.annotate.run import annotate_bare, load_model
    from communique.release import Release

    nlp = load_model(model)
    releases = [Release.from_dict(json.loads(line)) for line in file.read_text("utf8").splitlines() if line.strip()]
    texts = [release.text for release in releases]

    def found(**_):
        return [release.to_dict() for release in annotate_bare(nlp, releases)]

    def seconds(repeat, **_):
        start = time.perf_counter()
        for _ in nlp.pipe(texts * repeat):
            pass
        return time.perf_counter() - start

    def encoder_seconds(repeat, **_):
        """Of the transformer alone, on docs that are ready for it."""
        if "transformer" not in nlp.pipe_names:
            return None
        with nlp.select_pipes(disable=nlp.pipe_names[nlp.pipe_names.index("transformer") :]):
            docs = list(nlp.pipe(texts * repeat))
        start = time.perf_counter()
        for _ in nlp.get_pipe("transformer").pipe(docs, batch_size=nlp.batch_size):
            pass
        return time.perf_counter() - start

    def components(**_):
        times = {}
        start = time.perf_counter()
        docs = [nlp.make_doc(text) for text in texts]
        times["tokenizer"] = time.perf_counter() - start
        for name, pipe in nlp.pipeline:
            start = time.perf_counter()
            docs = list(pipe.pipe(docs, batch_size=nlp.batch_size)) if hasattr(pipe, "pipe") else list(map(pipe, docs))
            times[name] = time.perf_counter() - start
        return times

    def memory(**_):
        """Peak, in MB, of all that this process did so far."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    tasks = {f.__name__: f for f in (found, seconds, encoder_seconds, components, memory)}
    for line in sys.stdin:
        options = json.loads(line)
        print(json.dumps(tasks[options.pop("task")](**options)), flush=True)


def first_fact(python: str, model: str) -> float:
    """Seconds from the start of Python to the first fact."""
    start = time.perf_counter()
    subprocess.run([python, "-c", FIRST_FACT, model], check=True, capture_output=True)
    return time.perf_counter() - start


def environment_size(python: str) -> float:
    """MB of the environment that a Python belongs to."""
    return size(Path(python).absolute().parent.parent)


def size(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink()) / 2**20


def model_size(model: str) -> float:
    shipped = ROOT / "pipeline/communique/models" / model
    return size(shipped if shipped.is_dir() else Path(model))


def default_models(stack: ExitStack) -> dict:
    trained = ROOT / "training/minilm/model-best"
    models = {}
    if (trained / "meta.json").exists():
        exact = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "fp32"
        command = [
            sys.executable,
            "-m",
            "communique",
            "export",
            "onnx",
            str(trained),
            str(exact),
            "--precision",
            "fp32",
        ]
        subprocess.run(command, check=True, capture_output=True)
        models = {"spacy-transformers": str(trained), "ONNX fp32": str(exact)}
    return {**models, "ONNX int8": "minilm", "small": "small"}


def needs_torch(model: str) -> bool:
    config = Path(model) / "config.cfg"
    return config.is_file() and "communique_transformer" in config.read_text("utf8")


def differences(a, b) -> str:
    """How many mentions and relations only one of two pipelines has found."""
    counts = [0, 0]
    for x, y in zip(a, b):
        for number, parts in enumerate(zip(marks(x), marks(y))):
            counts[number] += len(parts[0] ^ parts[1])
    return f"{counts[0]} mentions, {counts[1]} relations"


def marks(release):
    mentions = {e["id"]: (e["start_offset"], e["end_offset"], e["label"]) for e in release["entities"]}
    relations = {(r["type"], mentions[r["from_id"]], mentions[r["to_id"]]) for r in release["relations"]}
    return set(mentions.values()), relations


def scores(gold, found):
    """F1 of each layer, or none where the releases are no gold."""
    from communique.annotate.run import load_model
    from communique.bridge import get_schema
    from communique.evaluate.metrics import score_releases
    from communique.release import Release

    if not any(release.mentions for release in gold):
        return None
    result = score_releases(gold, [Release.from_dict(r) for r in found], get_schema(load_model("small")))
    return {layer: result[layer]["f"] for layer in LAYERS}


def machine() -> str:
    try:
        cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text("utf8"))[1]
    except (OSError, TypeError):
        cpu = platform.processor()
    return f"{cpu}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("args", nargs="+", metavar="RELEASES.jsonl [NAME=MODEL...]")
    parser.add_argument("--plain", default=sys.executable)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=20_000, help="least words of a round")
    options = parser.parse_args()
    if options.worker:
        return work(options.args[0], Path(options.args[1]))
    releases = Path(options.args[0])
    with ExitStack() as stack:
        models = dict(m.split("=", 1) for m in options.args[1:]) or default_models(stack)
        pythons = {name: options.torch if needs_torch(model) else options.plain for name, model in models.items()}
        workers = {}
        for name, model in models.items():
            workers[name] = Worker(pythons[name], model, releases)
            stack.callback(workers[name].close)
        starts = {n: statistics.median(first_fact(pythons[n], m) for _ in range(3)) for n, m in models.items()}
        sizes = {name: (environment_size(pythons[name]), model_size(model)) for name, model in models.items()}
        report(releases, workers, starts, sizes, options.rounds, options.words)


def report(file: Path, workers, starts, sizes, rounds: int, least: int) -> None:
    from communique.corpus.exchange import read_gold

    gold = read_gold([file])
    words = sum(len(release.text.split()) for release in gold)
    repeat = -(-least // words)
    print(
        f"{machine()}; {len(gold)} releases, {words} words, {repeat} times a round, median of {rounds} rounds in turns"
    )
    found = {name: worker("found") for name, worker in workers.items()}
    first, *others = workers
    total = [sum(map(len, parts)) for parts in zip(*map(marks, found[first]))]
    print(f"\n{first} found {total[0]} mentions and {total[1]} relations; only one of the two found,")
    for name in others:
        print(f"* {name} or {first}: {differences(found[first], found[name])}")
    whole, alone, parts = ({name: [] for name in workers} for _ in range(3))
    for number in range(rounds + 1):  # the first one warms up
        for name, worker in workers.items():
            times = worker("seconds", repeat=repeat), worker("encoder_seconds", repeat=repeat), worker("components")
            if number:
                for kept, value in zip((whole, alone, parts), times):
                    kept[name].append(value)
    columns = ("words/s", f"times {first}", "encoder alone, words/s", "peak memory, MB", "environment, MB", "model, MB")
    print("\n| pipeline |", " | ".join((*columns, "first fact, s", *LAYERS)), "|")
    print("|---" * (len(columns) + len(LAYERS) + 2) + "|")
    for name, worker in workers.items():
        seconds = statistics.median(whole[name])
        encoder = statistics.median(alone[name]) if alone[name][0] else None
        reached = scores(gold, found[name])
        row = [
            f"{words * repeat / seconds:,.0f}",
            f"{statistics.median(whole[first]) / seconds:.2f}",
            f"{words * repeat / encoder:,.0f}" if encoder else "",
            f"{worker('memory'):.0f}",
            *(f"{value:.0f}" for value in sizes[name]),
            f"{starts[name]:.1f}",
            *(f"{100 * reached[layer]:.1f}" if reached else "" for layer in LAYERS),
        ]
        print(f"| {name} |", " | ".join(row), "|")
    for name, rows in parts.items():
        medians = {part: statistics.median(row[part] for row in rows) for part in rows[0]}
        shares = (f"{part} {100 * value / sum(medians.values()):.0f}" for part, value in medians.items())
        print(f"\n{name}, each component by itself, percent of the time: {', '.join(shares)}")


if __name__ == "__main__":
    main()
