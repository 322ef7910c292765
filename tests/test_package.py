"""The package as others meet it: its registered names, its imports, the model that ships."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from communique.annotate.run import load_model, shipped_models
from communique.training import provenance

GROUPS = (
    "spacy_factories",
    "spacy_architectures",
    "spacy_tokenizers",
    "spacy_readers",
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


def imported_by(code: str) -> "set[str]":
    # None in sys.modules makes an import fail, as if the extras were not installed
    script = "import sys\nsys.modules.update(dict.fromkeys(['torch', 'scipy', 'transformers', 'spacy_transformers']))\n"
    script += f"{code}\nprint('\\n'.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_annotation_imports_no_training_code_and_no_torch():
    text = "Korea and Chile sign pact\\nKorea and Chile signed a memorandum of understanding today."
    code = "from communique.annotate.run import load_model, annotate\nfrom communique.release import Release\n"
    code += f"list(annotate(load_model('small'), [Release('a', '{text}')]))"
    modules = imported_by(code)
    ours = {m for m in modules if m.startswith("communique.")}
    assert not {m for m in ours if m.startswith(("communique.corpus", "communique.training", "communique.vectors"))}


def size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_the_model_that_ships_is_todays(root):
    """Trained from the config, the label scheme and the corpus that are in the repository now."""
    assert shipped_models() == ["small"]
    folder = root / "pipeline" / "communique" / "models" / "small"
    meta = json.loads((folder / "meta.json").read_text("utf8"))
    today = provenance(root / "configs" / "small.cfg", [root / "corpus" / "train", root / "corpus" / "dev"])
    assert meta["communique"] == today, "train and ship the small pipeline again: make train ship"
    assert size(folder) <= 12 * 1024 * 1024


def test_the_model_that_ships_reads_a_release(root, schema):
    nlp = load_model("small")
    assert nlp.get_pipe("relations").schema == schema
    doc = nlp(
        "Korea and Japan hold talks\nTrade Minister Baek Seo-yun met with Minister Sato Haruki in Tokyo on May 12, 2026."
    )
    assert {"PERSON", "PLACE", "DATE"} <= {e.label_ for e in doc.ents}
    assert doc._.relations and doc._.facts
    for r in doc._.relations:
        assert schema.relation(r["type"]).allows(r["head"][2], r["tail"][2])
