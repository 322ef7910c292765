"""Training: what it says, what it writes, what an interruption leaves, and that a seed gives the same model again."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console
from spacy.util import load_config
from typer.testing import CliRunner

from communique.cli import app
from communique.console import clock
from communique.corpus.exchange import load_tokenizer, read_gold, to_docbin
from communique.errors import Interrupted
from communique.interrupts import interruptible
from communique.loop import Evaluation, Step
from communique.progress import Pace, TrainingProgress, plan_steps
from communique.schema import Schema
from communique.workplace import Workplace, workplace

STEPS = {"training.max_steps": 15, "training.eval_frequency": 5}
# Seconds that a process may take which takes ten where nothing else runs.
PATIENCE = 600


@pytest.fixture(scope="module")
def paths(root, tmp_path_factory):
    """Three short releases to train on, augmented and streamed, and one to score."""
    folder = tmp_path_factory.mktemp("data")
    nlp, _ = load_tokenizer(root / "configs" / "small.cfg")
    scheme = Schema.from_disk(root / "configs" / "schema.cfg")
    gold = sorted(read_gold([root / "corpus" / "dev"]), key=lambda r: len(r.text))
    for name, part in (("train", gold[:3]), ("dev", gold[3:4])):
        to_docbin(part, nlp.tokenizer, scheme).to_disk(folder / f"{name}.spacy")
    return {f"paths.{name}": str(folder / f"{name}.spacy") for name in ("train", "dev")}


def narrowed(config, encoder_width=0):
    """The config with small tables and narrow layers, all of its parts in place."""
    if isinstance(config, dict):
        config = {key: narrowed(value, encoder_width) for key, value in config.items()}
        kind = config.get("@architectures", "")
        if kind.startswith("spacy.MultiHashEmbed"):
            config.update(width=16, rows=[100] * len(config["attrs"]), include_static_vectors=False)
        elif kind.startswith("spacy.MaxoutWindowEncoder"):
            config.update(width=16, depth=1)
        elif kind.startswith("communique.ConcatTok2Vec"):
            config.update(width=16 + encoder_width)
    return config


@pytest.fixture(scope="module")
def config(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.cfg"
    full = load_config(root / "configs" / "small.cfg")
    small = narrowed(full)
    small["initialize"]["vectors"] = None
    type(full)(small).to_disk(path)
    return path


def command(config, output, overrides):
    sets = [part for key, value in overrides.items() for part in ("--set", f"{key}={value}")]
    return ["train", str(config), "--output", str(output), "--corpus", "corpus/registers/persons.json", *sets]


def train(root, config, output, overrides):
    """In this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return CliRunner().invoke(app, command(config, output, overrides))


def start(root, arguments):
    """In a process of its own, with an order of sets of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # tests may run where SIGINT is ignored, and what is ignored is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finish(process):
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + err


def content(folder):
    """Bytes of all files, but for the note of origin, which spaCy's own command doesn't make."""
    files = {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
    for name in files:
        if name.endswith("meta.json"):
            meta = json.loads(files[name])
            meta.pop("communique", None)
            files[name] = json.dumps(meta).encode()
    return files


def log_of(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text("utf8").splitlines()]


@pytest.fixture(scope="module")
def trained(root, config, paths, tmp_path_factory):
    """A training that nothing disturbs: its folder and what it printed."""
    output = tmp_path_factory.mktemp("undisturbed") / "deep" / "model"
    result = train(root, config, output, {**paths, **STEPS})
    assert result.exit_code == 0, result.output
    return output, result.output


def test_lines_for_a_log(trained):
    output, text = trained
    lines = text.splitlines()
    found = [line for line in lines if "score" in line and "gone" in line]
    assert [line.split(" of ")[0].strip() for line in found] == ["0", "5", "10", "15"]
    assert "about" in found[2] and "left" in found[2] and "words/s" in found[2] and "ents_f" in found[2]
    assert any(line.startswith("15 steps in") and "best score" in line for line in lines)
    assert lines[-1] == f"best model: {output}/model-best" and "\x1b" not in text


def test_log_has_one_record_for_each_evaluation(trained):
    output, text = trained
    records = log_of(output)
    assert [r["step"] for r in records] == [0, 5, 10, 15]
    for record in records:
        assert set(record) == {"step", "epoch", "seconds", "losses", "scores", "score"}
        assert {"entities", "relations"} <= set(record["losses"]) and {"ents_f", "rels_f"} <= set(record["scores"])
        numbers = [record["score"], record["seconds"], *record["losses"].values(), *record["scores"].values()]
        assert all(isinstance(n, float) for n in numbers)
    assert records[0]["epoch"] == 0 and records[-1]["epoch"] > 0
    best = max(records, key=lambda r: (r["score"], r["step"]))
    assert f"best score {100 * best['score']:.1f} at step {best['step']}" in text


def test_only_products_are_left_and_no_path_of_the_machine(root, trained, paths):
    output, _ = trained
    assert {p.name for p in output.iterdir()} == {"model-best", "model-last", "log.jsonl", "train.lock"}
    text = (output / "model-best" / "config.cfg").read_text("utf8")
    for path in paths.values():
        text = text.replace(path, "")
    assert str(output.parent.parent) not in text and str(root) not in text and "spacy.ConsoleLogger" in text


def test_one_seed_gives_one_model_the_same_as_stock_spacy(root, config, paths, trained, tmp_path):
    """In another process, with another order of sets. The scores and losses are in the meta."""
    sets = [part for key, value in {**paths, **STEPS}.items() for part in (f"--{key}", value)]
    finish(start(root, ["spacy", "train", config, "--output", tmp_path, *sets]))
    for name in ("model-best", "model-last"):
        want, found = content(trained[0] / name), content(tmp_path / name)
        if name == "model-best":  # ours has its confidences fitted, and the training's words taken out
            for file in ("config.cfg", "vocab/strings.json"):
                del want[file], found[file]
        assert len(want) > 10 and found == want


def test_another_seed_gives_another(root, config, paths, trained, tmp_path):
    result = train(root, config, tmp_path, {**paths, "training.max_steps": 1, "system.seed": 1})
    assert result.exit_code == 0 and log_of(tmp_path)[0]["losses"] != log_of(trained[0])[0]["losses"]


def test_one_seed_gives_one_transformer_pipeline(root, tiny_encoder, paths, tmp_path):
    full = load_config(root / "configs" / "minilm.cfg")
    small = narrowed(full, encoder_width=16)
    transformer = small["components"]["transformer"]["model"]
    transformer.update(name=str(tiny_encoder), package=None)
    transformer["get_spans"]["size"] = 32  # its word pieces are letters, of which it takes 512
    type(full)(small).to_disk(tmp_path / "tiny.cfg")
    options = {**paths, "training.max_steps": 4, "training.eval_frequency": 4}
    other = start(root, ["communique", *command(tmp_path / "tiny.cfg", tmp_path / "other", options)])
    result = train(root, tmp_path / "tiny.cfg", tmp_path / "ours", options)
    finish(other)
    assert result.exit_code == 0, result.output
    for name in ("model-best", "model-last"):
        want = content(tmp_path / "ours" / name)
        assert "transformer/model" in want and content(tmp_path / "other" / name) == want
    for a, b in zip(log_of(tmp_path / "other"), log_of(tmp_path / "ours"), strict=True):
        for record in (a, b):
            del record["seconds"], record["scores"]["speed"]
        assert a == b


def until_it_trains(process, output):
    """Wait for the first evaluation's record."""
    log, end = output / "partial" / "log.jsonl", time.monotonic() + PATIENCE
    while not (log.exists() and log.read_text("utf8").count("\n") > 1):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interruption_leaves_the_old_model_and_the_next_run_starts_clean(
    root, config, paths, trained, tmp_path, number, code
):
    old = tmp_path / "model-best"
    old.mkdir()
    (old / "meta.json").write_text("{}", "utf8")
    (tmp_path / "log.jsonl").write_text("old\n", "utf8")
    before = content(tmp_path)
    long = {**paths, "training.max_steps": 5000, "training.eval_frequency": 2}
    process = start(root, ["communique", *command(config, tmp_path, long)])
    try:
        until_it_trains(process, tmp_path)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == code
    if number == signal.SIGINT:
        assert errors == f"interrupted by SIGINT: the models in {tmp_path} are as they were before\n"
    assert {k: v for k, v in content(tmp_path).items() if k in before} == before
    assert (tmp_path / "partial").is_dir() and not (tmp_path / "model-last").exists()
    result = train(root, config, tmp_path, {**paths, **STEPS})
    assert result.exit_code == 0 and "was interrupted: starting clean" in result.output
    assert content(tmp_path / "model-best") == content(trained[0] / "model-best")
    assert not (tmp_path / "partial").exists() and len(log_of(tmp_path)) == 4


def test_sigterm_ends_with_its_own_code_even_where_the_first_one_was_swallowed():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="interrupted by SIGTERM: all is well") as caught, interruptible() as stop:
        stop.note = "all is well"
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        stop.check()
        pytest.fail("went on")
    assert caught.value.exit_code == 143 and signal.getsignal(signal.SIGTERM) is before


def test_a_signal_waits_while_the_model_is_put_in_place_and_no_longer():
    done = []
    with pytest.raises(Interrupted, match="the model is there"), interruptible() as stop:
        with stop.held("the model is there"):
            signal.raise_signal(signal.SIGTERM)
            done.append(1)
        done.append(2)
    assert done == [1]


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_old_model_is_replaced_whole_and_dated_to_the_start(root, config, paths, tmp_path):
    """Dated so that make trains again where the config has changed in the meantime."""
    (tmp_path / "model-best").mkdir()
    (tmp_path / "model-best" / "stray").touch()
    (tmp_path / "scores.json").write_text("kept", "utf8")
    before = time.time()
    result = train(root, config, tmp_path, {**paths, "training.max_steps": 1, "training.eval_frequency": 1})
    assert result.exit_code == 0 and "interrupted" not in result.output
    assert not (tmp_path / "model-best" / "stray").exists() and (tmp_path / "scores.json").read_text() == "kept"
    dated = (tmp_path / "model-best" / "meta.json").stat().st_mtime
    assert before - 1 < dated < (tmp_path / "model-best" / "config.cfg").stat().st_mtime


def test_a_second_training_is_refused(root, config, paths, tmp_path):
    import fcntl

    with open(tmp_path / "train.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 123, since noon\n")
        lock.flush()
        result = train(root, config, tmp_path, {**paths, **STEPS})
    assert result.exit_code == 2 and not (tmp_path / "model-best").exists()
    assert "another training is at work there (process 123, since noon)" in result.output.replace("\n", " ")
    with workplace(tmp_path) as place:  # the file is there still, but its process holds it no more
        assert place.found == "" and place.folder.is_dir()
    assert not place.folder.exists()


def test_a_stop_while_the_model_is_put_in_place_is_made_good(tmp_path):
    partial = tmp_path / "partial"
    for folder in (partial / "model-best", partial / "model-last", tmp_path / "model-best", partial / "old-model-last"):
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(folder.name, "utf8")
    (partial / "model-best" / "meta.json").write_text("new", "utf8")
    (tmp_path / "log.jsonl").write_text("new", "utf8")
    (partial / "finished").touch()
    place = Workplace(tmp_path)
    assert "had finished" in place.found and not list(place.folder.iterdir())
    assert (tmp_path / "model-best" / "meta.json").read_text() == "new"
    assert (tmp_path / "log.jsonl").read_text() == "new" and (tmp_path / "model-last").is_dir()
    place.leave()
    assert not partial.exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"training.dropout": "much"}, "dropout"),
        ({"paths.train": "no-such-file.spacy"}, "no-such-file.spacy"),
        ({"training.optimizer.@optimizers": "Nadam.v9"}, "Nadam.v9"),
    ],
)
def test_what_cannot_be_used_is_named(root, config, paths, tmp_path, options, message):
    result = train(root, config, tmp_path, {**paths, **STEPS, **options})
    assert result.exit_code == 2 and message in result.output and "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit) and not (tmp_path / "partial").exists()


def test_a_gpu_that_is_not_there(root, config, paths, tmp_path):
    from thinc.util import gpu_is_available

    if gpu_is_available():
        pytest.skip("there is one")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        result = CliRunner().invoke(app, [*command(config, tmp_path, paths), "--gpu-id", "0"])
    assert result.exit_code == 2 and "can't train on GPU 0" in result.output


def steps(seconds, evaluation_seconds, frequency, words=100):
    """Endless steps, all alike."""
    now, number = 0.0, 0
    while True:
        evaluated = number % frequency == 0
        now += seconds + (evaluation_seconds if evaluated else 0)
        evaluation = Evaluation({}, {"ents_f": 0.25}, number / 1000, True) if evaluated else None
        yield Step(number, 0, (number + 1) * words, now, evaluation)
        number += 1


def test_pace():
    pace = Pace([1.0] * 101, 20)
    for step in steps(0.5, 3.0, 20):
        pace.add(step)
        if step.number == 9:
            assert pace.left is None
        if step.number == 30:
            break
    assert pace.words_per_second == pytest.approx(200)
    assert pace.left == pytest.approx(70 * 0.5 + 4 * 3.0)


def test_pace_knows_that_batches_grow():
    sizes = {"@schedules": "compounding.v1", "start": 100, "stop": 200, "compound": 2.0, "t": 0.0}
    plan = plan_steps({"max_steps": 40, "batcher": {"size": sizes}})
    assert len(plan) == 41 and plan[:3] == [100, 200, 200]
    assert plan_steps({"max_steps": 2, "batcher": {"size": 7}}) == [7, 7, 7]
    assert plan_steps({"max_steps": 0, "batcher": {"size": 7}}) == []
    assert plan_steps({"max_steps": 1, "batcher": {}}) == [1, 1]
    pace = Pace([*[1.0] * 20, *[2.0] * 21], 40)
    for step in steps(0.5, 0.0, 40):
        pace.add(step)
        if step.number == 19:
            break
    assert pace.left == pytest.approx(21 * 1.0)


def shown(training, terminal, last):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=80)
    settings = {"max_steps": 100, "eval_frequency": 50, "batcher": {}, "patience": 0, "max_epochs": -1}
    with TrainingProgress(console, {**settings, "score_weights": {"ents_f": 1.0, "rels_f": None}, **training}) as show:
        for step in steps(0.5, 3.0, 50):
            show.show(step)
            if step.number == last:
                show._bar.refresh()
                return show, file.getvalue()


def test_a_bar_on_a_terminal_and_none_in_a_log():
    show, text = shown({}, terminal=True, last=60)
    for part in ("60/100", "200 words/s", "about 0:23 left", "score 5.0", "━"):
        assert part in text
    assert show.summary() == "60 steps in 36 s, best score 5.0 at step 50"
    _, text = shown({}, terminal=False, last=60)
    lines = text.splitlines()
    assert [line.split(" of ")[0].strip() for line in lines] == ["0", "10", "50"]
    assert lines[1].endswith("about 0:51 left") and lines[2].endswith("0:32 gone, about 0:28 left")
    assert "ents_f 25.0" in lines[0] and "rels_f" not in text


def test_how_long_is_said_only_where_it_is_known():
    assert "at most" in shown({"patience": 30}, terminal=False, last=60)[1]
    _, text = shown({"max_steps": 0}, terminal=False, last=60)
    assert "left" not in text and "50 of many steps" in text


def test_clock():
    assert [clock(n) for n in (0.4, 61, 3600, 7325.6)] == ["0:00", "1:01", "1:00:00", "2:02:06"]
