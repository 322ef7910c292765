"""The command line as a user meets it: exit codes, messages, files. On a tiny model of another domain."""

import json

import pytest
from typer.testing import CliRunner

from communique.cli import app
from conftest import BAND_TEXTS

run = CliRunner()


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "text": "Red Owls played Moonlight in Lisbon\\nThe Owls played.", "k": [1]}\n', "utf8")
    return path


def invoke(*args):
    return run.invoke(app, [str(a) for a in args])


def test_annotate(model, good, tmp_path):
    out = tmp_path / "deep" / "out.jsonl"
    result = invoke("annotate", good, "-o", out, "-m", model, "--view")
    assert result.exit_code == 0, result.output
    (line,) = out.read_text("utf8").splitlines()
    record = json.loads(line)
    assert record["id"] == "a" and record["k"] == [1]
    for entity in record["entities"]:
        assert record["text"][entity["start_offset"] : entity["end_offset"]].strip() and 0 < entity["score"] <= 1
    relation = next(r for r in record["relations"] if r["type"] == "PLAYED")
    start, end = relation["evidence"]
    assert record["text"][start:end].strip() == "Red Owls played Moonlight in Lisbon"
    assert "PLAYED" in result.output and "Red Owls played Moonlight in Lisbon" in result.output
    assert "1 releases" in result.output


def test_refused_records_cost_nobody_else(model, good, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n", "utf8")
    out = tmp_path / "out.jsonl"
    result = invoke("annotate", bad, good, "-o", out, "-m", model, "--json")
    assert result.exit_code == 1
    assert f"{bad}:1:" in result.output
    assert len(out.read_text("utf8").splitlines()) == 1
    summary = json.loads(next(x for x in result.output.splitlines() if x.startswith("{")))
    assert (summary["releases"], summary["refused"]) == (1, 1)


def test_standard_output(model, good):
    result = invoke("annotate", good, "-o", "-", "-m", model)
    assert result.exit_code == 0 and json.loads(result.stdout)["id"] == "a"


@pytest.mark.parametrize("case", ["model", "nothing", "input", "no-inputs", "foreign"])
def test_wrong_usage(model, good, tmp_path, case):
    import spacy

    args = {
        "model": ["annotate", good, "-o", tmp_path / "o", "-m", tmp_path / "no-model"],
        "nothing": ["annotate", good, "-o", tmp_path / "o", "-m", tmp_path],
        "input": ["annotate", tmp_path / "none.txt", "-o", tmp_path / "o", "-m", model],
        "no-inputs": ["annotate", "-o", tmp_path / "o"],
        "foreign": ["annotate", good, "-o", tmp_path / "o", "-m", tmp_path / "foreign"],
    }[case]
    spacy.blank("en").to_disk(tmp_path / "foreign")
    result = invoke(*args)
    assert result.exit_code == 2 and not (tmp_path / "o").exists()
    assert "Traceback" not in result.output and result.output.strip()


def test_facts(model, good, tmp_path):
    out = tmp_path / "out.jsonl"
    invoke("annotate", good, "-o", out, "-m", model)
    found = [json.loads(x) for x in invoke("facts", out, "--json").stdout.splitlines()]
    assert {f["type"] for f in found} >= {"PLAYED", "IN"} and all(f["release"] == "a" for f in found)
    only = [json.loads(x) for x in invoke("facts", out, "--json", "--type", "IN", "--name", "owls").stdout.splitlines()]
    assert only and {f["type"] for f in only} == {"IN"}
    assert not invoke("facts", out, "--json", "--name", "nobody").stdout
    assert "Moonlight" in invoke("facts", out).output


def write_domain(folder, schema_text=None):
    """The second domain: a label scheme, a corpus and a config of its own, no code."""
    (folder / "corpus").mkdir()
    for i, text in enumerate(BAND_TEXTS):
        (folder / "corpus" / f"b{i}.txt").write_text(f"id: b{i}\ndate: 2026-01-01\n\n{text}", "utf8")
    scheme = schema_text or (
        "[schema]\n[schema.entities]\nlabels = ['BAND','SONG','CITY']\nidentity = ['BAND','SONG']\n"
        "[schema.spans]\nkey = 'plans'\nlabels = ['PLAN']\n[schema.relations]\n"
        "[schema.relations.PLAYED]\nheads = ['BAND']\ntails = ['SONG']\n"
        "[schema.relations.IN]\nheads = ['BAND']\ntails = ['CITY']\n"
        "[schema.relations.PLANS]\nheads = ['BAND']\ntails = ['PLAN']\n"
        "[schema.relations.WITH]\nheads = ['BAND']\ntails = ['BAND']\nsymmetric = true\n"
    ).replace("'", '"')
    (folder / "schema.cfg").write_text(scheme, "utf8")


def test_another_domain_without_touching_code(root, tmp_path, monkeypatch):
    """Other labels, another corpus, another config: check, convert, train, evaluate, annotate, facts."""
    write_domain(tmp_path)
    config = (root / "configs" / "small.cfg").read_text("utf8")
    changes = {
        '"configs/schema.cfg"': f'"{tmp_path}/schema.cfg"',
        '"training/corpus/train.spacy"': f'"{tmp_path}/train.spacy"',
        '"training/corpus/dev.spacy"': f'"{tmp_path}/train.spacy"',
        'spans_key = "pledges"': 'spans_key = "plans"',
        'labels = ["PERSON","ROLE","AGENCY","ORG","COUNTRY","PLACE","AGREEMENT","MEETING"]\nrole': 'labels = ["BAND","SONG"]\nrole',
        "spans_pledges": "spans_plans",
        'normalisers = {"COUNTRY":"country","DATE":"date","MONEY":"money"}': "normalisers = {}",
    }
    for old, new in changes.items():
        assert old in config
        config = config.replace(old, new)
    before, after = config.index("[corpora.train.augmenter]"), config.index("[corpora.dev]")
    config = f"{config[:before]}augmenter = null\n\n{config[after:]}"
    (tmp_path / "bands.cfg").write_text(config, "utf8")
    cfg = tmp_path / "bands.cfg"
    result = invoke("corpus", "check", tmp_path / "corpus", "-c", cfg)
    assert result.exit_code == 0, result.output
    result = invoke("corpus", "convert", tmp_path / "corpus", tmp_path / "train.spacy", "-c", cfg)
    assert result.exit_code == 0, result.output
    sets = [
        "--set",
        "training.max_steps=60",
        "--set",
        "training.eval_frequency=20",
        "--set",
        "training.optimizer.learn_rate.warmup_steps=5",
    ]
    result = invoke("train", cfg, "-o", tmp_path / "model", "--corpus", tmp_path / "corpus", *sets)
    assert result.exit_code == 0, result.output
    scores = tmp_path / "scores.json"
    result = invoke("evaluate", tmp_path / "corpus", "-m", tmp_path / "model" / "model-best", "-o", scores)
    assert result.exit_code == 0, result.output
    record = json.loads(scores.read_text("utf8"))["scores"]
    assert record["entities"]["f"] > 0.8 and record["relations strict"]["f"] > 0.5
    meta = json.loads((tmp_path / "model" / "model-best" / "meta.json").read_text("utf8"))
    assert set(meta["communique"]) == {"config", "schema", "corpus"}


@pytest.mark.parametrize(
    "scheme, message",
    [
        ("[schema]\n[schema.entities]\nlabels = []\n", "names no labels"),
        (
            '[schema]\n[schema.entities]\nlabels = ["A"]\n[schema.relations]\n[schema.relations.R]\nheads = ["B"]\ntails = ["A"]\n',
            "unknown label 'B'",
        ),
        (
            '[schema]\n[schema.entities]\nlabels = ["A"]\n[schema.relations]\n[schema.relations.R]\nheads = ["A"]\n',
            "needs heads and tails",
        ),
        ('[schema]\n[schema.entities]\nlabels = ["A"]\n[schema.duplicates]\nwords = 8\n', "[schema.duplicates]: "),
        ('[schema]\n[schema.entities]\nlabels = ["A"]\n[schema.sweeps]\nrelated = ["B"]\n', "unknown label 'B'"),
        (
            '[schema]\n[schema.entities]\nlabels = ["A"]\n[schema.sweeps]\nneighbours = [["A","A"]]\n',
            "write [left label, right label, relation type]",
        ),
        (
            '[schema]\n[schema.entities]\nlabels = ["A"]\n[schema.sweeps]\n[schema.sweeps.cues]\n'
            '[schema.sweeps.cues.met]\nexpected = ["MET"]\nwords = ["met"]\n',
            "uses 'MET', no label and no type",
        ),
        ("[other]\n", "no [schema] section"),
        ("[schema\n", "can't read"),
    ],
)
def test_a_scheme_with_a_mistake(root, tmp_path, scheme, message):
    write_domain(tmp_path, scheme)
    config = (root / "configs" / "small.cfg").read_text("utf8").replace("configs/schema.cfg", f"{tmp_path}/schema.cfg")
    (tmp_path / "x.cfg").write_text(config, "utf8")
    result = invoke("corpus", "check", tmp_path / "corpus", "-c", tmp_path / "x.cfg")
    assert result.exit_code == 2
    assert message in result.output and str(tmp_path / "schema.cfg") in result.output.replace("\n", "")


def test_check_reports_defects(tmp_path, root):
    path = tmp_path / "x.txt"
    path.write_text("id: x\n\nTitle\n[the Forum](MEETING f.1) met.\n---\n", "utf8")
    args = ("corpus", "check", path, "-c", root / "configs" / "small.cfg")
    result = invoke(*args)
    assert result.exit_code == 1 and f"{path}:4:1: determiner:" in result.output
    (defect,) = json.loads(invoke(*args, "--json").stdout)
    assert (defect["line"], defect["code"]) == (4, "determiner")


def test_convert_split_stats(tmp_path, root, monkeypatch):
    monkeypatch.chdir(root)
    dev = root / "corpus" / "dev"
    assert invoke("corpus", "convert", dev, tmp_path / "dev.jsonl").exit_code == 0
    assert invoke("corpus", "convert", tmp_path / "dev.jsonl", tmp_path / "markup").exit_code == 0
    assert invoke("corpus", "convert", tmp_path / "markup", tmp_path / "dev.spacy").exit_code == 0
    result = invoke("corpus", "convert", tmp_path / "markup", tmp_path / "dev.zip")
    assert result.exit_code == 2 and ".zip" in result.output
    assert (
        invoke("corpus", "split", tmp_path / "dev.jsonl", tmp_path / "parts", "--parts", "a=0.5,b=0.5").exit_code == 0
    )
    lines = [(tmp_path / "parts" / f"{p}.jsonl").read_text("utf8").splitlines() for p in "ab"]
    assert sorted(lines[0] + lines[1]) == sorted((tmp_path / "dev.jsonl").read_text("utf8").splitlines())
    assert (
        invoke("corpus", "split", tmp_path / "dev.jsonl", tmp_path / "parts", "--parts", "a=0.5,b=0.4").exit_code == 2
    )
    tables = json.loads(invoke("corpus", "stats", dev, "--json").stdout)
    assert tables["total"]["releases"] == len(list(dev.glob("*.txt"))) == len(lines[0] + lines[1])
    assert "releases" in invoke("corpus", "stats", dev).output


def test_evaluate_names_bad_gold(model, tmp_path):
    path = tmp_path / "gold.jsonl"
    path.write_text('{"id": "a"}\n', "utf8")
    result = invoke("evaluate", path, "-m", model)
    assert result.exit_code == 1 and f"{path}:1: record" in result.output.replace("\n", "")


def test_help():
    result = invoke("--help")
    assert result.exit_code == 0
    for name in ("annotate", "evaluate", "train", "facts", "corpus"):
        assert name in result.output
