"""What docs/annotating.md says of the loop with Doccano holds: its commands run in order against a real one."""

import re
import shlex
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from communique.cli import app
from communique.doccano.options import load_options
from communique.schema import Schema
from test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "annotating.md"
LINES = [line for block in blocks("shell", [PAGE]) for line in block.splitlines() if line.strip()]


FEW = {"train": 4, "dev": 2}


def quick(line):
    """The command as the docs have it, a training cut short."""
    few = " --set training.max_steps=4 --set training.eval_frequency=2"
    return line + few if line.startswith("communique train ") else line


@pytest.fixture
def workplace(doccano, tmp_path, monkeypatch):
    """A folder that looks like the repository, but that its corpus is small; the commands run in it."""
    for name in ("examples", "configs", "corpus/registers", "training/vectors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    for part, count in FEW.items():
        (tmp_path / "corpus" / part).mkdir()
        for path in sorted((ROOT / "corpus" / part).glob("*.txt"), key=lambda path: path.stat().st_size)[:count]:
            shutil.copy(path, tmp_path / "corpus" / part)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line):
    result = CliRunner().invoke(app, shlex.split(quick(line))[1:])
    assert result.exit_code == 0, f"{line}\n{result.output}"
    return result.output


def test_there_are_ten_commands():
    assert len(LINES) == 10
    assert all(line.startswith(("make ", "export DOCCANO_", "communique ")) for line in LINES)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_targets_exist(line):
    done = subprocess.run(["make", "-n", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_loop(doccano, workplace):
    """All commands of communique in order; in between, somebody corrects a release and confirms it."""
    commands = [line for line in LINES if line.startswith("communique ")]
    run("communique corpus convert corpus/dev training/corpus/dev.spacy")  # as `make corpus` does
    said = {}
    for line in commands:
        said[line] = run(line)
        if "push" in line and len(said) == 1:
            project = doccano.person().project("Releases")
            (name, _) = [e["meta"]["communique"]["id"] for e in project.examples()]
            project.unlabel(name, project.spans(name)[-1]["id"])
            project.confirm(name)
            assert project.example(name)["is_confirmed"]
    first, *_, last = commands
    assert "2 new" in said[first] and "1 kept" in said[last] and "1 updated" in said[last]
    assert (workplace / "out" / "corrected" / f"{name}.txt").exists()
    assert "entities" in said[next(line for line in commands if " evaluate " in line)]


def test_the_settings_that_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (shown,) = blocks("ini", [PAGE])
    (tmp_path / "x.cfg").write_text(shown, "utf8")
    options = load_options(tmp_path / "x.cfg")
    assert options.colours.fixed == {"PERSON": "#9ecae1"} and options.project.guideline == "docs/annotating.md"


def test_the_guide_names_every_label_and_relation_with_its_signature():
    schema = Schema.from_disk(ROOT / "configs" / "schema.cfg")
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in PAGE.read_text("utf8").splitlines() if row[:1] == "|"
    ]
    assert {row[0] for row in rows} >= {*schema.entities, *schema.relation_names}
    by_name = {row[0]: row for row in rows}
    for relation in schema.relations:
        for cell, labels in zip(by_name[relation.name][1:3], (relation.heads, relation.tails)):
            named = set(re.findall(r"[A-Z]{3,}", cell))
            assert named <= set(labels) and (named == set(labels) or not named)


def test_the_pictures_are_there():
    for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE.read_text("utf8")):
        assert (PAGE.parent / path).read_bytes().startswith(b"\x89PNG") and (
            PAGE.parent / path
        ).stat().st_size < 150_000
