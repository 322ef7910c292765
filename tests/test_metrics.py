"""The project's scores against the referee's, where that is there, and against worked examples."""

import importlib.util
import random
from dataclasses import replace

import pytest

from communique.evaluate.metrics import LAYERS, identity_counts, pair_spans, prf, score_releases
from communique.evaluate.scorers import score_examples
from communique.release import Mention, Relation, Release
from conftest import SHARED


def spoiled(release: Release, schema, seed: int) -> Release:
    """A prediction gone wrong in every way: spans lost, moved, relabelled and added, clusters mixed, relations too."""
    rng = random.Random(f"{release.id}{seed}")
    mentions = []
    for m in release.mentions:
        fate = rng.random()
        if fate < 0.1:
            continue
        if fate < 0.2:
            m = replace(m, end=min(len(release.text), m.end + rng.randint(1, 9)))
        elif fate < 0.3:
            m = replace(m, label=rng.choice(schema.labels))
        if rng.random() < 0.3:
            m = replace(m, cluster=rng.choice([None, "a", "b", m.cluster]))
        mentions.append(m)
    ids = [m.id for m in mentions]
    relations = [r for r in release.relations if r.head in ids and r.tail in ids and rng.random() < 0.8]
    for i in range(5):
        head, tail = rng.sample(ids, 2)
        relations.append(Relation(1000 + i, rng.choice(schema.relation_names), head, tail))
    swapped = [replace(r, head=r.tail, tail=r.head) if r.type == "MET_WITH" else r for r in relations]
    return replace(release, mentions=mentions, relations=swapped)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_referee(real_dev, schema, seed):
    path = SHARED / "tools" / "score.py"
    spec = importlib.util.spec_from_file_location("referee", path)
    referee = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(referee)
    predicted = [spoiled(r, schema, seed) for r in real_dev[1:]]
    gold = {r.id: r.to_dict() for r in real_dev}
    want, missing, _ = referee.score(gold, {r.id: r.to_dict() for r in predicted})
    got = score_releases(real_dev, predicted, schema)
    assert missing == [real_dev[0].id]
    for layer in (*LAYERS, "identity", "identity muc", "identity b3", "identity ceafe"):
        for key, value in want[layer].items():
            assert got[layer][key] == pytest.approx(value, abs=1e-12), (layer, key)
    for name in (k for k in want if ":" in k):
        label = got[name]
        assert {k: pytest.approx(v, abs=1e-12) for k, v in want[name].items()} == label


def test_a_perfect_prediction(schema, root):
    from communique.corpus.exchange import read_gold

    gold = read_gold([root / "corpus" / "dev"])
    scores = score_releases(gold, gold, schema)
    assert all(scores[layer]["f"] == 1.0 for layer in (*LAYERS, "identity"))


def test_worked_examples():
    assert prf(0, 0, 0) == {"p": 0.0, "r": 0.0, "f": 0.0, "gold": 0, "predicted": 0}
    text = "one two three four five six"
    gold = [Mention(0, "PLEDGE", 0, 13)]
    assert pair_spans(text, gold, [Mention(7, "PLEDGE", 4, 18)]) == {7: 0}  # 2 of 4 tokens shared
    assert pair_spans(text, gold, [Mention(7, "PLEDGE", 4, 23)]) == {}  # 2 of 5
    a, b, c = (0, 1, "X"), (2, 3, "X"), (4, 5, "X")
    counts = identity_counts({a: "1", b: "1", c: "2"}, {a: "u", b: "v", c: "v"})
    assert counts["muc"] == (0, 1, 0, 1)
    assert counts["b3"] == (2.0, 3, 2.0, 3)
    assert counts["ceafe"] == (pytest.approx(4 / 3), 2, pytest.approx(4 / 3), 2)


def test_texts_must_be_equal(schema):
    with pytest.raises(ValueError, match="text differs"):
        score_releases([Release("a", "x")], [Release("a", "y")], schema)


def test_spacy_scorers_equal_the_metrics(bands, band_schema):
    from conftest import band_examples

    examples = band_examples(bands, band_schema)
    scores = bands.evaluate(examples)
    result = score_examples(band_examples(bands, band_schema), band_schema)
    assert scores["ents_f"] == 1.0 and scores["rels_f"] == 1.0 and scores["facts_f"] == 1.0
    assert scores["spans_plans_f"] == scores["spans_plans_overlap_f"] == 1.0
    assert result["entities"]["r"] == 0.0 and result["entities"]["gold"] > 0  # not annotated
