"""Runs over many releases: nothing is lost, nothing is done twice, and the output is always the same."""

import gzip
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random

import psutil
import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from communique.annotate import command, engines, sources
from communique.annotate.checkpoint import Checkpoint
from communique.annotate.command import Options, Show
from communique.annotate.engines import LocalEngine
from communique.annotate.settings import DEFAULTS, Settings
from communique.annotate.streams import Tally
from communique.annotate.terminal import Terminal
from communique.bridge import get_schema
from communique.cli import app
from communique.errors import Defect
from communique.release import Release
from communique.settings import load_settings
from communique.workers import Pipeline, Task, _annotate
from conftest import train_bands
from poison import Poisoned

BANDS = ["Red Owls", "Tin Cats", "Blue Foxes"]
SONGS = ["Moonlight", "Rainfall"]
CITIES = ["Lisbon", "Oslo", "Madrid"]


def text(number, lines=1):
    random = Random(number)
    band, song, city = (random.choice(names) for names in (BANDS, SONGS, CITIES))
    more = [f"The {random.choice(BANDS)} played with {random.choice(BANDS)}." for _ in range(lines)]
    return "\n".join([f"{band} played {song} in {city}", *more])


def records(count, start=0):
    return [
        {"id": f"r{i}", "text": text(i), "date": "2026-01-01", "nested": {"n": [i, None, 0.5]}}
        for i in range(start, start + count)
    ]


def write(path, data):
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in data))
    return path


def read(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return [json.loads(line) for line in data.splitlines()]


class Broken(BaseException):
    """Raised in the middle of a run: nobody on the way may take it for an error of his own."""


class InProcess:
    """An engine without processes: quick, and it breaks off where it is told to."""

    read = 0
    breaks_at = None

    def __init__(self, nlp):
        self.nlp = nlp

    def annotate(self, batches, started):
        told = False
        for batch in batches:
            if not told:
                started(Pipeline("bands", {}, get_schema(self.nlp).to_dict()))
                told = True
            InProcess.read += len(batch)
            if InProcess.breaks_at is not None and InProcess.read > InProcess.breaks_at:
                raise Broken
            yield _annotate(self.nlp, [Task(release) for release in batch])


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other") / "bands"
    train_bands(3).to_disk(folder)
    return str(folder)


@pytest.fixture
def in_process(bands, monkeypatch):
    monkeypatch.setattr(command, "LocalEngine", lambda settings, on_event: InProcess(bands))
    monkeypatch.setattr(InProcess, "breaks_at", None)
    monkeypatch.setattr(InProcess, "read", 0)


@pytest.fixture
def annotate(model, tmp_path):
    """Runs the command; returns its result, with what ``--json`` told."""

    def run(*args, code=0, told=True, name=model):
        args = [str(arg) for arg in args]
        result = CliRunner().invoke(app, ["annotate", *args, "-m", name, *(["--json"] if told else [])])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        if told and code in (0, 1):
            result.told = json.loads(next(line for line in result.output.splitlines() if line.startswith("{")))
        return result

    return run


# any source to any sink


def parquet(path, data):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_pylist(data), path)


SOURCES = {
    "in.jsonl": write,
    "in.jsonl.gz": lambda path, data: path.write_bytes(gzip.compress(write(path, data).read_bytes())),
    "in.jsonl.zst": lambda path, data: path.write_bytes(zstandard.compress(write(path, data).read_bytes())),
    "in.parquet": parquet,
}
SINKS = ("out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet", "out.sqlite")


def tables(path):
    """The rows of each table of an output, whatever its format."""
    from communique.annotate.tables import TABLES, rows

    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        found = {name: pq.read_table(path / f"{name}.parquet").to_pylist() for name in TABLES}
        return {name: [tuple(row.values()) for row in found[name]] for name in TABLES}
    if path.suffix == ".sqlite":
        with sqlite3.connect(path) as database:
            return {name: database.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall() for name in TABLES}
    found = {name: [] for name in TABLES}
    for record in read(path):
        for name, some in rows(record).items():
            found[name] += some
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_any_source_to_any_sink(source, annotate, in_process, tmp_path):
    data = records(40)
    SOURCES[source](tmp_path / source, data)
    found = {}
    for sink in SINKS:
        told = annotate(tmp_path / source, "-o", tmp_path / sink).told
        assert told["releases"] == told["new"] == 40 and told["facts"] > 40
        found[sink] = tables(tmp_path / sink)
    assert all(found[sink] == found[SINKS[0]] for sink in SINKS)
    assert [(row[0], row[4], json.loads(row[5])) for row in found[SINKS[0]]["releases"]] == [
        (r["id"], r["text"], {"nested": r["nested"]}) for r in data
    ]
    assert all(found[SINKS[0]].values())


def test_tables_are_read_as_releases_again(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", records(5))
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.parquet")
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "first.jsonl")
    annotate(tmp_path / "out.parquet", "-o", tmp_path / "second.jsonl")
    assert (tmp_path / "first.jsonl").read_bytes() == (tmp_path / "second.jsonl").read_bytes()


def test_formats_by_option(annotate, in_process, tmp_path):
    write(tmp_path / "in.data", records(3))
    annotate(tmp_path / "in.data", "--from", "jsonl", "-o", tmp_path / "out.data", "--format", "sqlite")
    with sqlite3.connect(tmp_path / "out.data") as database:
        assert database.execute("SELECT count(*) FROM releases").fetchone() == (3,)
    assert (
        "--from csv: write jsonl, listing" in annotate(tmp_path / "in.data", "--from", "csv", "-o", "x", code=2).output
    )
    result = annotate(tmp_path / "in.data", "-o", tmp_path / "y", "--format", "csv", code=2)
    assert "--format csv: write jsonl, parquet, sqlite" in result.output
    assert "only JSON lines" in annotate(tmp_path / "in.data", "-o", "-", "--format", "sqlite", code=2).output


def test_the_sqlite_tables_answer_questions(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", [{"id": "a", "text": "Red Owls played Moonlight in Lisbon\nThe Owls played."}])
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.db")
    with sqlite3.connect(tmp_path / "out.db") as database:
        found = database.execute("SELECT head, tail, sentence FROM facts WHERE type = 'PLAYED'").fetchall()
        assert ("Red Owls", "Moonlight", "Red Owls played Moonlight in Lisbon") in [
            (h, t, s.strip()) for h, t, s in found
        ]
        (mention,) = database.execute("SELECT start_offset, end_offset FROM mentions WHERE text = 'Lisbon'").fetchall()
        assert mention == (29, 35)


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Owls play | The Label</title>
<meta property="og:title" content="Owls play"><meta property="article:published_time" content="2026-03-02T09:00:00+09:00">
<link rel="canonical" href="https://label.example/press/12"></head><body><nav><a href="/">Home</a></nav><main><h1>Owls play</h1>
<article><p>Red Owls played <b>Moonlight</b> in&nbsp;Lisbon &amp; Oslo. They will record Rainfall in the spring.</p>
<p>The Tin Cats played with Blue Foxes in Madrid, and the audience sang along for an hour.</p></article></main>
<footer>Copyright The Label</footer><script>track("Blue Foxes in Oslo")</script></body></html>"""
FEED = """<?xml version="1.0" encoding="utf-8"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/">
<channel><title>The Label</title><link>https://label.example</link><description>x</description>
<item><title>Owls &amp; Cats</title><link>https://label.example/1</link><guid>press-1</guid>
<pubDate>Mon, 02 Mar 2026 01:00:00 +0900</pubDate><description>short</description>
<content:encoded><![CDATA[<p>Red Owls played <b>Moonlight</b>.</p><p>Tin Cats in Oslo.</p><script>x()</script>]]></content:encoded></item>
<item><title>Foxes</title><link>https://label.example/2</link><description>Blue Foxes in Madrid &amp; Oslo</description></item>
<item><title>Nothing</title><link>https://label.example/3</link></item></channel></rss>"""
ATOM = """<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>The Label</title>
<entry><id>urn:1</id><title>Owls</title><published>2026-03-02T23:30:00-05:00</published><summary>Red Owls in Oslo</summary></entry></feed>"""


def test_web_pages_and_feeds(annotate, in_process, tmp_path):
    pytest.importorskip("trafilatura"), pytest.importorskip("feedparser")
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "a-page.html").write_text(PAGE, "utf8")
    (folder / "b-feed.rss").write_text(FEED, "utf8")
    (folder / "c-feed.xml").write_text(ATOM, "utf8")
    (folder / "d-empty.html").write_text("<html><body><script>x()</script></body></html>", "utf8")
    (folder / "e-config.xml").write_text("<config><a/></config>", "utf8")
    result = annotate(folder, "-o", tmp_path / "out.jsonl", code=1)
    page, first, second, atom = read(tmp_path / "out.jsonl")
    assert (page["id"], page["title"], page["date"]) == ("a-page", "Owls play", "2026-03-02")
    assert page["url"] == "https://label.example/press/12"
    assert page["text"].startswith("Owls play\nRed Owls played Moonlight in Lisbon & Oslo.")
    assert not any(word in page["text"] for word in ("Home", "Copyright", "track", "<"))
    assert (first["id"], first["date"], first["source"]) == ("press-1", "2026-03-02", "The Label")
    assert first["text"] == "Owls & Cats\nRed Owls played Moonlight.\nTin Cats in Oslo."
    assert (second["id"], second["text"]) == ("https://label.example/2", "Foxes\nBlue Foxes in Madrid & Oslo")
    assert (atom["id"], atom["date"]) == ("urn:1", "2026-03-02")
    refused = read(tmp_path / "out.jsonl.refused.jsonl")
    assert [(Path(r["file"]).name, r["code"]) for r in refused] == [
        ("b-feed.rss", "body"),
        ("d-empty.html", "html"),
        ("e-config.xml", "feed"),
    ]
    assert result.told["refused_by_code"] == {"body": 1, "feed": 1, "html": 1}


@pytest.mark.parametrize(
    "library, name", [("trafilatura", "a.html"), ("feedparser", "a.rss"), ("pyarrow", "a.parquet")]
)
def test_what_is_not_installed_is_told(annotate, in_process, tmp_path, monkeypatch, library, name):
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / name).write_text(PAGE, "utf8")
    annotate(tmp_path / name, "-o", tmp_path / "out.jsonl", code=1)
    (refused,) = read(tmp_path / "out.jsonl.refused.jsonl")
    assert refused["code"] == "extra" and library in refused["message"] and "pip install" in refused["mend"]


def test_parquet_values(annotate, in_process, tmp_path):
    import datetime
    import decimal

    rows = [
        {
            "text": text(0),
            "date": datetime.date(2026, 1, 2),
            "price": decimal.Decimal("1.10"),
            "at": datetime.datetime(2026, 1, 2, 3, 4),
        },
        {"text": text(1), "data": b"\x00\x01"},
        {"text": None},
    ]
    parquet(
        tmp_path / "in.parquet",
        [{"text": None, "date": None, "price": None, "at": None, "data": None, **row} for row in rows],
    )
    annotate(tmp_path / "in.parquet", "-o", tmp_path / "out.jsonl", code=1)
    (found,) = read(tmp_path / "out.jsonl")
    assert found["id"] == "in-1" and found["date"] == "2026-01-02"
    assert (found["price"], found["at"]) == ("1.10", "2026-01-02T03:04:00")
    assert [(r["line"], r["code"]) for r in read(tmp_path / "out.jsonl.refused.jsonl")] == [(2, "value"), (3, "record")]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    result = annotate(tmp_path / "bad.parquet", "-o", tmp_path / "bad.jsonl", code=1)
    assert result.told["refused_by_code"] == {"parquet": 1}


def test_what_python_can_not_hold_costs_its_row(annotate, in_process, tmp_path):
    pa = pytest.importorskip("pyarrow")
    days = pa.array([1, 2**31 - 1, 3, 4], pa.int32()).cast(pa.date32())
    bad = pa.Array.from_buffers(pa.utf8(), 4, pa.array([b"a", b"b", b"\xff", b"d"], pa.binary()).buffers())
    table = pa.table({"id": list("abcd"), "text": [text(i) for i in range(4)], "day": days, "note": bad})
    pa.parquet.write_table(table, tmp_path / "in.parquet")
    write(tmp_path / "z.jsonl", records(1))
    told = annotate(tmp_path / "in.parquet", tmp_path / "z.jsonl", "-o", tmp_path / "out.jsonl", code=1).told
    assert told["refused_by_code"] == {"value": 2} and [r["id"] for r in read(tmp_path / "out.jsonl")] == [
        "a",
        "d",
        "r0",
    ]


def test_a_reader_that_fails_costs_its_file(annotate, in_process, tmp_path, monkeypatch):
    def fails(stream, file):
        raise RuntimeError("a fault of ours")
        yield

    monkeypatch.setitem(sources.READERS, "release", fails)
    (tmp_path / "a.txt").write_text("Title\nwords\n", "utf8")
    write(tmp_path / "b.jsonl", records(1))
    result = annotate(tmp_path, "-o", tmp_path / "out" / "out.jsonl", code=1)
    assert "a fault of ours" in " ".join(result.output.split()) and result.told["releases"] == 1


def test_names_that_are_no_utf_8(annotate, in_process, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in (
        (b"caf\xe9.jsonl", b'{"id": "a", "text": "Red Owls played"}\n{\n'),
        (b"b\xff.txt", b"T\nwords\n"),
    ):
        with open(os.path.join(os.fsencode(folder), name), "wb") as stream:
            stream.write(content)
    told = annotate(folder, "-o", tmp_path / "out.jsonl", code=1).told
    assert told["releases"] == 2 and told["refused_by_code"] == {"json": 1}
    assert read(tmp_path / "out.jsonl.refused.jsonl")[0]["file"].endswith("caf\\xe9.jsonl")


def test_a_folder_that_can_not_be_read_costs_no_other(annotate, in_process, tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / "in" / name).mkdir(parents=True)
        write(tmp_path / "in" / name / "x.jsonl", [{"id": name, "text": text(1)}])
    scandir = os.scandir

    def forbidden(folder):
        if str(folder).endswith("b"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(sources.os, "scandir", forbidden)
    told = annotate(tmp_path / "in", "-o", tmp_path / "out.jsonl", code=1).told
    assert told["refused_by_code"] == {"unreadable": 1} and [r["id"] for r in read(tmp_path / "out.jsonl")] == [
        "a",
        "c",
    ]


@pytest.mark.parametrize("name", ["cut.jsonl.gz", "cut.jsonl.zst"])
def test_a_broken_compressed_file_costs_nobody_else(annotate, in_process, tmp_path, name):
    SOURCES[f"in.{name.split('.', 1)[1]}"](
        tmp_path / name, [{"id": f"x{i}", "text": text(i), "noise": os.urandom(500).hex()} for i in range(400)]
    )
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "good.jsonl", records(2))
    told = annotate(tmp_path / name, tmp_path / "good.jsonl", "-o", tmp_path / "out.jsonl", code=1).told
    assert {"r0", "r1"} <= {r["id"] for r in read(tmp_path / "out.jsonl")}
    refused = read(tmp_path / "out.jsonl.refused.jsonl")
    assert told["refused"] == len(refused) and "unreadable" in {r["code"] for r in refused} <= {"unreadable", "json"}


# go on where it was


@pytest.fixture(scope="module")
def undisturbed(bands, tmp_path_factory):
    """300 releases, some of them bad, and what a run gives that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    lines = [json.dumps(record) for record in records(300)]
    lines[7:7] = ["{", '{"id": "r3", "text": "twice"}', '{"id": "empty", "text": " "}']
    lines[200:200] = ["[1]"]
    (folder / "in.jsonl").write_text("\n".join(lines), "utf8")
    return folder


@settings(
    max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 320), max_size=4), st.sampled_from(SINKS), st.integers(1, 40))
def test_a_run_that_is_broken_off_gives_the_same_bytes(
    model, in_process, undisturbed, tmp_path_factory, breaks, sink, size
):
    folder = tmp_path_factory.mktemp("run")
    config = folder / "c.cfg"
    config.write_text(f"[batch]\nreleases = {size}\n[progress]\ncommit_seconds = 0\n", "utf8")

    def run(output, config=None):
        return command.run(
            Options([str(undisturbed / "in.jsonl")], str(output), model), config, Show(Console(quiet=True))
        )

    for place in breaks:
        InProcess.read, InProcess.breaks_at = 0, place
        with suppress(Broken):
            run(folder / sink, config)
    InProcess.breaks_at = None
    told = run(folder / sink, config)
    assert (told.summary.releases, sum(told.summary.refused.values())) == (300, 4)
    reference = undisturbed / sink
    if not reference.exists():
        run(reference)
    assert content(folder / sink) == content(reference)
    assert (folder / f"{sink}.refused.jsonl").read_bytes() == (undisturbed / f"{sink}.refused.jsonl").read_bytes()


def content(path):
    return {f.name: f.read_bytes() for f in path.iterdir()} if path.is_dir() else path.read_bytes()


def test_what_is_known_is_not_annotated_again(annotate, in_process, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    out = tmp_path / "out.jsonl"
    write(folder / "b.jsonl", records(10))
    annotate(folder, "-o", out)
    assert InProcess.read == 10
    before, stamp = out.read_bytes(), out.stat()
    told = annotate(folder, "-o", out).told
    assert InProcess.read == 10 and (told["releases"], told["new"], told["new_facts"]) == (10, 0, {})
    assert told["facts"] > 10 and out.stat().st_mtime_ns == stamp.st_mtime_ns
    # new files, wherever they stand among the others, come behind
    write(folder / "a.jsonl", records(3, start=50))
    told = annotate(folder, "-o", out).told
    assert InProcess.read == 13 and (told["releases"], told["new"], told["changed"]) == (13, 3, 0)
    assert out.read_bytes().startswith(before) and [r["id"] for r in read(out)][10:] == ["r50", "r51", "r52"]
    # a changed release replaces the old one, in its place; its metadata counts
    data = records(10)
    data[4]["text"], data[5]["nested"] = text(99), "new"
    write(folder / "b.jsonl", data)
    told = annotate(folder, "-o", out).told
    assert InProcess.read == 15 and (told["new"], told["changed"]) == (0, 2)
    found = read(out)
    assert found[4]["text"] == text(99) and found[5]["nested"] == "new" and len(found) == 13
    # what is gone from the folder stays in the output
    (folder / "b.jsonl").unlink()
    assert annotate(folder, "-o", out).told["releases"] == 3
    assert read(out) == found


def test_the_output_in_the_folder_is_no_input(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", [*records(3), {"id": "bad"}])
    for sink in ("out.jsonl", "out.parquet"):
        for _ in range(2):
            told = annotate(tmp_path, "-o", tmp_path / sink, code=1).told
            assert (told["releases"], told["refused"]) == (3, 1)
        for path in tmp_path.glob("out.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_news(annotate, in_process, tmp_path):
    config = tmp_path / "c.cfg"
    config.write_text('[summary]\nlabels = ["BAND"]\n', "utf8")
    write(
        tmp_path / "in.jsonl",
        [{"id": "a", "text": "Red Owls played Moonlight in Lisbon\nThe Owls played with Tin Cats."}],
    )
    told = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "-c", config).told
    assert told["new_names"]["BAND"] >= 2
    with (tmp_path / "in.jsonl").open("a") as stream:
        stream.write(json.dumps({"id": "b", "text": "Tin Cats played in Oslo\nBlue Foxes in Madrid."}) + "\n")
    result = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "-c", config, told=False)
    assert "2 releases (1 new, 0 changed, 1 as before)" in result.output
    assert "new BAND: 1 (Blue Foxes)" in result.output and "new facts: " in result.output


def test_view_shows_what_is_known_too(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", [{"id": "a", "text": "Red Owls played Moonlight in Lisbon\nThe Owls played."}])
    shown = [annotate(tmp_path / "in.jsonl", "-o", tmp_path / "o.jsonl", "--view", told=False).stdout for _ in range(2)]
    assert shown[0] == shown[1] and "PLAYED" in shown[0] and InProcess.read == 1


def test_confidence_is_asked_of_the_output_only(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", records(20))
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    everything = (tmp_path / "out.jsonl").read_bytes()
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--min-confidence", "0.9999")
    assert InProcess.read == 20 and len((tmp_path / "out.jsonl").read_bytes()) < len(everything)
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert InProcess.read == 20 and (tmp_path / "out.jsonl").read_bytes() == everything


def test_another_model_is_noticed(annotate, in_process, other_model, tmp_path):
    write(tmp_path / "in.jsonl", records(6))
    out = tmp_path / "out.jsonl"
    annotate(tmp_path / "in.jsonl", "-o", out)
    before = out.read_bytes()
    write(tmp_path / "in.jsonl", records(4, start=2))  # two of the six are gone, two are left out
    result = annotate(tmp_path / "in.jsonl", "-o", out, name=other_model, code=2)
    assert "annotated by another model" in result.output and "--new-model again" in result.output.replace("\n", " ")
    assert out.read_bytes() == before and InProcess.read == 6
    write(tmp_path / "in.jsonl", records(6, start=2))
    told = annotate(tmp_path / "in.jsonl", "-o", out, "--new-model", "keep", name=other_model).told
    assert InProcess.read == 8 and told["new"] == 2 and out.read_bytes().startswith(before)
    told = annotate(tmp_path / "in.jsonl", "-o", out, "--new-model", "again", name=other_model).told
    assert InProcess.read == 14 and told["changed"] == 6 and [r["id"] for r in read(out)] == [f"r{i}" for i in range(8)]
    annotate(tmp_path / "in.jsonl", "-o", out, name=other_model)
    assert InProcess.read == 14


def test_an_output_of_somebody_else_is_kept(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", records(3))
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n", "utf8")
    assert "--replace" in annotate(tmp_path / "in.jsonl", "-o", out, code=2).output
    assert out.read_text("utf8") == "mine\n" and not list(tmp_path.glob("out.jsonl.progress*"))
    annotate(tmp_path / "in.jsonl", "-o", out, "--replace")
    found = out.read_bytes()
    # touched, but not changed
    os.utime(out, (1, 1))
    annotate(tmp_path / "in.jsonl", "-o", out)
    with out.open("ab") as stream:
        stream.write(b"edited\n")
    assert "was changed since" in annotate(tmp_path / "in.jsonl", "-o", out, code=2).output.replace("\n", " ")
    assert out.read_bytes() == found + b"edited\n"
    annotate(tmp_path / "in.jsonl", "-o", out, "--replace")
    assert out.read_bytes() == found
    out.unlink()
    annotate(tmp_path / "in.jsonl", "-o", out)
    assert out.read_bytes() == found and InProcess.read == 3


@pytest.mark.parametrize("options", [(), ("--replace",)])
@pytest.mark.parametrize("sink", ["out", "out.sqlite", "out.parquet"])
def test_a_folder_of_somebody_else_is_kept(annotate, in_process, tmp_path, sink, options):
    write(tmp_path / "in.jsonl", records(1))
    (tmp_path / sink / "sub").mkdir(parents=True)
    (tmp_path / sink / "sub" / "keep.txt").write_text("mine", "utf8")
    assert "folder" in annotate(tmp_path / "in.jsonl", "-o", tmp_path / sink, *options, code=2).output
    assert (tmp_path / sink / "sub" / "keep.txt").read_text("utf8") == "mine" and InProcess.read == 0


def test_an_output_that_can_be_no_file(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", records(1))
    assert "it is a folder" in annotate(tmp_path / "in.jsonl", "-o", ".", code=2).output
    if os.path.exists("/dev/full"):
        told = annotate(tmp_path / "in.jsonl", "-o", "/dev/full", code=2).output
        assert "No space left" in " ".join(told.split())


def test_a_night_with_nothing_good_does_not_stop_the_next(annotate, in_process, tmp_path):
    (tmp_path / "in.jsonl").write_text("no json\n", "utf8")
    out = tmp_path / "out.jsonl"
    assert annotate(tmp_path / "in.jsonl", "-o", out, code=1).told["refused"] == 1 and out.read_bytes() == b""
    write(tmp_path / "in.jsonl", records(2))
    assert annotate(tmp_path / "in.jsonl", "-o", out).told["new"] == 2


def test_retry_tries_what_another_model_could_read(tmp_path):
    release = Release("a", "Red Owls played")
    with Checkpoint(tmp_path / "x.progress") as checkpoint:
        checkpoint.use_model("one", "one")
        checkpoint.keep(release, b"{}", 0)
        checkpoint.use_model("two", "two")
        checkpoint.fail(release, Defect("a", 0, 0, "timeout", "too long"))
        assert checkpoint.known(release).failure
        checkpoint.retry()
        assert checkpoint.known(release) is None and checkpoint.line("a") == b"{}"


def test_two_runs_at_once(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", records(3))
    with Checkpoint(tmp_path / "out.jsonl.progress") as checkpoint:
        checkpoint.use_model("x", "x")
        result = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", code=2)
        assert "another run writes this output" in result.output.replace("\n", " ")
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")


def test_a_progress_file_that_is_none(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", records(3))
    (tmp_path / "out.jsonl.progress").write_bytes(b"not a database, whatever its name says" * 100)
    assert "move it away" in annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", code=2).output.replace(
        "\n", " "
    )
    path = tmp_path / "o2.jsonl.progress"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    assert "another version" in annotate(tmp_path / "in.jsonl", "-o", tmp_path / "o2.jsonl", code=2).output


# refused


def test_refused_records_are_kept_as_they_were(annotate, in_process, tmp_path):
    lines = [
        b'{"id": "a", "text": "Red Owls in Oslo"}',
        b'{"id": "b", "text": ',
        b'{"id": "c", "text": "\xff"}',
        b'{"id": "a", "text": "y"}',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    result = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", code=1, told=False)
    assert "refused: duplicate-id 1, encoding 1, json 1, see" in result.output.replace("\n", " ")
    refused = read(tmp_path / "out.jsonl.refused.jsonl")
    assert [(r["line"], r["code"]) for r in refused] == [(2, "json"), (3, "encoding"), (4, "duplicate-id")]
    assert refused[0]["raw"] == lines[1].decode() + "\n" and refused[2]["raw"] == lines[3].decode()
    import base64

    assert base64.b64decode(refused[1]["raw_base64"]) == lines[2] + b"\n"
    assert all(r["file"] == str(tmp_path / "in.jsonl") and r["message"] and r["mend"] for r in refused)
    write(tmp_path / "in.jsonl", records(1))
    annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl.refused.jsonl").exists()


def test_too_long(annotate, in_process, tmp_path):
    config = tmp_path / "c.cfg"
    config.write_text("[limits]\nline_bytes = 2000\n", "utf8")
    data = records(3)
    data.insert(1, {"id": "long", "text": "word " * 2000})
    write(tmp_path / "in.jsonl", data)
    (tmp_path / "long.txt").write_text("Title\n" + "word " * 2000, "utf8")
    told = annotate(
        tmp_path / "in.jsonl", tmp_path / "long.txt", "-o", tmp_path / "out.jsonl", "-c", config, code=1
    ).told
    assert told["releases"] == 3 and told["refused_by_code"] == {"length": 2}
    told = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out2.jsonl", "--max-chars", "5000", code=1).told
    assert told["releases"] == 3 and told["refused_by_code"] == {"length": 1}


def test_a_source_that_changes_while_it_is_read(annotate, in_process, tmp_path, monkeypatch):
    write(tmp_path / "in.jsonl", records(5))
    annotate_one = InProcess.annotate

    def grow(self, batches, started):
        for results in annotate_one(self, batches, started):
            with (tmp_path / "in.jsonl").open("a") as stream:
                stream.write(json.dumps(records(1, start=77)[0])[:20])
            yield results

    config = tmp_path / "c.cfg"
    config.write_text("[batch]\nreleases = 2\n", "utf8")
    monkeypatch.setattr(InProcess, "annotate", grow)
    told = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "-c", config, code=1).told
    assert told["releases"] == 5 and told["refused_by_code"]["changed"] == 1
    monkeypatch.setattr(InProcess, "annotate", annotate_one)
    write(tmp_path / "in.jsonl", records(6))
    assert annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl").told["new"] == 1


def test_standard_output(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", [*records(20), {"id": "r3", "text": "again"}])
    result = annotate(tmp_path / "in.jsonl", "-o", "-", code=1, told=False)
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [f"r{i}" for i in range(20)]
    assert "the id 'r3' was read before" in result.stderr.replace("\n", " ")
    assert list(tmp_path.iterdir()) == [tmp_path / "in.jsonl"]


def test_quiet(annotate, in_process, tmp_path):
    write(tmp_path / "in.jsonl", [*records(2), {"id": "bad"}])
    result = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "-q", code=1, told=False)
    (line,) = result.output.splitlines()
    assert ":3: record:" in line


def test_settings_are_checked(annotate, tmp_path):
    write(tmp_path / "in.jsonl", records(2))
    for line, message in (
        ("[batch]\nwords = 0", "[batch] words: must be"),
        ("[bath]\nwords = 1", "[bath]: no such section"),
    ):
        (tmp_path / "c.cfg").write_text(line + "\n", "utf8")
        result = annotate(tmp_path / "in.jsonl", "-o", tmp_path / "o", "-c", tmp_path / "c.cfg", code=2)
        assert message in result.output.replace("\n", "")
    assert all(
        above.startswith("#") or "=" in above for above, line in _pairs(DEFAULTS) if "=" in line and line[0] != "#"
    )


def _pairs(path):
    lines = path.read_text("utf8").splitlines()
    return zip(lines, lines[1:])


@pytest.mark.parametrize("page", ["batch.md", "cluster.md"])
def test_the_settings_that_the_docs_show(root, page, tmp_path):
    shown = re.findall(r"^ *```ini\n(.*?)^ *```", (root / "docs" / page).read_text("utf8"), re.S | re.M)
    assert shown
    for block in shown:
        (tmp_path / "c.cfg").write_text(textwrap.dedent(block), "utf8")
        load_settings(Settings, DEFAULTS, tmp_path / "c.cfg")


def test_progress_on_a_terminal():
    tally = Tally(1000)
    console = Console(force_terminal=True, width=120, record=True, file=io.StringIO())
    with Terminal(console, tally, line_seconds=60) as terminal:
        terminal.started(Pipeline("m", {}, {"relations": {}}))
        time.sleep(0.01)
        for number in range(4):
            tally.done += 100
            terminal.done(Release(str(number), "one two three"), lambda: b"", True)
        state = ", ".join(terminal._state())
    assert "4 releases" in state and "releases/s" in state and "words/s" in state and "left" in state


def test_progress_in_a_log(capsys):
    console = Console(force_terminal=False, width=200)
    with Terminal(console, Tally(), line_seconds=0.0) as terminal:
        terminal.started(Pipeline("m", {}, {"relations": {}}))
        terminal.done(Release("a", "one two three"), lambda: b"", True)
    assert "1 releases, " in capsys.readouterr().out


# real processes


class Load:
    """In place of ``ModelLoad``: the same pipeline with a component that misbehaves where a text says so."""

    def __init__(self, name, **options):
        self.name = name

    def __reduce__(self):
        return Poisoned, (self.name,)


def local(model, **sections):
    return load_settings(Settings, DEFAULTS, None, {"model": {"name": model}, **sections})


def test_a_release_that_ends_the_process_is_refused(annotate, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "ModelLoad", Load)
    (tmp_path / "c.cfg").write_text("[limits]\nrelease_seconds = 4\n[batch]\nreleases = 5\n", "utf8")
    data = records(30)
    for place, word in ((3, "CRASH"), (11, "RAISE"), (20, "SLEEP")):
        data[place]["text"] += f" {word}"
    args = (write(tmp_path / "in.jsonl", data), "-o", tmp_path / "out.jsonl", "-c", tmp_path / "c.cfg", "-w", "2")
    told = annotate(*args, code=1).told
    assert told["releases"] == 27 and told["refused_by_code"] == {"crashed": 1, "model": 1, "timeout": 1}
    assert [r["id"] for r in read(tmp_path / "out.jsonl")] == [f"r{i}" for i in range(30) if i not in (3, 11, 20)]
    refused = read(tmp_path / "out.jsonl.refused.jsonl")
    assert [(r["line"], r["code"], json.loads(r["raw"])["id"]) for r in refused] == [
        (4, "crashed", "r3"),
        (12, "model", "r11"),
        (21, "timeout", "r20"),
    ]
    # they are not tried each night
    begin = time.monotonic()
    assert annotate(*args, code=1).told["refused"] == 3 and time.monotonic() - begin < 3
    data[11]["text"] = text(11)
    write(tmp_path / "in.jsonl", data)
    assert annotate(*args, code=1).told["refused"] == 2
    monkeypatch.undo()
    assert annotate(*args, "--retry").told["releases"] == 30


def test_processes_give_what_one_gives(annotate, model, tmp_path):
    write(tmp_path / "in.jsonl", records(120))
    for workers in (1, 2):
        annotate(tmp_path / "in.jsonl", "-o", tmp_path / f"{workers}.jsonl", "-w", workers)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_no_more_processes_than_there_is_work(model):
    seen = []
    engine = LocalEngine(local(model, workers={"count": 8}), lambda event: seen.append(event.kind))
    batches = iter([[Release("a", text(1))], [Release("b", text(2))]])
    assert [r.id for results in engine.annotate(batches, lambda pipeline: None) for r in results] == ["a", "b"]
    assert seen.count("ready") == 2
    assert list(engine.annotate(iter([]), lambda pipeline: None)) == []


def start(*args):
    """In the foreground, so to speak: what a script starts in the background ignores SIGINT."""
    command = [sys.executable, "-m", "communique", "annotate", *map(str, args)]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def committed(path):
    """How many releases are safe, where no run has the file open. The log, if there is one, goes into the file."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as database:
        return database.execute("SELECT count(*) FROM releases").fetchone()[0]
    return 0


def wait_until_it_annotates(process, out):
    """The log of the progress grows with each commit."""
    log = Path(f"{out}.progress-wal")
    limit = time.monotonic() + 120
    while process.poll() is None and not (log.exists() and log.stat().st_size > 60_000):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_killed_at_any_moment(model, annotate, tmp_path):
    """SIGKILL, twenty times in a run over 2,000 releases: the output is that of an undisturbed run."""
    lines = [json.dumps({**record, "text": text(i, 3)}) for i, record in enumerate(records(2000))]
    lines[500:500] = ["{", '{"id": "r9", "text": "twice"}']
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(lines), "utf8")
    (tmp_path / "c.cfg").write_text("[batch]\nreleases = 8\n[progress]\ncommit_seconds = 0.05\n", "utf8")
    args = (source, "-m", model, "-q", "-c", tmp_path / "c.cfg", "-w", "2")
    begin = time.monotonic()
    assert annotate(source, "-o", tmp_path / "whole.jsonl", code=1).told["releases"] == 2000
    seconds = time.monotonic() - begin
    random, out, moments = Random(0), tmp_path / "out.jsonl", []
    for number in range(20):
        process = start(*args, "-o", out)
        if number % 5:
            wait_until_it_annotates(process, out)
        time.sleep(random.random() * (seconds / 15 if number % 5 else 4))
        process.kill()
        process.communicate()
        moments.append(committed(f"{out}.progress"))
    assert moments == sorted(moments) and len(set(moments)) > 10
    process = start(*args, "-o", out)
    process.communicate(timeout=300)
    assert process.returncode == 1
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.jsonl.refused.jsonl").read_bytes() == (tmp_path / "whole.jsonl.refused.jsonl").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_word(model, annotate, tmp_path, number):
    source = write(tmp_path / "in.jsonl", [{**record, "text": text(1, 50)} for record in records(3000)])
    out = tmp_path / "out.jsonl"
    process = start(source, "-m", model, "-o", out, "-w", "1")
    wait_until_it_annotates(process, out)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in told
    assert f"interrupted by {signal.Signals(number).name}: what was annotated is kept" in " ".join(told.split())
    assert not out.exists() and 0 < committed(f"{out}.progress") < 3000


def test_a_killed_worker_costs_nothing(model, annotate, tmp_path):
    source = write(tmp_path / "in.jsonl", [{**record, "text": text(i, 5)} for i, record in enumerate(records(600))])
    annotate(source, "-o", tmp_path / "whole.jsonl")
    out = tmp_path / "out.jsonl"
    process = start(source, "-m", model, "-o", out, "-w", "2")
    wait_until_it_annotates(process, out)
    below = psutil.Process(process.pid).children(recursive=True)
    workers = [p for p in below if not p.children() and p.memory_info().rss > 100 << 20]
    workers[0].kill()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0 and "died and is replaced" in " ".join(told.split())
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


# disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with two megabytes."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("sink", ["out.jsonl", "out.sqlite", "out.parquet"])
def test_a_full_disk(annotate, in_process, small_disk, tmp_path, sink):
    source = write(tmp_path / "in.jsonl", records(400))
    annotate(source, "-o", tmp_path / sink)
    found = content(tmp_path / sink)
    ballast, out = small_disk / "ballast", small_disk / sink

    def fill(room):
        ballast.write_bytes(b"")
        used = sum(f.stat().st_size for f in small_disk.iterdir())
        ballast.write_bytes(b"x" * ((2 << 20) - room - used))

    def refused():
        told = " ".join(annotate(source, "-o", out, code=2).output.split())
        return ("run again" in told or "run the same command again" in told) and not out.exists()

    kept = [0]
    for room in (60_000, 150_000):  # no room for the progress
        fill(room)
        assert refused()
        kept.append(committed(copied(small_disk, tmp_path / f"copy-{room}") / f"{sink}.progress"))
    assert kept == sorted(kept) and kept[-1] < 400
    ballast.unlink()
    InProcess.read = 0
    assert annotate(source, "-o", out).told["releases"] == 400 and InProcess.read == 400 - kept[-1]
    assert content(out) == found
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    fill(sum(map(len, found.values() if isinstance(found, dict) else [found])) // 2)  # nor for the output
    assert refused()
    ballast.unlink()
    assert annotate(source, "-o", out).told["new"] == 0 and content(out) == found


def copied(disk, folder):
    """What is on a full disk, where SQLite has room for what it needs to read it."""
    return shutil.copytree(disk, folder, ignore=shutil.ignore_patterns("ballast"))


def test_an_output_that_can_not_be_written(annotate, in_process, tmp_path):
    source = write(tmp_path / "in.jsonl", records(4))
    (tmp_path / "file").write_text("x", "utf8")
    result = annotate(source, "-o", tmp_path / "file" / "out.jsonl", code=2)
    assert "Not a directory" in result.output.replace("\n", " ") or "File exists" in result.output.replace("\n", " ")
    for place in ("/proc/out.jsonl", "/proc/nowhere/out.jsonl"):
        assert "error:" in annotate(source, "-o", place, code=2).output
