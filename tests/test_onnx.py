"""A transformer pipeline exported to ONNX Runtime finds what it found under torch, without torch."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.util import load_model_from_config
from typer.testing import CliRunner

from communique.annotate.run import load_model
from communique.bridge import from_doc
from communique.cli import app
from communique.components.onnx_encoder import OnnxEncoder, align_pieces, multiplies_exactly
from communique.corpus.exchange import read_gold
from communique.errors import ConfigError
from communique.export.folder import replace_folder
from communique.export.onnx import export_onnx
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
    config["components"]["transformer"]["model"]["get_spans"]["size"] = 40
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
    split = torch.get_pipe("sentences")
    docs = [split(torch.make_doc(text)) for text in TEXTS]
    data = torch.get_pipe("transformer").predict(docs).doc_data
    want = trfs2arrays(reduce_mean(), 1.0).predict(data)
    got = onnx.get_pipe("transformer").predict([split(onnx.make_doc(text)) for text in TEXTS])
    for a, b in zip(want, got):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_int8_is_close_and_smaller(fp32, int8):
    exact, small = spacy.load(fp32), spacy.load(int8)
    for text in TEXTS[:4]:
        a, b = (nlp.get_pipe("transformer").predict([nlp.make_doc(text)])[0] for nlp in (exact, small))
        error = np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(a, axis=1).mean()
        assert 0 < error < 0.05
    weights = [(folder / "transformer" / "encoder.onnx").stat().st_size for folder in (fp32, int8)]
    assert weights[1] < 0.8 * weights[0]  # the tiny encoder is mostly nodes and places, which stay
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


def test_an_old_pipeline_comes_back_when_the_new_one_can_not_be_put_there(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("meta.json", "config.cfg"):
        (folder / name).write_text("old", "utf8")
    rename = Path.rename

    def failing(self, target):
        if self.name == "new":
            raise OSError("no room")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no room"):
        replace_folder(folder, lambda new: new.mkdir())
    assert (folder / "meta.json").read_text("utf8") == "old" and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    replace_folder(tmp_path / "link", lambda new: (new.mkdir(), (new / "meta.json").write_text("new", "utf8"))[0])
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target" / "meta.json").exists()


def test_disabled_components_keep_their_weights(trained, fp32):
    nlp = export_onnx(spacy.load(trained, disable=["pledges"]), "fp32")
    nlp.enable_pipe("pledges")
    assert found(nlp, TEXTS) == found(spacy.load(fp32), TEXTS)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"}}, "only windows by"),
        ({"pooling": {"@layers": "reduce_max.v1"}}, "only word pieces pooled by"),
    ],
)
def test_what_the_encoder_could_not_compute_alike_is_refused(root, tiny_encoder, change, message):
    config = minilm_config(root, tiny_encoder)
    if "pooling" in change:
        config["components"]["pledges"]["model"]["tok2vec"].update(change)
    else:
        config["components"]["transformer"]["model"].update(change)
    nlp = load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: band_examples(nlp, Schema.from_dict(BAND_SCHEMA)))
    with pytest.raises(ConfigError, match=message):
        export_onnx(nlp, "fp32")


def test_the_texts_that_are_measured_leave_no_words_behind(int8, gold):
    kept = set(json.loads((int8 / "vocab" / "strings.json").read_text("utf8")))
    words = {word for release in read_gold([gold]) for word in release.text.split()}
    assert {"Moonlight", "Lisbon"} <= words and not {"Moonlight", "Lisbon"} & kept


def test_texts_without_a_word_are_no_texts(trained):
    with pytest.raises(ConfigError, match="int8 needs texts"):
        export_onnx(spacy.load(trained), "int8", ["", "\n"])


@pytest.mark.parametrize("name", ["encoder.onnx", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_broken_file_is_named(int8, tmp_path, name, content):
    shutil.copytree(int8, tmp_path / "model")
    (tmp_path / "model" / "transformer" / name).write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        load_model(tmp_path / "model")


def test_an_error_handler_is_told_and_the_stream_goes_on(int8, monkeypatch):
    nlp = spacy.load(int8)
    told = []
    nlp.set_error_handler(lambda name, pipe, docs, error: told.append((name, [d.text for d in docs], str(error))))
    encode = OnnxEncoder._encode

    def failing(self, text, edges):
        if "crash" in text:
            raise ValueError("as it should")
        return encode(self, text, edges)

    monkeypatch.setattr(OnnxEncoder, "_encode", failing)
    texts = ["Red Owls played.", "A crash.", "Tin Cats played."]
    assert [d.text for d in nlp.pipe(texts, batch_size=1)] == [texts[0], texts[2]]
    assert told == [("transformer", ["A crash."], "as it should")]


def test_threads_read_nothing_of_a_doc(int8, monkeypatch):
    """Its memory may be gone before they are done, as when a stream is left early in a memory zone."""
    given = []
    encode = OnnxEncoder._encode
    monkeypatch.setattr(OnnxEncoder, "_encode", lambda self, *args: given.append(args) or encode(self, *args))
    spacy.load(int8)(TEXTS[0])
    assert given and {type(value) for args in given for value in args} == {str, np.ndarray}


@pytest.mark.parametrize(
    "flags, exact", [("fma avx2 avx512_vnni", True), ("fma avx2 avx_vnni", True), ("fma avx2", False)]
)
def test_processors_on_which_products_could_overflow(tmp_path, monkeypatch, flags, exact):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n", "utf8")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert multiplies_exactly(tmp_path / "cpuinfo") is exact
    assert not multiplies_exactly(tmp_path / "missing")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert multiplies_exactly(tmp_path / "missing")


def test_the_careful_way_to_multiply_gives_the_same(int8, monkeypatch):
    fast = spacy.load(int8)
    monkeypatch.setattr("communique.components.onnx_encoder.multiplies_exactly", lambda: False)
    careful = spacy.load(int8)
    docs = [fast.make_doc(text) for text in TEXTS]
    for a, b in zip(*(nlp.get_pipe("transformer").predict(docs) for nlp in (fast, careful))):
        np.testing.assert_allclose(a, b, atol=1e-4)


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
