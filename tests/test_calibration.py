"""Confidences that mean something: the lines they are put on, how these are fitted, and what is left out by them."""

import json
from pathlib import Path

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from communique.annotate.run import annotate, load_model
from communique.bridge import span_key
from communique.calibrate import calibrate_pipeline, fit_line
from communique.cli import app
from communique.components.confidence import calibrated
from communique.corpus.exchange import write_jsonl
from communique.release import Mention, Relation, Release
from conftest import band_releases, train_bands

probability = st.floats(0, 1)


@given(probability, probability, st.floats(0.01, 100), st.floats(-500, 500))
def test_a_line_keeps_order_and_range(a, b, slope, offset):
    low, high = (calibrated(p, (slope, offset)) for p in sorted((a, b)))
    assert 0 <= low <= high <= 1


@given(st.floats(0.001, 0.999))
def test_as_it_is(p):
    assert calibrated(p, (1.0, 0.0)) == pytest.approx(p)


def test_overconfidence_is_mended():
    """Scored 0.9, but six in ten are right; scored 0.6, but four in ten are."""
    pairs = [(0.9, i < 60) for i in range(100)] + [(0.6, i < 40) for i in range(100)]
    line = fit_line(pairs)
    assert calibrated(0.9, line) == pytest.approx(0.6, abs=0.02)
    assert calibrated(0.6, line) == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("pairs", [[], [(0.9, True)] * 5, [(0.2, False)] * 5])
def test_nothing_to_learn_from(pairs):
    assert fit_line(pairs) == (1.0, 0.0)


def test_a_score_that_tells_nothing_is_not_turned_around():
    slope, _ = fit_line([(0.9, i < 20) for i in range(100)] + [(0.3, i < 80) for i in range(100)])
    assert slope == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pipeline that has learned too little to be sure, with a component that holds the lines."""
    nlp = train_bands(steps=12)
    nlp.add_pipe("communique_confidence", name="confidence", before="facts")
    nlp.add_pipe("communique_abbreviations", config={"quotes": ["$$"]})
    path = tmp_path_factory.mktemp("bands") / "model"
    nlp.to_disk(path)
    return path


def test_calibration_is_written_into_the_config_and_only_there(folder, tmp_path):
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    lines = calibrate_pipeline(folder, band_releases())
    assert set(lines) == {"entities", "pledges", "relations", "facts"}
    after = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {str(p) for p in after if after[p] != before[p]} <= {"config.cfg"}
    old, new = (files[Path("config.cfg")].decode().splitlines() for files in (before, after))
    changed = {a.partition(" ")[0] for a, b in zip(old, new) if a != b}
    assert len(old) == len(new) and changed <= {"entities", "spans", "relations", "calibration"}
    assert any("$$" in line for line in new)  # which writing a config that was read would double
    pipe = spacy.load(folder).get_pipe("confidence")
    assert tuple(pipe.entities) == lines["entities"] and tuple(pipe.relations) == lines["relations"]
    assert calibrate_pipeline(folder, band_releases()) == lines  # from the scores as they are, not from the last lines


def test_relations_are_as_certain_as_their_arguments(bands):
    nlp = bands
    doc = nlp(band_releases()[0].text)
    raw = {(tuple(r["head"]), tuple(r["tail"]), r["type"]): r["score"] for r in doc._.relations}
    found = doc._.confidences
    nlp.add_pipe("communique_confidence", name="confidence", before="facts")
    try:
        doc = nlp(doc.text)
    finally:
        nlp.remove_pipe("confidence")
    assert raw
    for r in doc._.relations:
        ends = found[span_key(*r["head"])] * found[span_key(*r["tail"])]
        assert r["score"] == pytest.approx(raw[tuple(r["head"]), tuple(r["tail"]), r["type"]] * ends, abs=1e-5)


def test_a_line_needs_two_numbers():
    with pytest.raises(ValueError, match="slope and an offset"):
        spacy.blank("en").add_pipe("communique_confidence", config={"spans": [1.0]})


def test_command_line(folder, tmp_path):
    gold = tmp_path / "gold.jsonl"
    write_jsonl(gold, band_releases())
    result = CliRunner().invoke(app, ["calibrate", str(gold), "--model", str(folder)])
    assert result.exit_code == 0, result.output
    assert "relations" in result.output
    (tmp_path / "none").mkdir()
    empty = CliRunner().invoke(app, ["calibrate", str(tmp_path / "none"), "--model", str(folder)])
    assert empty.exit_code == 2 and "no gold" in empty.output
    nothing = CliRunner().invoke(app, ["calibrate", str(gold), "--model", str(tmp_path)])
    assert nothing.exit_code == 2 and "folder" in nothing.output


def test_min_confidence_leaves_out_what_is_less_certain(folder, tmp_path):
    calibrate_pipeline(folder, band_releases())
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps({"id": r.id, "text": r.text}) for r in band_releases()) + "\n")
    everything = list(annotate(load_model(folder), band_releases()))
    scores = sorted(m.score for r in everything for m in r.mentions)
    limit = scores[len(scores) // 2]
    args = ["annotate", str(source), "-o", str(output), "-m", str(folder), "--min-confidence", str(limit)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in output.read_text("utf8").splitlines()]
    kept = [e["score"] for r in found for e in r["entities"]]
    assert kept and min(kept) >= limit and len(kept) < len(scores)
    assert all(x["score"] >= limit for r in found for x in [*r["relations"], *r["facts"]])
    wrong = CliRunner().invoke(app, [*args[:-1], "1.5"])
    assert wrong.exit_code == 2


def test_a_relation_goes_with_its_mentions():
    mentions = [Mention(0, "A", 0, 1, score=0.9), Mention(1, "B", 2, 3, score=0.3), Mention(2, "C", 4, 5)]
    relations = [Relation(0, "R", 0, 1, score=0.9), Relation(1, "R", 0, 2, score=0.6), Relation(2, "R", 2, 0)]
    release = Release("x", "a b c", mentions=mentions, relations=relations, facts=[{"score": 0.1}, {"score": 0.7}])
    found = release.confident(0.5)
    assert [m.label for m in found.mentions] == ["A", "C"]
    assert [(r.head, r.tail) for r in found.relations] == [(0, 1), (1, 0)]
    assert found.facts == [{"score": 0.7}]
    assert release.confident(0.0) == release
