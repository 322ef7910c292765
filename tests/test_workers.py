"""The pool of processes: what annotate gives, whatever happens to a process."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from communique.annotate.run import annotate, load_model
from communique.annotate.sinks import dump
from communique.errors import Defect
from communique.release import Release
from communique.workers import Annotated, ModelLoad, Task, WorkerError, WorkerPool, share_cores
from conftest import BAND_TEXTS, band_releases
from poison import Poisoned

LIMITS = {"release_seconds": 20.0, "start_seconds": 60.0}


@pytest.fixture(scope="module")
def folder(bands, tmp_path_factory):
    path = tmp_path_factory.mktemp("bands") / "model"
    bands.to_disk(path)
    return path


@pytest.fixture(scope="module")
def shared(folder):
    events = []
    with WorkerPool(Poisoned(str(folder)), 2, on_event=events.append, **LIMITS) as pool:
        yield pool, events


@pytest.fixture
def pool(shared):
    pool, events = shared
    until(lambda: pool.alive == pool.size)
    del events[:]
    return pool


@pytest.fixture
def events(pool, shared):
    return shared[1]


def until(condition, seconds=90.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def releases():
    return [Release(r.id, r.text, meta={"number": i}) for i, r in enumerate(band_releases())]


def release(text, name="one"):
    return Release(name, f"{BAND_TEXTS[0].split('(')[0][1:-1]}\n{text}")


def tasks(*texts):
    return [Task(release(text, f"r{i}")) for i, text in enumerate(texts)]


def codes(results):
    return [r.code if isinstance(r, Defect) else "ok" for r in results]


def gone(pid, seconds=10.0):
    """Whether a process ends within some seconds; one that nobody has waited for has ended too."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_results_are_those_of_annotate_to_the_byte(pool, folder):
    nlp = load_model(folder)
    items = releases()
    for minimum in (0.0, 0.9):
        results = pool.submit([Task(r, minimum) for r in items]).result(30)
        expected = list(annotate(nlp, items, min_confidence=minimum))
        assert [r.line.decode() + "\n" for r in results] == [dump(r) for r in expected]
        assert [r.release() for r in results] == expected
    assert expected[0].mentions and expected[0].meta == {"number": 0}


def test_order_is_kept_over_many_batches(pool):
    futures = [pool.submit([Task(Release(f"{i}-{j}", "Red Owls\nplayed")) for j in range(3)]) for i in range(20)]
    assert [[r.id for r in f.result(30)] for f in futures] == [[f"{i}-{j}" for j in range(3)] for i in range(20)]
    assert pool.submit([]).result(0) == []


def test_what_the_processes_hold(pool, bands):
    assert pool.alive == pool.size == 2
    assert pool.pipeline.meta["name"] == bands.meta["name"]
    assert pool.pipeline.schema["entities"]["labels"] == ["BAND", "SONG", "CITY"]
    assert pool.pipeline.schema["spans"] == {"key": "plans", "labels": ["PLAN"]}


def test_a_release_on_which_the_model_fails_costs_no_other(pool):
    results = pool.submit(tasks("good", "RAISE", "good")).result(30)
    assert codes(results) == ["ok", "model", "ok"]
    assert isinstance(results[0], Annotated) and "the model failed: ValueError" in results[1].message


def test_a_killed_process_costs_nothing(pool, events):
    before = pool.pids
    futures = [pool.submit(tasks("PAUSE", "good")) for _ in range(2)]
    time.sleep(0.4)  # both are at their pause
    os.kill(before[0], signal.SIGKILL)
    assert [codes(f.result(60)) for f in futures] == [["ok", "ok"]] * 2
    until(lambda: pool.alive == 2)
    assert [e.kind for e in events] == ["died", "ready"] and events[0].pid == before[0]
    assert "-9" in events[0].reason
    assert pool.alive == 2 and before[0] not in pool.pids and before[1] in pool.pids


def test_a_process_killed_while_idle_is_replaced(pool, events):
    os.kill(pool.pids[1], signal.SIGKILL)
    until(lambda: [e.kind for e in events] == ["died", "ready"])
    assert codes(pool.submit(tasks("good")).result(30)) == ["ok"]


def test_a_poisonous_release_is_found_and_costs_no_other(pool, events):
    poisoned = pool.submit(tasks("good", "good", "CRASH", "good"))
    while not poisoned.done():
        assert codes(pool.submit(tasks("good")).result(60)) == ["ok"]
        assert pool.alive >= 1  # one process at a time is put at risk
        time.sleep(0.05)
    results = poisoned.result(60)
    assert codes(results) == ["ok", "ok", "crashed", "ok"]
    assert [r.id for r in results if isinstance(r, Annotated)] == ["r0", "r1", "r3"]
    assert "exit code 3" in results[2].message and results[2].message.startswith("r2: ")
    assert [e.kind for e in events].count("died") == 3


def test_a_release_over_its_time_is_found_and_costs_no_other(folder):
    events = []
    with WorkerPool(Poisoned(str(folder)), 1, release_seconds=2.0, start_seconds=60.0, on_event=events.append) as pool:
        results = pool.submit(tasks("good", "SLEEP", "good")).result(60)
        assert codes(results) == ["ok", "timeout", "ok"]
        assert "more than 2 seconds" in results[1].message
        assert [e.kind for e in events].count("timeout") == 2
        # a batch may take longer than one release has: then its releases are read one by one
        assert codes(pool.submit(tasks("PAUSE", "PAUSE", "PAUSE")).result(60)) == ["ok"] * 3


def stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_a_stopped_process_keeps_nobody_else_waiting(folder):
    """Batches longer than a pipe holds: whoever sends them waits until they are read."""
    events = []
    with WorkerPool(Poisoned(str(folder)), 2, release_seconds=6.0, start_seconds=60.0, on_event=events.append) as pool:
        (pid, _) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        until(lambda: stopped(pid))
        batches = [[Task(Release(f"{i}", "Red Owls\nplayed", meta={"k": "x" * 1_500_000}))] for i in range(6)]
        futures = [pool.submit(batch) for batch in batches]
        results = [future.result(60)[0] for future in futures]
        assert sorted(codes(results)) == ["ok"] * 5 + ["timeout"]
        assert all(r.release().meta["k"] == "x" * 1_500_000 for r in results if isinstance(r, Annotated))
        until(lambda: pool.alive == 2)
        assert pid not in pool.pids and gone(pid)
        assert [(e.kind, e.pid) for e in events if e.kind != "ready"] == [("timeout", pid)]
        os.kill(pool.pids[0], signal.SIGSTOP)  # closing waits for none that does not listen
        pool.submit(batches[0]), pool.submit(batches[1])


def test_a_process_that_stops_amid_its_answer_keeps_nobody_else_waiting(folder):
    with WorkerPool(Poisoned(str(folder)), 2, release_seconds=6.0, start_seconds=60.0) as pool:
        half = pool.submit(tasks("HALF"))
        assert [codes(pool.submit(tasks("good")).result(60)) for _ in range(4)] == [["ok"]] * 4
        assert codes(half.result(60)) == ["timeout"]
        until(lambda: pool.alive == 2)
        assert codes(pool.submit(tasks("good")).result(60)) == ["ok"]


def test_a_cancelled_batch_is_not_read(folder):
    with WorkerPool(Poisoned(str(folder)), 1, **LIMITS) as pool:
        first = pool.submit(tasks("PAUSE"))
        second, third = pool.submit(tasks("SLEEP")), pool.submit(tasks("good"))
        assert second.cancel()
        assert codes(third.result(10)) == ["ok"] and first.done()


def test_a_model_that_cannot_be_loaded_is_told_at_once(tmp_path):
    begin = time.monotonic()
    with pytest.raises(WorkerError, match="no model to load"):
        WorkerPool(ModelLoad(str(tmp_path / "none")), 2, **LIMITS).start()
    assert time.monotonic() - begin < 30


def test_a_process_that_cannot_load_in_time(folder):
    pool = WorkerPool(Poisoned(str(folder)), 1, release_seconds=1.0, start_seconds=0.05)
    with pytest.raises(WorkerError, match=r"more than 0\.05 seconds"):
        pool.start()


def test_a_model_that_is_lost_later_ends_the_pool(folder, tmp_path):
    events = []
    broken = tmp_path / "broken"
    with WorkerPool(Poisoned(str(folder), str(broken)), 1, on_event=events.append, **LIMITS) as pool:
        future = pool.submit(tasks("SLEEP"))
        time.sleep(0.3)
        broken.touch()
        os.kill(pool.pids[0], signal.SIGKILL)
        with pytest.raises(WorkerError, match="the model is broken"):
            future.result(60)
        with pytest.raises(WorkerError, match="the model is broken"):
            pool.submit(tasks("good"))
        assert [e.kind for e in events] == ["ready", "died", "failed", "failed", "failed", "broken"]


def test_close_ends_what_runs_and_what_waits(folder):
    pool = WorkerPool(Poisoned(str(folder)), 1, **LIMITS)
    pool.start()
    (pid,) = pool.pids
    futures = [pool.submit(tasks("SLEEP")), pool.submit(tasks("good"))]
    time.sleep(0.3)
    pool.close()
    pool.close()
    assert wait(futures, 5).not_done == set()
    assert all(isinstance(f.exception(), WorkerError) for f in futures)
    assert gone(pid)
    with pytest.raises(WorkerError, match="closed"):
        pool.submit(tasks("good"))
    WorkerPool(Poisoned(str(folder)), 1, **LIMITS).close()  # one that was never started


PARENT = """
import sys, time
from communique.workers import Task, WorkerPool
from communique.release import Release
from poison import Poisoned

if __name__ == "__main__":
    pool = WorkerPool(Poisoned(sys.argv[1]), 2, release_seconds=60, start_seconds=60)
    pool.start()
    pool.submit([Task(Release("a", "Red Owls SLEEP"))])
    time.sleep(0.3)
    print(*pool.pids, flush=True)
    time.sleep(60 if sys.argv[2] == "wait" else 0)
"""


@pytest.mark.parametrize("end", ["killed", "exits"])
def test_no_process_outlives_its_parent(folder, tmp_path, end):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    args = [sys.executable, str(script), str(folder), "wait" if end == "killed" else "exit"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as parent:
        pids = [int(p) for p in parent.stdout.readline().split()]
        if end == "killed":
            parent.kill()
        assert parent.wait(20) == (-signal.SIGKILL if end == "killed" else 0)
    assert len(pids) == 2 and all(gone(pid) for pid in pids)


def test_a_script_without_a_guard_is_told(folder, tmp_path):
    """Processes that are spawned import the script that made the pool, which then makes another."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.replace('__name__ == "__main__"', "True"))
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    args, env = [sys.executable, str(script), str(folder), "exit"], {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(args, capture_output=True, text=True, env=env, timeout=50)
    assert result.returncode == 1 and "ended with exit code 1 while it loaded the model" in result.stderr
    assert "if __name__ == '__main__'" in result.stderr


def test_the_processes_share_the_cores():
    cores = len(os.sched_getaffinity(0))
    assert share_cores(None) == (cores, 1)
    assert share_cores(1) == (1, cores)
    assert share_cores(10 * cores) == (10 * cores, 1)


def test_threads_of_a_process(folder):
    """Numeric libraries get one thread each: the environment is set before they are imported."""
    with WorkerPool(Poisoned(str(folder)), 1, **LIMITS) as pool:
        status = Path(f"/proc/{pool.pids[0]}/status").read_text()
    threads = int(status.split("Threads:")[1].split()[0])
    assert threads <= 3  # its own, the one that watches the parent, one for slack
