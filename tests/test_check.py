import pytest

from communique.corpus.check import Checker, off_boundaries
from communique.corpus.exchange import read_markup
from communique.corpus.markup import parse

HEAD = "id: x\ndate: 2026-03-02\n\n"


def codes(schema, tokenizer, text, relations=""):
    parsed = parse(f"{HEAD}Some title\n{text}\n---\n{relations}", "x.txt")
    return [(d.code, d.line, d.column) for d in Checker(schema, tokenizer).release(parsed)]


@pytest.mark.parametrize(
    "text, relations, code, column",
    [
        ("[Korea](LAND kr.1) grew.", "", "label", 1),
        ("[Korea](COUNTRY kr.1) grew.", "kr.1 LIKES kr.1", "type", 0),
        ("[the Forum](MEETING f.1) met.", "", "determiner", 1),
        ("[Korea’s](COUNTRY kr.1) forum.", "", "ending", 1),
        ("[“Forum”](MEETING f.1) met.", "", "quotes", 1),
        ("[(MOU)](AGREEMENT f.1) met.", "", "brackets", 1),
        ("[Bank (BOK](AGENCY f.1)) met.", "", "brackets", 1),
        ("Held in [Seoul.](PLACE s.1)", "", "stop", 9),
        ("Held in [Seoul ](PLACE s.1)now.", "", "space", 9),
        ("Held in [Seou](PLACE s.1)l now.", "", "token", 9),
        ("Held in [Seoul](PLACE).", "", "cluster", 9),
        ("Held [today](DATE d.1).", "", "cluster", 6),
        ("[Korea](COUNTRY a.1) and [Lim](PERSON a.2).", "", "cluster-labels", 26),
        ("[Bank of [Korea](COUNTRY kr.1)](AGENCY b.1).", "", "overlap", 10),
        ("[Minister](ROLE r.1) [Lim](PERSON l.1) left.", "", "adjacent", 1),
        ("[Lim](PERSON l.1) vowed [peace](PLEDGE p1).", "", "required", 25),
        ("[Lim](PERSON l.1) in [Seoul](PLACE s.1).", "l.1 HAS_ROLE s.1", "signature", 0),
        ("[Lim](PERSON l.1) met [Bek](PERSON b.1).", "b.1 MET_WITH l.1", "order", 0),
        ("[Lim](PERSON l.1) met.", "l.1 MET_WITH l.1", "self", 0),
        ("[Lim](PERSON l.1) met [Bek](PERSON b.1).", "l.1 MET_WITH b.1\nl.1 MET_WITH b.1", "twice", 0),
        ("[Lim](PERSON l.1) led [talks](MEETING t.1).", "l.1 HOSTED t.1\nl.1 ATTENDED t.1", "exclusive", 0),
        ("[Seoul](PLACE s.1) and Seoul.", "", "untagged", 24),
    ],
)
def test_each_defect_is_found_where_it_is(schema, tokenizer, text, relations, code, column):
    found = codes(schema, tokenizer, text, relations)
    line = 5 if column else 7 + relations.count("\n")
    assert (code, line, column or 1) in found, found


@pytest.mark.parametrize(
    "text, relations",
    [
        ("[Minister](ROLE r.1) [Lim](PERSON l.1) said the [minister](ROLE l.2) left.", "l.1 HAS_ROLE r.1"),
        ("In [Washington D.C.](PLACE w.1) and the [U.S.](COUNTRY us.1) [today](DATE).", ""),
        ("[Lim](PERSON l.1) vowed [peace for [Korea](COUNTRY kr.1)](PLEDGE p1).", "l.1 PLEDGED p1"),
    ],
)
def test_good_releases_have_no_defect(schema, tokenizer, text, relations):
    assert codes(schema, tokenizer, text, relations) == []


def test_duplicate_ids(schema, tokenizer):
    items = [parse(f"{HEAD}Title\nBody.\n---\n", name) for name in ("a.txt", "b.txt")]
    (defect,) = Checker(schema, tokenizer).corpus(items)
    assert (defect.file, defect.code) == ("b.txt", "duplicate-id")


def test_the_corpus_is_clean(root, schema, tokenizer):
    parsed, defects = read_markup([root / "corpus"])
    assert parsed and not defects
    assert list(map(str, Checker(schema, tokenizer).corpus(parsed))) == []
    assert off_boundaries([p.release for p in parsed], tokenizer) == []


def test_real_spans_fall_on_token_boundaries(real_dev, tokenizer):
    assert off_boundaries(real_dev, tokenizer) == []


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("Korea-U.S.", ["Korea", "-", "U.S."]),
        ("U.S.-Japan", ["U.S.", "-", "Japan"]),
        ("U.S./Japan", ["U.S.", "/", "Japan"]),
        ("(KIDP)in", ["(", "KIDP", ")", "in"]),
        ("KRW112", ["KRW", "112"]),
        ("US$3.5bn", ["US$", "3.5bn"]),
        ("Washington D.C.", ["Washington", "D.C."]),
        ("No. 3", ["No.", "3"]),
        ("Seoul–Busan", ["Seoul", "–", "Busan"]),
    ],
)
def test_tokens(tokenizer, text, tokens):
    assert [t.text for t in tokenizer(text)] == tokens
