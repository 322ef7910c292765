"""What the tests share: a label scheme of their own, tiny pipelines built on the spot, paths."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

from communique.bridge import to_doc
from communique.corpus.exchange import load_tokenizer
from communique.release import Release
from communique.schema import Schema

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="take the pictures of docs/annotating.md anew")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema.from_disk(ROOT / "configs" / "schema.cfg")


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return load_tokenizer(ROOT / "configs" / "small.cfg")[0].tokenizer


@pytest.fixture(scope="session")
def real_dev() -> List[Release]:
    path = SHARED / "data" / "real-dev.jsonl"
    if not path.exists():
        pytest.skip("the real releases are not there")
    return [Release.from_dict(json.loads(line)) for line in path.read_text("utf8").splitlines()]


@pytest.fixture(scope="session")
def listing() -> Path:
    path = SHARED / "data" / "motie-listing.txt"
    if not path.exists():
        pytest.skip("the real releases are not there")
    return path


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer and a word-piece vocabulary of the band texts' letters."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("spacy_transformers")
    folder = tmp_path_factory.mktemp("encoder")
    letters = "abcdefghijklmnopqrstuvwxyz.,0123456789"
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocab), "utf8")
    config = transformers.BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def doccano_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Doccano, one for all tests."""
    from doccano_server import DoccanoServer, missing

    if missing():
        assert "CI" not in os.environ, missing()
        pytest.skip(missing())
    server = DoccanoServer(tmp_path_factory.mktemp("doccano"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def doccano(doccano_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, its credentials and the client's environment set for the command line, in the repository."""
    from doccano_server import CLIENT

    for name, value in doccano_server.credentials.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMMUNIQUE_DOCCANO_PYTHON", str(CLIENT / "bin" / "python"))
    monkeypatch.chdir(ROOT)
    return doccano_server


# A domain that has nothing to do with governments: bands, instruments and the songs they will record.
BAND_SCHEMA: Dict[str, Any] = {
    "entities": {"labels": ["BAND", "SONG", "CITY"], "identity": ["BAND", "SONG"]},
    "spans": {"key": "plans", "labels": ["PLAN"]},
    "relations": {
        "PLAYED": {"heads": ["BAND"], "tails": ["SONG"]},
        "IN": {"heads": ["BAND"], "tails": ["CITY"]},
        "PLANS": {"heads": ["BAND"], "tails": ["PLAN"]},
        "WITH": {"heads": ["BAND"], "tails": ["BAND"], "symmetric": True},
    },
}

BAND_TEXTS = [
    "[Red Owls](BAND o.1) played [Moonlight](SONG m.1) in [Lisbon](CITY c1)\nThe [Owls](BAND o.2) played with [Tin Cats](BAND t.1).\n---\no.1 PLAYED m.1\no.1 IN c1\no.2 WITH t.1\n",
    "[Tin Cats](BAND t.1) played in [Oslo](CITY c1)\n[Tin Cats](BAND t.2) will [record [Rainfall](SONG r.1)](PLAN p1).\n---\nt.1 IN c1\nt.2 PLANS p1\n",
    "[Blue Foxes](BAND f.1) in [Madrid](CITY c1)\n[Blue Foxes](BAND f.2) played [Rainfall](SONG r.1) with [Red Owls](BAND o.1).\n---\nf.1 IN c1\nf.2 PLAYED r.1\nf.2 WITH o.1\n",
]


@pytest.fixture(scope="session")
def band_schema() -> Schema:
    return Schema.from_dict(BAND_SCHEMA)


def band_releases() -> List[Release]:
    from communique.corpus.markup import parse

    return [parse(f"id: band-{i}\n\n{text}").release.canonical() for i, text in enumerate(BAND_TEXTS)]


def band_examples(nlp: Language, schema: Schema) -> List[Example]:
    return [Example(nlp.make_doc(r.text), to_doc(r, nlp.make_doc, schema)) for r in band_releases()]


def band_pipeline() -> Language:
    """Untrained: sentences, entities, plans, relations, identity, facts, each with a small model of its own."""
    nlp = spacy.blank("en")
    nlp.add_pipe("communique_sentences", name="sentences")
    nlp.add_pipe("communique_spans", name="entities")
    nlp.add_pipe("communique_spans", name="plans", config={"spans_key": "plans"})
    nlp.add_pipe("communique_relations", name="relations")
    nlp.add_pipe("communique_identity", name="identity", config={"labels": ["BAND", "SONG"]})
    nlp.add_pipe("communique_facts", name="facts")
    return nlp


def train_bands(steps: int = 60) -> Language:
    """The band pipeline, trained until it has learned its three texts by heart."""
    spacy.util.fix_random_seed(0)
    nlp = band_pipeline()
    scheme = Schema.from_dict(BAND_SCHEMA)
    nlp.config["initialize"]["components"] = {"relations": {"label_scheme": scheme.to_dict()}}
    optimizer = nlp.initialize(lambda: band_examples(nlp, scheme))
    optimizer.learn_rate = 0.005
    for _ in range(steps):
        examples = band_examples(nlp, scheme)
        nlp.update(examples, sgd=optimizer, annotates=["sentences", "entities", "plans"])
    return nlp


@pytest.fixture(scope="session")
def bands() -> Language:
    return train_bands()


@pytest.fixture(scope="session")
def model(bands: Language, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the same pipeline, for commands to load."""
    folder = tmp_path_factory.mktemp("model") / "bands"
    bands.to_disk(folder)
    return str(folder)
