"""The datasheet of the corpus says what is so."""

import re
from pathlib import Path

import pytest

from communique.corpus.agreement import agreement, match_releases
from communique.corpus.exchange import read_gold
from communique.corpus.stats import corpus_stats, markdown
from communique.evaluate.metrics import LAYERS

PARTS = {"train": 320, "dev": 40, "test": 40}
TABLES = ("total", "labels", "names", "relations", "lengths", "kinds", "governments")


@pytest.fixture(scope="module")
def datasheet(root: Path) -> str:
    return (root / "corpus" / "README.md").read_text("utf8")


@pytest.fixture(scope="module")
def parts(root: Path):
    return {part: read_gold([root / "corpus" / part]) for part in PARTS}


@pytest.fixture(scope="module")
def tables(parts):
    return corpus_stats(r for releases in parts.values() for r in releases)


@pytest.mark.parametrize("name", TABLES)
def test_its_tables_are_those_of_the_stats_command(datasheet, tables, name):
    assert markdown({name: tables[name]}) in datasheet + "\n"


def test_its_parts(datasheet, parts):
    for part, releases in parts.items():
        words = sum(len(r.text.split()) for r in releases)
        assert re.search(rf"^\| `{part}` \| {len(releases)} \| {words:,} \|", datasheet, re.M)


def test_the_corpus_is_as_large_and_as_varied_as_it_should_be(parts, tables):
    assert all(len(releases) >= PARTS[part] for part, releases in parts.items())
    assert tables["total"]["words"] >= 100_000
    assert tables["names"]["PERSON"] >= 2_500
    assert len(tables["governments"]) >= 45 and "unknown" not in tables["governments"]
    few_relations = tables["kinds"]["statistics"] + tables["kinds"]["regulation"]
    assert few_relations >= 0.19 * tables["total"]["releases"]


def test_its_agreement_is_that_of_the_two_annotations(datasheet, root, schema):
    folder = root / "corpus" / "agreement"
    pairs = match_releases(read_gold([folder / "first.jsonl"]), read_gold([folder / "second.jsonl"]))
    assert len(pairs) >= 60
    scores = agreement(pairs, schema)
    for layer in (*LAYERS, "identity"):
        assert f"| {layer} | {100 * scores[layer]['f']:.1f} |" in datasheet


def test_the_readme_counts_right(root, tables):
    readme = (root / "README.md").read_text("utf8")
    releases, thousands = tables["total"]["releases"], round(tables["total"]["words"], -3)
    assert (
        f"{releases} releases, {thousands:,} words, in the manner of {len(tables['governments'])} governments" in readme
    )
