"""Augmented releases: every offset, cluster and relation of the original stays true."""

from random import Random

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import Example
from spacy.training.loop import create_train_batches
from spacy.util import load_config, registry

from communique.bridge import from_doc, to_doc
from communique.corpus.check import Checker
from communique.corpus.edits import Edit, apply_edits
from communique.corpus.exchange import read_gold, to_docbin
from communique.corpus.markup import parse, write
from communique.corpus.style import restyle_headline
from communique.corpus.swap import (
    Registers,
    articles,
    merge,
    swap_agencies,
    swap_amounts,
    swap_countries,
    swap_dates,
    swap_persons,
    swap_portfolios,
)
from communique.errors import ConfigError
from communique.release import Mention, Release

TEXT = """id: kr-2025-03-18-chile
date: 2025-03-18

[Korea](COUNTRY kr.1) and [Chile](COUNTRY cl.1) sign [Korea-Chile Minerals Pact](AGREEMENT a.1)
[Trade Minister](ROLE r.1) [Han Do-jin](PERSON han.1) of the [Ministry of Trade and Industry](AGENCY m.1) (“[MTI](AGENCY m.2)”) met a [Chilean](COUNTRY cl.2) delegation on [March 18, 2025](DATE d1). – [Han](PERSON han.2) vowed to [lend [Chile](COUNTRY cl.3) [USD 12.5 million](MONEY m1)](PLEDGE p1). The [Ministry](AGENCY m.3) is glad.
---
kr.1 PARTY_TO a.1
cl.1 PARTY_TO a.1
han.1 HAS_ROLE r.1
han.1 REPRESENTS m.1
han.2 PLEDGED p1
p1 WORTH m1
"""


@pytest.fixture(scope="module")
def original():
    return parse(TEXT, "x.txt").release.canonical()


@pytest.fixture(scope="module")
def nlp(tokenizer):
    blank = spacy.blank("en")
    blank.tokenizer = tokenizer
    return blank


@pytest.fixture(scope="module")
def registers(root):
    return Registers.from_disk(root / "corpus" / "registers")


def augmenter(kind, root, **settings):
    return registry.augmenters.get(kind)(schema=str(root / "configs" / "schema.cfg"), **settings)


LABELS = {
    "persons": "PERSON",
    "agencies": "AGENCY",
    "countries": "COUNTRY",
    "portfolios": "ROLE",
    "dates": "DATE",
    "amounts": "MONEY",
}


def swapper(root, labels=LABELS, **settings):
    return augmenter(
        "communique.Swap.v1",
        root,
        level=1.0,
        share=1.0,
        labels=labels,
        inside=["AGREEMENT"],
        registers=str(root / "corpus/registers"),
        **settings,
    )


def styler(root, **settings):
    return augmenter(
        "communique.Restyle.v1",
        root,
        level=1.0,
        share=1.0,
        honorifics=["Mr", "H.E."],
        title="ROLE",
        name="PERSON",
        **settings,
    )


def augmented(augment, release, nlp, schema):
    example = Example(nlp.make_doc(release.text), to_doc(release, nlp.make_doc, schema))
    return [from_doc(e.reference, schema.span_key) for e in augment(nlp, example)]


def shape(release):
    """What an augmenter may not change: labels in order, clusters, relations by place."""
    order = {m.id: n for n, m in enumerate(release.canonical().mentions)}
    clusters = {}
    names = [clusters.setdefault(m.cluster, len(clusters)) if m.cluster else None for m in release.canonical().mentions]
    relations = sorted((order[r.head], r.type, order[r.tail]) for r in release.canonical().relations)
    return [m.label for m in release.canonical().mentions], names, relations


@st.composite
def texts_with_edits(draw):
    """A release of random words, some tagged, and edits that replace whole words."""
    words = draw(st.lists(st.text(alphabet="abé🙂“", min_size=1, max_size=5), min_size=1, max_size=12))
    text, mentions, edits = "", [], []
    for n, word in enumerate(words):
        start = len(text)
        text += word + " "
        if draw(st.booleans()):
            mentions.append(Mention(n + 1, "COUNTRY", start, start + len(word), f"c{n}"))
        if draw(st.booleans()):
            edits.append(Edit(start, start + len(word), draw(st.text(alphabet="xyü🙃", min_size=1, max_size=6))))
    return Release(id="a", text=text, title=None, mentions=mentions, relations=[]), edits


@given(texts_with_edits())
def test_edits_move_every_mention_along(drawn):
    release, edits = drawn
    new = {e.start: e.new for e in edits}
    changed = apply_edits(release, edits)
    for old, moved in zip(release.mentions, changed.mentions):
        assert changed.span_text(moved) == new.get(old.start, release.span_text(old))
    assert len(changed.text) == len(release.text) + sum(len(e.new) - (e.end - e.start) for e in edits)


def test_edits_that_would_lose_something_are_refused(original):
    m = original.mentions[0]
    with pytest.raises(ValueError, match="crosses the edge"):
        apply_edits(original, [Edit(m.end - 1, m.end + 1, "x")])
    with pytest.raises(ValueError, match="overlap"):
        apply_edits(original, [Edit(0, 3, "x"), Edit(2, 5, "y")])
    with pytest.raises(ValueError, match="lines"):
        apply_edits(original, [Edit(original.text.index("\n"), original.text.index("\n") + 1, " ")])


def test_merge_keeps_the_earlier_groups_edit():
    first, second = [Edit(2, 5, "a")], [Edit(4, 6, "b"), Edit(5, 6, "c")]
    assert merge([first, second]) == [Edit(2, 5, "a"), Edit(5, 6, "c")]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_augmented_releases_are_as_good_as_the_original(root, schema, tokenizer, nlp, original, seed):
    for make in (swapper, styler):
        (changed,) = augmented(make(root, seed=seed), original, nlp, schema)
        assert shape(changed) == shape(original)
        again = parse(write(changed), "x.txt")
        untagged = {"untagged"}  # a new name may also be an ordinary word of the text
        assert not [d for d in Checker(schema, tokenizer).release(again) if d.code not in untagged]


def test_every_kind_of_name_is_swapped(root, schema, nlp, original):
    labels = ("PERSON", "AGENCY", "COUNTRY", "DATE", "MONEY", "AGREEMENT")
    seen = {label: set() for label in labels}
    for seed in range(10):
        (changed,) = augmented(swapper(root, seed=seed), original, nlp, schema)
        for m in changed.mentions:
            seen.get(m.label, set()).add(changed.span_text(m))
    assert all(len(texts) > 3 for texts in seen.values()), seen


def test_a_country_changes_wherever_it_is_named(registers, original):
    for seed in range(20):
        edits = list(swap_countries(original, "COUNTRY", registers, Random(seed), 1.0, ["AGREEMENT"]))
        changed = apply_edits(original, edits)
        mentions = {
            original.span_text(old): changed.span_text(new) for old, new in zip(original.mentions, changed.mentions)
        }
        assert mentions["Korea-Chile Minerals Pact"] == f"{mentions['Korea']}-{mentions['Chile']} Minerals Pact"
        country = next(c for c in registers.countries if c["name"] == mentions["Chile"])
        assert mentions["Chilean"] == country["adjective"]


def test_a_bodys_forms_change_together(registers, original):
    changed = apply_edits(original, swap_agencies(original, "AGENCY", registers, Random(1), 1.0))
    name, abbreviation, short = [changed.span_text(m) for m in changed.mentions if m.label == "AGENCY"]
    body = next(a for a in registers.agencies if a["name"] == name)
    assert (abbreviation, short) == (body["abbreviation"], "Ministry")


def test_a_person_keeps_one_name(registers, original):
    changed = apply_edits(original, swap_persons(original, "PERSON", registers, Random(3), 1.0))
    full, short = [changed.span_text(m) for m in changed.mentions if m.label == "PERSON"]
    assert full != "Han Do-jin" and short in full and short != full


def test_style_changes_quotes_dashes_headline_and_honorifics(root, schema, nlp, original):
    texts = {augmented(styler(root, seed=s), original, nlp, schema)[0].text for s in range(30)}
    assert any('("MTI")' in t for t in texts)
    assert any(" — " in t for t in texts) and any(" - " in t for t in texts)
    assert any(t.startswith("KOREA AND CHILE SIGN") for t in texts)
    assert any(t.startswith("Korea and Chile Sign") for t in texts)
    assert any("Trade Minister H.E. Han Do-jin" in t for t in texts)


def test_level_zero_changes_nothing_and_the_same_seed_repeats(root, schema, nlp, original):
    still = augmenter(
        "communique.Restyle.v1", root, level=0.0, share=1.0, honorifics=["Mr"], title="ROLE", name="PERSON"
    )
    assert augmented(still, original, nlp, schema)[0].text == original.text
    first, second = (swapper(root, seed=5) for _ in range(2))
    for _ in range(3):
        assert augmented(first, original, nlp, schema)[0].text == augmented(second, original, nlp, schema)[0].text


def test_a_chain_applies_one_after_the_other(root, schema, nlp, original):
    chain = registry.augmenters.get("communique.Chain.v1")(swapper(root, seed=2), styler(root, seed=2))
    (changed,) = augmented(chain, original, nlp, schema)
    assert "Han Do-jin" not in changed.text and '("' in changed.text
    assert shape(changed) == shape(original)


def test_only_the_kinds_that_are_named_are_swapped(root, schema, nlp, original):
    (changed,) = augmented(swapper(root, labels={"amounts": "MONEY"}, seed=1), original, nlp, schema)
    texts = {original.span_text(old): changed.span_text(new) for old, new in zip(original.mentions, changed.mentions)}
    assert [old for old, new in texts.items() if old != new and "USD" not in old] == []
    assert texts["USD 12.5 million"] != "USD 12.5 million"


def test_an_unknown_kind_is_an_error(root):
    with pytest.raises(ConfigError, match="knows no 'ships'"):
        swapper(root, labels={"ships": "ORG"})


def test_unknown_labels_and_missing_registers_are_errors(root, tmp_path):
    with pytest.raises(ConfigError, match="unknown label 'PERSN'"):
        swapper(root, labels={"persons": "PERSN"})
    with pytest.raises(ConfigError, match="unknown label 'TITLE'"):
        augmenter("communique.Restyle.v1", root, level=1.0, share=1.0, honorifics=[], title="TITLE", name="PERSON")
    with pytest.raises(ConfigError, match="can't read the registers"):
        augmenter(
            "communique.Swap.v1", root, level=1.0, share=1.0, labels={}, inside=[], registers=str(tmp_path / "none")
        )


def release_of(text):
    return parse(f"id: a\ntitle: Title\n\nTitle\n{text}\n---\n", "a.txt").release.canonical()


def texts_of(release, label):
    return [release.span_text(m) for m in release.mentions if m.label == label]


def test_different_things_stay_different(registers):
    people = " ".join(f"[Ann Smith{n}](PERSON p{n}.1), [Minister of Tin{n}](ROLE r{n}.1)," for n in range(8))
    bodies = " ".join(f"[Ministry of Tin{n}](AGENCY a{n}.1)," for n in range(8))
    release = release_of(people + bodies)
    for seed in range(20):
        random = Random(seed)
        for swap, label in ((swap_persons, "PERSON"), (swap_portfolios, "ROLE"), (swap_agencies, "AGENCY")):
            changed = apply_edits(release, swap(release, label, registers, random, 1.0))
            assert len(set(texts_of(changed, label))) == 8


def test_the_same_amount_stays_the_same(registers):
    release = release_of("[USD 44 million](MONEY) of it and [USD 44 million](MONEY)")
    for seed in range(20):
        changed = apply_edits(release, swap_amounts(release, "MONEY", registers, Random(seed), 1.0))
        first, second = texts_of(changed, "MONEY")
        assert first == second


def test_dates_are_in_the_calendar():
    release = release_of("[31 May](DATE), [29-31 March 2024](DATE), [January 31](DATE)")
    for seed in range(60):
        changed = apply_edits(release, swap_dates(release, "DATE", Random(seed), 1.0))
        for text in texts_of(changed, "DATE"):
            days = [int(word) for word in text.replace("-", " ").split() if word.isdigit() and len(word) < 3]
            assert days and all(1 <= day <= 28 for day in days) and days == sorted(set(days)), text


@pytest.mark.parametrize(
    "name, article",
    [("Egyptian", "an"), ("Uzbek", "an"), ("Ugandan", "a"), ("Ukrainian", "a"), ("European", "a"), ("Chilean", "a")],
)
def test_the_article_fits_its_word(name, article):
    release = release_of("[Korea](COUNTRY k.1) met a [Chilean](COUNTRY c.1) delegation")
    at = release.text.index("Chilean")
    edits = [Edit(at, at + 7, name)]
    changed = apply_edits(release, merge([edits, list(articles(release, edits))]))
    assert f"met {article} {name} delegation" in changed.text


def test_without_a_title_there_is_no_headline():
    release = Release(id="a", text="one line of a text", title=None, mentions=[], relations=[])
    assert not list(restyle_headline(release, Random(0), 1.0))


def test_every_epoch_is_augmented_anew(root, tmp_path, nlp, schema):
    """As spaCy's training loop reads the corpus of the configs, and no release is lost on the way."""
    releases = read_gold(sorted((root / "corpus" / "dev").glob("*.txt"))[:6])
    to_docbin(releases, nlp.tokenizer, schema).to_disk(tmp_path / "train.spacy")
    config = load_config(
        root / "configs" / "small.cfg", {"paths.train": str(tmp_path / "train.spacy")}, interpolate=True
    )
    corpus = registry.resolve(config["corpora"])["train"]
    batches = create_train_batches(nlp, corpus, lambda examples: [list(examples)], config["training"]["max_epochs"])
    epochs = [[eg.text for eg in batch] for _, (_, batch) in zip(range(4), batches)]
    assert all(len(epoch) == len(releases) for epoch in epochs)
    assert len({text for epoch in epochs for text in epoch}) > 2 * len(releases)
    assert len({tuple(text[:20] for text in epoch) for epoch in epochs}) > 1
