"""Agreement between annotators, passages that releases share, and places worth a second look."""

import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from communique.cli import app
from communique.corpus.agreement import agreement, differences, match_releases
from communique.corpus.duplicates import duplicate_defects, near_duplicates, shared_passages
from communique.corpus.exchange import load_tokenizer
from communique.corpus.markup import parse
from communique.corpus.sweep import sentence_cutter, sweep
from communique.errors import CommuniqueError
from communique.evaluate.metrics import score_releases
from communique.schema import Duplicates

FIRST = """[Korea](COUNTRY kr.1) and [Chile](COUNTRY cl.1) hold [talks](MEETING t.1)
[Minister](ROLE r.1) [Han Do-jin](PERSON han.1) met [Rosa Diaz](PERSON rd.1) of [Chile](COUNTRY cl.2). He vowed to [open a desk](PLEDGE p1) [today](DATE).
---
kr.1 ATTENDED t.1
cl.1 ATTENDED t.1
han.1 HAS_ROLE r.1
han.1 MET_WITH rd.1
han.1 PLEDGED p1
rd.1 REPRESENTS cl.2
"""


def markup(text, name="a"):
    return parse(f"id: {name}\ndate: 2026-03-02\n\n{text}", f"{name}.txt")


def release(text, name="a"):
    return markup(text, name).release.canonical()


def test_an_annotation_agrees_with_itself(schema):
    pairs = [(release(FIRST), release(FIRST))]
    scores = agreement(pairs, schema)
    for layer in ("entities", "pledges exact", "relations strict", "facts", "identity"):
        assert scores[layer]["f"] == 1.0, layer
    assert list(differences(pairs, schema)) == []


def test_agreement_is_the_guides_score_with_the_first_as_gold(schema):
    first, second = release(FIRST), release(FIRST.replace("[today](DATE)", "today"))
    scores = agreement(match_releases([first], [second]), schema)
    assert scores == score_releases([first], [second], schema)
    assert scores["entities"]["f"] < 1.0 and scores["relations strict"]["f"] == 1.0


def test_differences_name_the_side_and_the_thing(schema):
    text = FIRST.replace("[today](DATE)", "today").replace("cl.1 ATTENDED t.1\n", "")
    text = text.replace("[open a desk](PLEDGE p1)", "[open a](PLEDGE p1) desk")
    found = [(d.side, d.what) for d in differences([(release(FIRST), release(text))], schema)]
    assert found == [("first", "'Chile' ATTENDED 'talks'"), ("first", "DATE 'today'")]


def test_differences_follow_the_other_ones_order_of_a_symmetric_relation(schema):
    text = FIRST.replace("han.1 MET_WITH rd.1", "rd.1 MET_WITH han.1")
    assert list(differences([(release(FIRST), release(text))], schema)) == []


def test_differences_of_identity_are_named(schema):
    text = FIRST.replace("COUNTRY cl.2", "COUNTRY xx.2").replace("REPRESENTS cl.2", "REPRESENTS xx.2")
    found = [(d.side, d.what) for d in differences([(release(FIRST), release(text))], schema)]
    assert found == [("first", "'Chile' is 'Chile'")]


def test_annotations_of_other_texts_are_refused():
    with pytest.raises(CommuniqueError, match="a: the texts differ from character"):
        match_releases([release(FIRST)], [release(FIRST.replace("vowed", "swore"))])
    with pytest.raises(CommuniqueError, match="no release in common"):
        match_releases([release(FIRST)], [release(FIRST, "b")])
    with pytest.raises(CommuniqueError, match="a: this id stands twice"):
        match_releases([release(FIRST)], [release(FIRST), release(FIRST)])


OPENING = "The [ministry](AGENCY m.1) said that growers along the lower river may sell reeds without a licence."


def test_a_shared_passage_is_found_with_its_place():
    other = f"Some other title\nBefore it: {OPENING}"
    parsed = [markup(f"A title\n{OPENING}\n---\n"), markup(f"{other}\n---\n", "b")]
    ((item, offset, earlier, passage),) = shared_passages(parsed, ["AGENCY"], length=8, own=6)
    assert (item.release.id, earlier.release.id) == ("b", "a")
    assert item.release.text[offset:].startswith("The ministry said")
    assert passage == "the ministry said that growers along the lower river may sell reeds without a licence"


def test_long_official_names_may_be_shared():
    name = "[Ministry of Trade, Industry and Energy of the Republic of Korea](AGENCY m.1)"
    parsed = [markup(f"A title\n{name} {verb}.\n---\n", verb) for verb in ("ruled", "spoke")]
    assert not list(shared_passages(parsed, ["AGENCY"], length=8, own=6))
    assert list(shared_passages(parsed, ["PERSON"], length=8, own=6))


def test_near_duplicates_are_found_and_others_not():
    pytest.importorskip("datasketch")
    text = " ".join(f"word{i}" for i in range(200))
    almost = text.replace("word50 ", "changed ")
    texts = {"a": text, "b": almost, "c": " ".join(f"else{i}" for i in range(200))}
    parsed = [markup(f"A title\n{t}\n---\n", name) for name, t in texts.items()]
    ((item, other, similarity),) = near_duplicates(parsed, shingle=3, threshold=0.5)
    assert (item.release.id, other.release.id) == ("b", "a")
    assert 0.8 < similarity <= 1.0


def test_duplicates_are_defects_of_the_later_release():
    pytest.importorskip("datasketch")
    parsed = [markup(f"A title\n{OPENING}\n---\n", name) for name in "ab"]
    found = list(duplicate_defects(parsed, ["AGENCY"], Duplicates(8, 6, 3, 0.5)))
    assert [(d.code, d.file, d.line) for d in found] == [("shared-passage", "b.txt", 4), ("near-duplicate", "b.txt", 1)]
    assert list(duplicate_defects(parsed, ["AGENCY"], None)) == []


@pytest.fixture(scope="module")
def cut(root):
    return sentence_cutter(*load_tokenizer(root / "configs" / "small.cfg"))


@pytest.mark.parametrize(
    "text, relations, codes",
    [
        ("[Lim](PERSON l.1) met [Bek](PERSON b.1) in [Bern](PLACE p.1).", "", ["cue"]),
        ("[Lim](PERSON l.1) met [Bek](PERSON b.1).", "l.1 MET_WITH b.1", []),
        ("[Lim](PERSON l.1) vowed to [stay](PLEDGE p1).", "l.1 PLEDGED p1", []),
        ("[Lim](PERSON l.1) agreed to stay.", "", ["cue"]),
        ("[Lim](PERSON l.1), [Minister](ROLE r.1), left.", "", ["neighbours"]),
        ("[Minister](ROLE r.1) and [Lim](PERSON l.1) left.", "", []),
        ("A [forum](MEETING f.1) was fun.", "", ["unrelated"]),
        ("A [forum](MEETING f.1) of [Lim](PERSON l.1). The [event](MEETING f.2) was fun.", "l.1 HOSTED f.1", []),
        ("[Georgia](COUNTRY g.1) and [Georgia](PLACE h.1).", "", ["several-labels"]),
    ],
)
def test_sweeps(schema, cut, text, relations, codes):
    found = list(sweep([markup(f"A title\n{text}\n---\n{relations}\n")], schema, cut))
    assert [h.code for h in found] == codes
    assert all(h.line == 5 for h in found)


def test_sentences_of_a_sweep_are_the_pipelines(cut):
    text = "Title\nMr. Lim met U.S. officials. “We agree.” She left."
    found = [text[a:b].strip() for a, b in cut(text)]
    assert found == ["Title", "Mr. Lim met U.S. officials.", "“We agree.”", "She left."]


def run(*args):
    return CliRunner().invoke(app, ["corpus", *map(str, args)], env={"COLUMNS": "160"})


def test_commands(tmp_path, root):
    config = root / "configs" / "small.cfg"
    for side, text in (("one", FIRST), ("two", FIRST.replace("cl.1 ATTENDED t.1\n", ""))):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.txt").write_text(f"id: a\ndate: 2026-03-02\n\n{text}", "utf8")
    result = run("agreement", tmp_path / "one", tmp_path / "two", "-c", config, "-d")
    assert result.exit_code == 0, result.output
    assert "first only: 'Chile' ATTENDED 'talks'" in result.output
    assert run("agreement", tmp_path / "one", tmp_path / "none", "-c", config).exit_code != 0
    result = run("sweep", tmp_path / "one", "-c", config, "--code", "cue")
    assert result.exit_code == 0 and "hints in 1 releases" in result.output
    assert run("sweep", tmp_path / "one", "-c", config, "--code", "clue").exit_code == 2
    copy = (tmp_path / "one" / "a.txt").read_text("utf8").replace("id: a", "id: b")
    (tmp_path / "one" / "b.txt").write_text(copy, "utf8")
    result = run("check", tmp_path / "one", "-c", config)
    assert result.exit_code == 1 and "near-duplicate" in result.output


def test_without_datasketch_the_other_defects_are_named_all_the_same(tmp_path, root, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    (tmp_path / "a.txt").write_text(f"id: a\n\n{FIRST.replace('DATE', 'DAY')}", "utf8")
    result = run("check", tmp_path, "-c", root / "configs" / "small.cfg")
    assert result.exit_code == 2
    assert "unknown label DAY" in result.output and "near-duplicates need datasketch" in result.output


def test_identity_is_scored_between_annotators(schema):
    first = release(FIRST)
    last = max(first.mentions, key=lambda m: m.start)
    assert last.label == "DATE"
    persons = [m for m in first.mentions if m.label == "PERSON"]
    merged = replace(
        first, mentions=[replace(m, cluster=persons[0].cluster) if m in persons else m for m in first.mentions]
    )
    assert agreement([(first, merged)], schema)["identity"]["f"] < 1.0
