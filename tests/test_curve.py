"""The learning curve: nested draws, points that are kept, the table and the figure."""

import json

import pytest
from typer.testing import CliRunner

from communique.cli import app
from communique.curve import curve_table, draw, plot_curve
from communique.release import Release

RELEASES = [Release(str(n), "text") for n in range(40)]


def ids(releases):
    return {r.id for r in releases}


def test_draws_of_one_seed_are_nested_and_seeds_differ():
    small, large = draw(RELEASES, 0.25, 1), draw(RELEASES, 0.5, 1)
    assert (len(small), len(large)) == (10, 20) and ids(small) < ids(large)
    assert ids(small) == ids(draw(reversed(RELEASES), 0.25, 1)) != ids(draw(RELEASES, 0.25, 2))
    assert len(draw(RELEASES[:3], 0.1, 0)) == 1


def point(releases, seed, f):
    return {"releases": releases, "seed": seed, "scores": {name: {"entities": {"f": f}} for name in ("dev", "real")}}


POINTS = [point(40, 0, 0.8), point(10, 1, 0.5), point(10, 0, 0.3)]


def test_table_has_mean_and_spread_over_seeds():
    lines = curve_table(POINTS, ["entities"]).splitlines()
    assert lines[2:4] == ["| dev | 10 releases | 40.0 ± 14.1 |", "| dev | 40 releases | 80.0 |"]
    assert lines[4].startswith("| real | 10 ")


def test_plot_is_written(tmp_path):
    pytest.importorskip("matplotlib")
    plot_curve(POINTS, ["entities"], tmp_path / "curve.svg")
    assert "<svg" in (tmp_path / "curve.svg").read_text("utf8")


def run(*args):
    return CliRunner().invoke(app, ["curve", *map(str, args)])


def test_a_curve_is_trained_once(root, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(root)
    gold = sorted((root / "corpus" / "dev").glob("*.txt"))[:4]
    dev = tmp_path / "dev"
    dev.mkdir()
    for file in gold:
        (dev / file.name).write_bytes(file.read_bytes())
    invoke = ["corpus", "convert", str(dev), str(tmp_path / "dev.spacy")]
    assert CliRunner().invoke(app, invoke).exit_code == 0
    args = ["configs/small.cfg", "-o", tmp_path / "out", "--corpus", dev, "--gold", f"dev={dev}", "--share", 1.0]
    args += ["--share", 0.5, "--seed", 0, "--set", f"paths.dev={tmp_path / 'dev.spacy'}"]
    args += ["--set", "training.max_steps=2"]
    result = run(*args, "--plot", tmp_path / "curve.svg")
    assert result.exit_code == 0, result.output
    record = tmp_path / "out" / "0.5-0" / "scores.json"
    found = json.loads(record.read_text("utf8"))
    assert (found["releases"], found["steps"]) == (2, 1) and (tmp_path / "curve.svg").exists()
    found["scores"]["dev"]["entities"]["f"] = 0.777
    record.write_text(json.dumps(found), "utf8")
    again = run(*args)
    assert "2 releases | 77.7 |" in again.output
    other = run(*args, "--set", "training.dropout=0.3")
    assert other.exit_code == 0 and "77.7" not in other.output


def test_a_layer_that_a_gold_set_lacks_is_shown_as_a_dash(tmp_path):
    pytest.importorskip("matplotlib")
    assert "| 30.0 | – |" in curve_table(POINTS[2:], ["entities", "facts"])
    plot_curve(POINTS, ["entities", "facts"], tmp_path / "curve.svg")


@pytest.mark.parametrize(
    "wrong", [["--gold", "dev"], ["--gold", "dev=a", "--gold", "dev=b"], ["--gold", "dev=corpus/dev", "--share", 2.0]]
)
def test_wrong_options_are_named(root, tmp_path, wrong):
    args = ["configs/small.cfg", "-o", tmp_path, "--corpus", "corpus/dev", "--share", 1.0, "--seed", 0, *wrong]
    result = run(*args)
    assert result.exit_code == 2 and wrong[-2] in result.output
