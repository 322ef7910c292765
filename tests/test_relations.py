"""The relation stage: pairs, model, component. Mirrors spaCy's tests of spancat, and where the tutorial falls short."""

import json
import pickle

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Model, fix_random_seed

from communique.architectures.relation import build_relation_model
from communique.bridge import from_doc, mentions, to_doc
from communique.components.pairs import build_pair_suggester
from communique.schema import Schema
from conftest import BAND_SCHEMA, band_examples, band_pipeline, band_releases, train_bands

WANTED = [r.relations for r in band_releases()]


def relations_of(doc):
    return sorted((tuple(r["head"]), r["type"], tuple(r["tail"])) for r in doc._.relations)


@pytest.fixture
def gold(band_schema):
    nlp = band_pipeline()
    nlp.get_pipe("sentences")
    return [nlp.get_pipe("sentences")(to_doc(r, nlp.make_doc, band_schema)) for r in band_releases()]


def batch_of(docs, schema, max_sentences=3, max_between=30):
    keys = [mentions(d, schema.span_key) for d in docs]
    return build_pair_suggester(max_sentences, max_between)(docs, keys, schema), keys


def test_pairs_follow_the_signatures(gold, band_schema):
    batch, keys = batch_of(gold, band_schema)
    flat = [k for ks in keys for k in ks]
    doc_of = np.searchsorted(batch.offsets, np.arange(len(flat)), side="right")
    for row, (h, t) in enumerate(zip(batch.heads, batch.tails)):
        assert doc_of[h] == doc_of[t] and h != t
        for column, relation in enumerate(band_schema.relations):
            allowed = relation.allows(flat[h][2], flat[t][2]) and (not relation.symmetric or h < t)
            assert batch.allowed[row, column] == allowed
    pairs = set(zip(batch.heads.tolist(), batch.tails.tolist()))
    assert len(pairs) == len(batch)
    every = {
        (i, j)
        for i in range(len(flat))
        for j in range(len(flat))
        if i != j
        and doc_of[i] == doc_of[j]
        and any(r.allows(flat[i][2], flat[j][2]) and (not r.symmetric or i < j) for r in band_schema.relations)
    }
    assert pairs == every


def test_pairs_keep_their_distance(gold, band_schema):
    near, _ = batch_of(gold, band_schema, max_sentences=0)
    far, _ = batch_of(gold, band_schema)
    assert 0 < len(near) < len(far)
    assert (near.features[:, 1] == 3).all()
    neighbours, _ = batch_of(gold, band_schema, max_between=0)
    assert (np.abs(neighbours.heads - neighbours.tails) == 1).all()


def test_a_batch_equals_its_docs(gold, band_schema):
    together, _ = batch_of(gold, band_schema)
    rows = 0
    for i, doc in enumerate(gold):
        alone, _ = batch_of([doc], band_schema)
        part = slice(rows, rows + len(alone))
        assert (together.features[part] == alone.features).all()
        assert (together.heads[part] - together.offsets[i] == alone.heads).all()
        rows += len(alone)
    assert rows == len(together)


@pytest.mark.parametrize("texts", [[""], ["Nothing here"], ["", "Nothing here", ""]])
def test_no_candidates(texts, band_schema):
    nlp = spacy.blank("en")
    batch, _ = batch_of([nlp.make_doc(t) for t in texts], band_schema)
    assert len(batch) == 0 and batch.allowed.shape == (0, 4)


def fixed_vectors(width=6):
    def forward(model, docs, is_train):
        table = model.get_param("E")
        rows = [np.asarray([t.i % 50 for t in doc], dtype="i") for doc in docs]

        def backprop(d):
            grad = np.zeros_like(table)
            for r, dx in zip(rows, d):
                np.add.at(grad, r, dx)
            model.inc_grad("E", grad)
            return docs

        return [table[r] for r in rows], backprop

    def init(model, X=None, Y=None):
        model.set_param("E", np.random.default_rng(0).normal(size=(50, width)).astype("f"))

    return Model("fixed", forward, init=init, dims={"nO": width}, params={"E": None})


def test_model_gradients_equal_finite_differences(gold, band_schema):
    """Of every parameter, the token vectors' too, through the attention over the words between."""
    fix_random_seed(0)
    tok2vec = fixed_vectors()
    model = build_relation_model(tok2vec, hidden_width=5, dropout=0.0)
    batch, _ = batch_of(gold, band_schema)
    model.get_ref("pairs").set_dim("labels", len(band_schema.labels))
    model.get_ref("output_layer").set_dim("nO", 4)
    model.initialize(X=(gold, batch))
    weights = np.random.default_rng(1).normal(size=(len(batch), 4)).astype("f")
    for node in model.walk():
        for name in node.param_names:
            node.set_grad(name, np.zeros_like(node.get_param(name)))
    model.get_ref("output_layer").set_param("W", np.random.default_rng(3).normal(size=(4, 5)).astype("f"))
    _, backprop = model.begin_update((gold, batch))
    backprop(weights)

    def loss():
        return float((model.predict((gold, batch)).astype("float64") * weights).sum())

    rng = np.random.default_rng(2)
    for node in model.walk():
        for name in node.param_names:
            param, grad = node.get_param(name), node.get_grad(name)
            direction = rng.normal(size=param.shape).astype("f")
            direction /= np.linalg.norm(direction)
            eps = 2e-3
            node.set_param(name, param + eps * direction)
            high = loss()
            node.set_param(name, param - eps * direction)
            low = loss()
            node.set_param(name, param)
            wanted = (high - low) / (2 * eps)
            assert float((grad * direction).sum()) == pytest.approx(wanted, rel=0.05, abs=0.02), (node.name, name)


def test_learns_by_heart(bands):
    for release, doc in zip(band_releases(), bands.pipe([r.text for r in band_releases()])):
        found = from_doc(doc, "plans")
        want = {(release.mentions[r.head].start, r.type, release.mentions[r.tail].start) for r in release.relations}
        assert {(found.mentions[r.head].start, r.type, found.mentions[r.tail].start) for r in found.relations} == want
        assert {(m.start, m.end, m.label) for m in found.mentions} == {
            (m.start, m.end, m.label) for m in release.mentions
        }


def test_scores_and_evidence(bands):
    doc = bands(band_releases()[0].text)
    assert doc._.relations
    for r in doc._.relations:
        assert 0.5 <= r["score"] <= 1.0
        start, end = r["evidence"]
        assert start <= max(r["head"][0], r["tail"][0]) < end
    assert all(0 < e._.confidence <= 1 for e in [*doc.ents, *doc.spans["plans"]])


def test_to_disk_and_bytes(bands, tmp_path):
    text = band_releases()[0].text
    want = bands(text).to_json(underscore=["relations", "facts", "clusters", "confidences"])
    bands.to_disk(tmp_path / "model")
    for again in (spacy.load(tmp_path / "model"), band_pipeline().from_bytes(bands.to_bytes())):
        got = again(text).to_json(underscore=["relations", "facts", "clusters", "confidences"])
        assert json.dumps(got, sort_keys=True) == json.dumps(want, sort_keys=True)
        assert again.get_pipe("relations").schema == bands.get_pipe("relations").schema


def test_survives_serialisation(bands):
    doc = bands(band_releases()[0].text)
    want = doc._.relations
    assert want
    assert Doc(bands.vocab).from_bytes(doc.to_bytes())._.relations == want
    (unpacked,) = DocBin().from_bytes(DocBin(docs=[doc], store_user_data=True).to_bytes()).get_docs(bands.vocab)
    # DocBin gives tuples back for lists
    assert json.loads(json.dumps(unpacked._.relations)) == want
    assert from_doc(unpacked, "plans") == from_doc(doc, "plans")
    assert pickle.loads(pickle.dumps(doc))._.relations == want
    data = json.loads(json.dumps(doc.to_json(underscore=["relations"])))
    assert data["_"]["relations"] == want
    assert Doc(bands.vocab).from_json(data)._.relations == want


@pytest.mark.parametrize("n_process", [1, 2])
def test_n_process(bands, n_process):
    texts = ["", *(r.text for r in band_releases()), "Nothing here."]
    want = [relations_of(bands(t)) for t in texts]
    got = [relations_of(d) for d in bands.pipe(texts, n_process=n_process, batch_size=2)]
    assert got == want and any(want)


def test_one_by_one_equals_a_batch(bands):
    texts = [r.text for r in band_releases()]
    for alone, batched in zip(map(bands, texts), bands.pipe(texts, batch_size=3)):
        assert relations_of(alone) == relations_of(batched)
        for a, b in zip(alone._.relations, batched._.relations):
            assert a["score"] == pytest.approx(b["score"], abs=1e-5)


@pytest.mark.parametrize("train_on", ["gold", "predicted", "both"])
def test_trains_without_candidates(band_schema, train_on):
    nlp = band_pipeline()
    nlp.get_pipe("relations").train_on = train_on
    nlp.config["initialize"]["components"] = {"relations": {"label_scheme": band_schema.to_dict()}}
    optimizer = nlp.initialize(lambda: band_examples(nlp, band_schema))
    bare = [nlp.make_doc(t) for t in ("", "Nothing here.", " \n")]
    losses = nlp.update([Example(d, d.copy()) for d in bare], sgd=optimizer, losses={})
    assert losses["relations"] == 0.0
    losses = nlp.update([Example(bare[1], bare[1].copy()), *band_examples(nlp, band_schema)], sgd=optimizer, losses={})
    assert np.isfinite(losses["relations"])


def test_missing_entities_cost_recall(bands, band_schema):
    """Gold pairs whose entities were not found count as missed."""
    nlp = bands
    examples = band_examples(nlp, band_schema)
    with nlp.select_pipes(disable=["entities"]):
        scores = nlp.evaluate(examples)
    assert scores["rels_r"] < 0.5 and scores["rels_f"] < 1.0
    assert nlp.evaluate(band_examples(nlp, band_schema))["rels_f"] == 1.0


def test_labels_implicit_and_explicit(band_schema):
    nlp = band_pipeline()
    nlp.initialize(lambda: band_examples(nlp, band_schema))
    assert nlp.get_pipe("relations").labels == ("IN", "PLANS", "PLAYED", "WITH")
    assert nlp.get_pipe("entities").labels == ("BAND", "CITY", "SONG")
    explicit = band_pipeline()
    explicit.config["initialize"]["components"] = {
        "relations": {"label_scheme": BAND_SCHEMA},
        "entities": {"labels": ["BAND", "SONG", "CITY"]},
    }
    explicit.initialize(lambda: band_examples(explicit, band_schema))
    assert explicit.get_pipe("relations").labels == ("PLAYED", "IN", "PLANS", "WITH")
    assert explicit.get_pipe("entities").labels == ("BAND", "SONG", "CITY")


def test_no_labels(band_schema):
    nlp = spacy.blank("en")
    nlp.add_pipe("communique_relations")
    with pytest.raises(ValueError, match="no relation types"):
        nlp.initialize(lambda: [Example(nlp.make_doc("a b"), nlp.make_doc("a b"))])


def test_thresholds(bands):
    text = band_releases()[0].text
    pipe = bands.get_pipe("relations")
    try:
        pipe.thresholds = {"PLAYED": 1.01}
        assert not [r for r in bands(text)._.relations if r["type"] == "PLAYED"]
        pipe.thresholds, pipe.threshold = {}, 0.0
        assert len(bands(text)._.relations) > 3
    finally:
        pipe.thresholds, pipe.threshold = {}, 0.5


def test_exclusive_types_keep_the_likelier():
    data = {**BAND_SCHEMA, "checks": {"exclusive": [["PLAYED", "PLANS"]]}}
    pipe = band_pipeline().get_pipe("relations")
    pipe.cfg["schema"] = Schema.from_dict(data).to_dict()
    a, b = (0, 1, "BAND"), (2, 3, "SONG")
    kept = pipe._consistent([(a, b, "PLAYED", 0.6), (a, b, "PLANS", 0.9), (a, b, "IN", 0.7)])
    assert sorted(label for _, _, label, _ in kept) == ["IN", "PLANS"]


def test_training_repeats():
    a, b = (train_bands(10) for _ in range(2))
    for x, y in zip(a.get_pipe("relations").model.walk(), b.get_pipe("relations").model.walk()):
        for name in x.param_names:
            if x.has_param(name):
                assert (x.get_param(name) == y.get_param(name)).all()
