"""The package as others meet it: its registered names, its imports, the model that ships."""

import json
import pickle
import subprocess
import sys
from importlib.metadata import entry_points, requires
from pathlib import Path

import pytest
from spacy.tokens.underscore import Underscore

from communique.annotate.models import shipped_models
from communique.annotate.run import load_model
from communique.training import provenance

SHIPPED = {"minilm": 35, "small": 12}  # MB at most
GROUPS = (
    "spacy_factories",
    "spacy_architectures",
    "spacy_tokenizers",
    "spacy_readers",
    "spacy_augmenters",
    "spacy_misc",
    "spacy_scorers",
    "thinc_optimizers",
)


@pytest.mark.parametrize("group", GROUPS)
def test_every_registered_name_resolves(group):
    found = [e for e in entry_points(group=group) if e.name.startswith("communique")]
    assert found
    for entry in found:
        assert callable(entry.load())


@pytest.mark.parametrize("name", SHIPPED)
def test_annotation_imports_no_training_code(name):
    text = "Korea and Chile sign pact\\nKorea and Chile signed a memorandum of understanding today."
    code = (
        "import sys\nfrom communique.annotate.run import load_model, annotate\nfrom communique.release import Release\n"
        f"list(annotate(load_model('{name}'), [Release('a', '{text}')]))\nprint('\\n'.join(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(result.stdout.split())
    ours = {m for m in modules if m.startswith("communique.")}
    assert not {
        m
        for m in ours
        if m.startswith(("communique.corpus", "communique.training", "communique.vectors", "communique.export"))
    }
    assert "communique.components.relations" in ours


def test_the_base_install_needs_no_torch():
    base = [r for r in requires("communique") if "extra ==" not in r]
    assert base and not any(r.startswith(("torch", "spacy-transformers", "scipy", "transformers")) for r in base)


def test_the_command_line_imports_no_service():
    code = "import sys, communique.cli, communique.workers\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fastapi", "uvicorn", "numpy"} & set(result.stdout.split())


def test_no_factory_imports_what_only_an_extra_installs():
    """spaCy imports all factories at once, of pipelines that need none of them too."""
    code = (
        "import sys\nfrom importlib.metadata import entry_points\n"
        "for e in entry_points(group='spacy_factories'):\n"
        "    if e.name.startswith('communique'):\n"
        "        e.load()\n"
        "print('\\n'.join(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in result.stdout.split()}
    assert "communique" in roots
    assert not roots & {"transformers", "spacy_transformers", "scipy", "matplotlib", "datasketch"}


def size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_what_ships():
    assert shipped_models() == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_model_that_ships_is_todays(root, name):
    """Trained from the config, the label scheme and the corpus that are in the repository now."""
    folder = root / "pipeline" / "communique" / "models" / name
    meta = json.loads((folder / "meta.json").read_text("utf8"))
    today = provenance(root / "configs" / f"{name}.cfg", [root / "corpus" / "train", root / "corpus" / "dev"])
    assert meta["communique"] == today, f"train and ship it again: make train ship CONFIG={name}"
    assert size(folder) <= SHIPPED[name] * 1024 * 1024


@pytest.mark.parametrize("name", SHIPPED)
def test_the_model_that_ships_reads_a_release(name, schema):
    nlp = load_model(name)
    assert nlp.get_pipe("relations").schema.to_dict() == schema.to_dict()
    doc = nlp(
        "Korea and Japan hold talks\nTrade Minister Baek Seo-yun met with Minister Sato Haruki in Tokyo on May 12, 2026."
    )
    assert {"PERSON", "PLACE", "DATE"} <= {e.label_ for e in doc.ents}
    assert doc._.relations and doc._.facts
    for r in doc._.relations:
        assert schema.relation(r["type"]).allows(r["head"][2], r["tail"][2])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_model_that_ships_holds_no_words_of_its_training_texts(name):
    """Names of its releases, and those that the augmenters put in, went into the string store while it was trained."""
    nlp = load_model(name)
    vectors = nlp.vocab.vectors.key2row
    labels = {label for _, pipe in nlp.pipeline for label in getattr(pipe, "labels", ())}
    kept = set(json.loads((Path(nlp.path) / "vocab" / "strings.json").read_text("utf8")))
    known = set(nlp.__class__().vocab.strings) | labels
    assert not {word for word in kept - known if nlp.vocab.strings[word] not in vectors}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_model_that_ships_pickles(name):
    """Processes that are spawned get it so, with the extensions of what it finds."""
    nlp = load_model(name)
    doc, again = (
        n("Korea and Norway sign MOU in Oslo on May 12, 2026.") for n in (nlp, pickle.loads(pickle.dumps(nlp)))
    )
    assert doc.ents and again.to_json(underscore=["facts", "norms"]) == doc.to_json(underscore=["facts", "norms"])
    _, spans, docs = pickle.loads(pickle.dumps(Underscore.get_state()))
    assert {"confidence", "norm", "cluster"} <= set(spans) and {"facts", "norms"} <= set(docs)
