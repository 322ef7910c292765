"""A transformer pipeline exported to ONNX Runtime finds what it found under torch, without torch."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.util import load_model_from_config
from typer.testing import CliRunner

from communique.bridge import from_doc
from communique.cli import app
from communique.components.onnx_encoder import OnnxEncoder, align_pieces
from communique.errors import ConfigError
from communique.schema import Schema
from conftest import BAND_SCHEMA, band_examples, band_releases
from test_minilm import minilm_config

for needed in ("spacy_transformers", "onnxruntime", "onnx"):
    pytest.importorskip(needed)

TEXTS = [
    *(release.text for release in band_releases()),
    "Red Owls played\n\nMoonlight in Lisbon.  " * 40,
    "naïve café — № 3, KRW112bn “Ünïcode” 東京 🎸 e\u0301 U.S.-Japan",
    "\n",
    "unpronounceablylongandlowercase7890 " * 60,  # more word pieces in a window than the encoder has places for
]


@pytest.fixture(scope="module")
def trained(root, tiny_encoder, tmp_path_factory):
    """Folder of the band pipeline with the tiny transformer, its three texts learned."""
    spacy.util.fix_random_seed(0)
    config = minilm_config(root, tiny_encoder)
    config["components"]["transformer"]["model"]["get_spans"].update({"window": 40, "stride": 24})
    config["components"]["transformer"]["model"]["tokenizer_config"]["model_max_length"] = 512
    nlp = load_model_from_config(config, auto_fill=True)
    scheme = Schema.from_dict(BAND_SCHEMA)
    optimizer = nlp.initialize(lambda: band_examples(nlp, scheme))
    optimizer.learn_rate = 0.01
    annotates = ["sentences", "entities", "pledges"]
    for _ in range(40):
        nlp.update(band_examples(nlp, scheme), sgd=optimizer, losses={}, annotates=annotates)
    folder = tmp_path_factory.mktemp("trained") / "model"
    nlp.to_disk(folder)
    return folder


def export(trained, folder, *options):
    result = CliRunner().invoke(app, ["export", "onnx", str(trained), str(folder), *map(str, options)])
    return result


@pytest.fixture(scope="module")
def fp32(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fp32") / "model"
    assert export(trained, folder, "--precision", "fp32").exit_code == 0
    return folder


@pytest.fixture(scope="module")
def gold(tmp_path_factory):
    file = tmp_path_factory.mktemp("gold") / "gold.jsonl"
    file.write_text("".join(json.dumps(r.to_dict()) + "\n" for r in band_releases()), "utf8")
    return file


@pytest.fixture(scope="module")
def int8(trained, gold, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "model"
    assert export(trained, folder, "--texts", gold).exit_code == 0
    return folder


def found(nlp, texts):
    return [from_doc(doc, "plans") for doc in nlp.pipe(texts)]


def test_fp32_is_what_torch_computes(trained, fp32):
    torch, onnx = spacy.load(trained), spacy.load(fp32)
    want, got = found(torch, TEXTS), found(onnx, TEXTS)
    assert any(release.relations for release in want)
    for a, b in zip(want, got):
        assert [(m.start, m.end, m.label, m.cluster) for m in a.mentions] == [
            (m.start, m.end, m.label, m.cluster) for m in b.mentions
        ]
        assert [(r.type, r.head, r.tail) for r in a.relations] == [(r.type, r.head, r.tail) for r in b.relations]
        for x, y in zip(a.mentions, b.mentions):
            assert x.score == pytest.approx(y.score, abs=1e-3)


def test_token_vectors_are_spacy_transformers_own(trained, fp32):
    """Windows, word pieces and their means, on texts longer than a window and on odd characters."""
    from spacy_transformers.layers.trfs2arrays import trfs2arrays
    from thinc.api import reduce_mean

    torch, onnx = spacy.load(trained), spacy.load(fp32)
    docs = [torch.make_doc(text) for text in TEXTS]
    data = torch.get_pipe("transformer").predict(docs).doc_data
    want = trfs2arrays(reduce_mean(), 1.0).predict(data)
    got = onnx.get_pipe("transformer").predict([onnx.make_doc(text) for text in TEXTS])
    for a, b in zip(want, got):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_int8_is_close_and_smaller(fp32, int8):
    exact, small = spacy.load(fp32), spacy.load(int8)
    for text in TEXTS[:4]:
        a, b = (nlp.get_pipe("transformer").predict([nlp.make_doc(text)])[0] for nlp in (exact, small))
        error = np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(a, axis=1).mean()
        assert 0 < error < 0.05
    weights = [(folder / "transformer" / "encoder.onnx").stat().st_size for folder in (fp32, int8)]
    assert weights[1] < weights[0]
    assert spacy.load(int8).meta["encoder"] == {"runtime": "onnx", "precision": "int8"}


@pytest.mark.parametrize("threads", [1, 3])
def test_what_stands_beside_a_text_in_a_batch_changes_nothing(int8, threads):
    encoder = spacy.load(int8, config={"components": {"transformer": {"threads": threads}}}).get_pipe("transformer")
    nlp = spacy.load(int8)
    docs = [nlp.make_doc(text) for text in TEXTS]
    for doc, together in zip(docs, encoder.predict(docs)):
        np.testing.assert_array_equal(encoder.predict([doc])[0], together)


def test_round_trips_give_equal_output(int8, tmp_path):
    nlp = spacy.load(int8)
    want = found(nlp, TEXTS)
    nlp.to_disk(tmp_path / "again")
    assert found(spacy.load(tmp_path / "again"), TEXTS) == want
    other = load_model_from_config(nlp.config, auto_fill=True).from_bytes(nlp.to_bytes())
    assert found(other, TEXTS) == want
    encoder = nlp.get_pipe("transformer")
    again = pickle.loads(pickle.dumps(encoder))
    docs = [nlp.make_doc(text) for text in TEXTS]
    for a, b in zip(encoder.predict(docs), again.predict(docs)):
        np.testing.assert_array_equal(a, b)


def test_two_processes(int8):
    """A session that has run does not survive a fork: each process starts its own."""
    nlp = spacy.load(int8)
    want = found(nlp, TEXTS)
    assert [from_doc(doc, "plans") for doc in nlp.pipe(TEXTS, n_process=2, batch_size=2)] == want


def test_neither_torch_nor_transformers_are_imported(int8):
    code = f"""
import importlib.metadata, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "spacy_transformers", "onnx"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
# spaCy imports the factories of every distribution that is installed
every = importlib.metadata.distributions
importlib.metadata.distributions = lambda **kwargs: (
    d for d in every(**kwargs) if d.metadata["Name"] not in ("spacy-transformers", "spacy_transformers")
)
import spacy
doc = spacy.load({str(int8)!r})({TEXTS[0]!r})
print(len(doc._.relations))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0


def test_an_export_replaces_a_pipeline_and_nothing_else(trained, gold, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine", "utf8")
    refused = export(trained, folder, "--texts", gold)
    assert refused.exit_code == 2 and "something else than a pipeline" in refused.output
    assert (folder / "precious.txt").read_text("utf8") == "mine"
    (folder / "precious.txt").unlink()
    assert export(trained, folder, "--texts", gold).exit_code == 0
    (folder / "old").write_text("", "utf8")
    assert export(trained, folder, "--texts", gold).exit_code == 0
    assert not (folder / "old").exists() and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_what_can_not_be_exported(trained, tmp_path, bands):
    assert "int8 needs texts" in export(trained, tmp_path / "x").output
    assert "there is no precision 'int4'" in export(trained, tmp_path / "x", "--precision", "int4").output
    bands.to_disk(tmp_path / "bands")
    assert "one communique_transformer" in export(tmp_path / "bands", tmp_path / "x", "--precision", "fp32").output
    missing = export(trained, tmp_path / "x", "--texts", tmp_path / "missing.jsonl")
    assert missing.exit_code != 0 and "missing.jsonl" in missing.output
    assert not (tmp_path / "x").exists()


def test_an_encoder_that_was_never_loaded_says_so():
    nlp = spacy.blank("en")
    encoder = OnnxEncoder(nlp.vocab)
    with pytest.raises(ConfigError, match="communique export onnx"):
        encoder(nlp.make_doc("Red Owls"))


def test_heads_without_their_encoder_say_so(int8):
    nlp = spacy.load(int8, exclude=["transformer"])
    with pytest.raises(ConfigError, match="the encoder did not run"):
        nlp("Red Owls played Moonlight.")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), min_size=1, max_size=12), st.data())
def test_pieces_belong_to_the_tokens_that_they_overlap(gaps, data):
    starts, position = [], 7
    for gap, length in gaps:
        starts.append((position + gap, length))
        position += gap + length
    edges = np.asarray(starts)
    end = int(edges[-1].sum() - edges[0, 0])
    cuts = sorted(data.draw(st.sets(st.integers(0, end), max_size=10)))
    offsets = [(0, 0), *zip(cuts, cuts[1:]), (0, 0)]
    pieces, tokens = align_pieces(edges, offsets)
    got = set(zip(pieces.tolist(), tokens.tolist()))
    want = {
        (p, t)
        for p, (a, b) in enumerate(offsets)
        for t, (start, length) in enumerate(edges - [edges[0, 0], 0])
        if a < b and max(a, start) < min(b, start + length)
    }
    assert got == want and len(pieces) == len(want)
    assert (np.diff(tokens) >= 0).all()
