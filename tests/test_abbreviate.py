"""Names get abbreviations, and nothing that was true of a release becomes untrue."""

from random import Random

import pytest
import spacy
from spacy.training import Example
from spacy.util import registry

from communique.bridge import from_doc, to_doc
from communique.corpus.abbreviate import abbreviate, initials
from communique.corpus.check import Checker
from communique.corpus.exchange import read_gold
from communique.corpus.markup import parse, write

TEXT = """id: kr-2025-03-18-chile

[Korea](COUNTRY kr.1) signs [Green Shipping Accord](AGREEMENT g.1)
[Korea](COUNTRY kr.2) signed the [Korea-Chile Green Shipping Accord](AGREEMENT g.2) at the [Hanbit Steel Institute](ORG h.1), and the [Accord](AGREEMENT g.3) pleased the [Institute](ORG h.2). [Korea](COUNTRY kr.3) will [ratify the [Accord](AGREEMENT g.4)](PLEDGE p1).
---
kr.1 PARTY_TO g.1
kr.2 PARTY_TO g.2
kr.3 PLEDGED p1
"""
LABELS = ["AGREEMENT", "ORG"]
LETTERS = (3, 6)


@pytest.fixture
def original():
    return parse(TEXT, "x.txt").release.canonical()


@pytest.mark.parametrize(
    "name, letters",
    [
        ("Korea-Chile Free Trade Agreement", "FTA"),
        ("Organization of American States", "OAS"),
        ("3rd Joint Commission for Trade and Economic Cooperation meeting", "JCTEC"),
        ("Paris", "P"),
        ("memorandum", ""),
    ],
)
def test_initials(name, letters):
    assert initials(name) == letters


def test_an_abbreviation_is_introduced_and_used(original):
    found = set()
    for seed in range(20):
        changed = abbreviate(original, LABELS, ["ORG"], LETTERS, Random(seed), 1.0)
        body = changed.text.partition("\n")[2]
        assert "Korea-Chile Green Shipping Accord (" in body and "GSA" in body
        assert changed.text.startswith("Korea signs Green Shipping Accord\n")
        found.add("the GSA" in body and "pleased HSI" in body)
        texts = {changed.span_text(m) for m in changed.mentions if m.cluster == changed.mentions[1].cluster}
        assert texts <= {"Green Shipping Accord", "Korea-Chile Green Shipping Accord", "GSA", "Accord"}
    assert True in found


@pytest.mark.parametrize("letters, already", [((4, 6), ""), ((2, 2), ""), ((3, 6), " The GSA and the HSI differ.")])
def test_an_abbreviation_has_its_length_and_is_no_other_word(letters, already):
    text = TEXT.replace("[Korea](COUNTRY kr.3) will", f"They agree.{already} [Korea](COUNTRY kr.3) will")
    release = parse(text, "x.txt").release.canonical()
    assert abbreviate(release, LABELS, ["ORG"], letters, Random(0), 1.0) == release


def related(release):
    by_id = {m.id: m for m in release.mentions}
    return sorted((by_id[r.head].cluster, r.type, by_id[r.tail].label) for r in release.relations)


def test_clusters_and_relations_stay(original, schema, tokenizer):
    for seed in range(20):
        changed = abbreviate(original, LABELS, ["ORG"], LETTERS, Random(seed), 0.7)
        assert related(changed) == related(original)
        assert {m.cluster for m in changed.mentions} == {m.cluster for m in original.mentions}
        assert not Checker(schema, tokenizer).release(parse(write(changed), "x.txt"))
    assert abbreviate(original, LABELS, [], LETTERS, Random(0), 0.0) == original


def test_the_augmenter_keeps_the_corpus_sound(root, schema, tokenizer):
    nlp = spacy.blank("en")
    nlp.tokenizer = tokenizer
    make = registry.augmenters.get("communique.Abbreviate.v1")
    scheme = str(root / "configs" / "schema.cfg")
    augment = make(level=1.0, share=1.0, letters=LETTERS, labels=[*LABELS, "MEETING"], articles=["ORG"], schema=scheme)
    more = 0
    for release in read_gold([root / "corpus" / "dev"]):
        example = Example(nlp.make_doc(release.text), to_doc(release, nlp.make_doc, schema))
        (changed,) = (from_doc(e.reference, schema.span_key) for e in augment(nlp, example))
        assert len(changed.relations) == len(release.relations)
        more += len(changed.mentions) - len(release.mentions)
    assert more > 10
