"""The same on a Ray cluster: two actors on this machine."""

import json
import threading
import time

import psutil
import pytest

pytest.importorskip("ray")

from rich.console import Console

from communique.annotate.command import Options, Show, run
from communique.annotate.ray_engine import RayEngine
from communique.choices import Engines
from communique.errors import ConfigError

BANDS = ["Red Owls", "Tin Cats", "Blue Foxes"]


@pytest.fixture(scope="module")
def cluster():
    """One for all tests of the file: starting it takes longer than they do."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def source(path, count):
    lines = [
        json.dumps(
            {"id": f"r{i}", "text": f"{BANDS[i % 3]} played Moonlight in Oslo\nThe {BANDS[i % 2]} played.", "n": i}
        )
        for i in range(count)
    ]
    lines[40:40] = ["{", '{"id": "r3", "text": "twice"}']
    path.write_text("\n".join(lines), "utf8")
    return path


def annotate(source, output, model, engine, batch=8):
    config = output.with_suffix(".cfg")
    config.write_text(f"[batch]\nreleases = {batch}\n[progress]\ncommit_seconds = 0\n", "utf8")
    options = Options([str(source)], str(output), model, engine=engine, workers=2)
    return run(options, config, Show(Console(quiet=True)))


def test_the_same_records_as_on_one_machine_and_either_goes_on(cluster, model, tmp_path):
    path, out = source(tmp_path / "in.jsonl", 160), tmp_path / "ray.jsonl"
    local = annotate(path, tmp_path / "local.jsonl", model, Engines.local).summary
    assert annotate(source(tmp_path / "in.jsonl", 50), out, model, Engines.local).summary.new == 50
    found = annotate(source(tmp_path / "in.jsonl", 160), out, model, Engines.ray).summary
    assert (found.releases, found.new, found.refused) == (local.releases, 110, local.refused)
    assert out.read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    # nothing is left to do, and so no actor is started
    begin = time.monotonic()
    assert annotate(path, out, model, Engines.ray).summary.new == 0
    assert time.monotonic() - begin < 5


def test_a_killed_actor_costs_nothing(cluster, model, tmp_path):
    path = source(tmp_path / "in.jsonl", 500)
    annotate(path, tmp_path / "local.jsonl", model, Engines.local)
    killed = []

    def kill():
        limit = time.monotonic() + 120
        while not killed and time.monotonic() < limit:
            time.sleep(0.05)
            if (tmp_path / "ray.jsonl.progress-wal").exists() and (
                tmp_path / "ray.jsonl.progress-wal"
            ).stat().st_size > 60_000:
                actors = [
                    p
                    for p in psutil.process_iter(["name", "cmdline"])
                    if "MapWorker" in "".join(p.info["cmdline"] or [])
                ]
                for actor in actors[:1]:
                    actor.kill()
                    killed.append(actor.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    told = annotate(path, tmp_path / "ray.jsonl", model, Engines.ray)
    thread.join()
    assert killed and told.summary.new == 500
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()


def test_a_model_that_does_not_load(cluster, model, tmp_path):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "config.cfg").write_text("[nlp]\n", "utf8")
    with pytest.raises(Exception, match=r"no model to load") as raised:
        annotate(source(tmp_path / "in.jsonl", 30), tmp_path / "out.jsonl", str(broken), Engines.ray)
    assert "\n" not in str(raised.value)


def test_without_ray(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ConfigError, match=r"--engine ray needs Ray.*communique\[ray\]"):
        RayEngine(None, None)


def test_the_command_that_the_docs_show(root, model, tmp_path):
    """On a cluster that it starts itself."""
    import shlex
    import subprocess
    import sys

    (line,) = [
        x for x in (root / "docs/cluster.md").read_text("utf8").splitlines() if x.startswith("communique annotate")
    ]
    (tmp_path / "releases").mkdir()
    source(tmp_path / "releases" / "in.jsonl", 30)
    command = [sys.executable, "-m", *shlex.split(line), "--model", model]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1 and "30 releases" in result.stderr, result.stderr
    assert sorted(path.stem for path in (tmp_path / "out/all.parquet").iterdir()) == [
        "facts",
        "mentions",
        "relations",
        "releases",
    ]
