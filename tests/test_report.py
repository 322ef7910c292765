"""The evaluation report: its counts, its calibration, and the page in a browser."""

import json
import random
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from communique.cli import app
from communique.corpus.exchange import read_gold
from communique.corpus.markup import parse
from communique.evaluate import causes, relation_causes
from communique.evaluate.alignment import align
from communique.evaluate.calibration import (
    calibration_record,
    confidence_pairs,
    expected_calibration_error,
    reliability,
)
from communique.evaluate.candidates import suggested_pairs
from communique.evaluate.causes import count_causes, excerpt, find_errors
from communique.evaluate.confusion import entity_confusion
from communique.evaluate.metrics import Tally, score_releases, span_of, split_layers
from communique.evaluate.report.groups import field_groups
from communique.evaluate.report.page import About, Evaluation, write_report
from communique.evaluate.report.sidebyside import render
from communique.evaluate.report.training_log import read_training_log
from communique.evaluate.thresholds import best_point, scored_predictions, threshold_curve
from communique.release import Mention, Relation, Release
from communique.schema import Schema
from conftest import band_releases
from test_metrics import spoiled

# --- releases to evaluate


def with_scores(release, seed):
    """A prediction with a confidence for everything and a fact for each relation."""
    rng = random.Random(f"{release.id}{seed}")
    mentions = [replace(m, score=rng.random()) for m in release.mentions]
    by_id = {m.id: m for m in mentions}
    relations = [replace(r, score=rng.random()) for r in release.relations]
    facts = [
        {
            "type": r.type,
            "score": r.score,
            "evidence": [{k: [by_id[i].start, by_id[i].end] for k, i in (("head", r.head), ("tail", r.tail))}],
        }
        for r in relations
    ]
    return replace(release, mentions=mentions, relations=relations, facts=facts)


@pytest.fixture(scope="module")
def gold(root):
    return read_gold([root / "corpus" / "dev"])[:12]


@pytest.fixture(scope="module", params=range(3))
def predicted(request, gold, schema):
    """Of all releases but one."""
    return [with_scores(spoiled(r, schema, request.param), request.param) for r in gold[1:]]


@pytest.fixture(scope="module")
def guess(gold, schema):
    """One prediction, for tests that draw."""
    return [with_scores(spoiled(r, schema, 0), 0) for r in gold[1:]]


def release(text, name="a"):
    return parse(f"id: {name}\n\n{text}", "a.txt").release.canonical()


# --- errors by cause


def test_every_error_is_counted_once(gold, predicted, schema):
    tally = Tally(schema)
    by_id = {r.id: r for r in predicted}
    for r in gold:
        tally.add(r, by_id.get(r.id, Release(r.id, r.text)))
    found = Counter((e.layer, e.side) for e in find_errors(align(gold, predicted, schema)))
    for layer in ("entities", "pledges exact", "relations strict", "facts"):
        counts = tally.counts[layer]
        assert found[layer, "missed"] == counts["gold"] - counts["tp"] > 0
        assert found[layer, "spurious"] == counts["predicted"] - counts["tp"] > 0
    right_gold, gold_links, right_found, found_links = tally.identity["muc"]
    assert found["identity", "missed"] == gold_links - right_gold > 0
    assert found["identity", "spurious"] == found_links - right_found


def test_a_perfect_prediction_has_no_errors(gold, schema):
    assert find_errors(align(gold, gold, schema)) == []


def test_causes_of_a_layer_are_ordered_by_count(gold, predicted, schema):
    errors = find_errors(align(gold, predicted, schema))
    for layer, rows in count_causes(errors, schema).items():
        counts = [n for _, _, n in rows]
        assert counts == sorted(counts, reverse=True) and sum(counts) == sum(e.layer == layer for e in errors)


GOLD = """[Owls](BAND o.1) and [Cats](BAND t.1) in [Oslo](CITY c1) played [Rain](SONG r.1) and [Rain](SONG r.2).
---
o.1 PLAYED r.1
o.1 WITH t.1
"""


@pytest.mark.parametrize(
    "change, missed, spurious",
    [
        ([], [], []),
        ([("o.1 PLAYED r.1\n", "")], [relation_causes.BELOW], []),
        ([("o.1 WITH t.1", "t.1 WITH o.1")], [], []),
        ([("[Cats](BAND t.1)", "Cats"), ("o.1 WITH t.1\n", "")], [relation_causes.UNFOUND], []),
        ([("[Cats](BAND t.1)", "[Cats](CITY t.1)"), ("o.1 WITH t.1\n", "")], [relation_causes.MISFOUND], []),
        ([("[Cats](BAND t.1) in", "[Cats in](BAND t.1)")], [relation_causes.MISFOUND], [relation_causes.MISTAKEN]),
        ([("o.1 PLAYED r.1", "o.1 PLAYED r.2")], [relation_causes.SAME_FACT], [relation_causes.SAME_FACT]),
        ([("o.1 WITH t.1", "o.1 IN t.1")], [relation_causes.OTHER_TYPE], [relation_causes.OTHER_TYPE]),
        ([("o.1 WITH t.1", "o.1 WITH t.1\nt.1 PLAYED r.1")], [], [relation_causes.OTHER_ARGUMENT]),
        ([("o.1 WITH t.1", "o.1 WITH t.1\nt.1 IN c1")], [], [relation_causes.UNSTATED]),
        ([(" played ", " [played](CITY x1) "), ("---\n", "---\no.1 IN x1\n")], [], [relation_causes.NO_MENTION]),
        (
            [("[Oslo](CITY c1)", "[Oslo](BAND c1)"), ("---\n", "---\no.1 IN c1\n")],
            [],
            [relation_causes.MISTAKEN],
        ),
    ],
)
def test_causes_of_relation_errors(band_schema, change, missed, spurious):
    text = GOLD
    for before, after in change:
        assert before in text
        text = text.replace(before, after)
    errors = [
        e for e in find_errors(align([release(GOLD)], [release(text)], band_schema)) if e.layer == "relations strict"
    ]
    assert [e.cause for e in errors if e.side == "missed"] == missed
    assert [e.cause for e in errors if e.side == "spurious"] == spurious


def test_a_pair_that_was_not_suggested_has_a_cause_of_its_own(band_schema):
    one, other = release(GOLD), release(GOLD.replace("o.1 PLAYED r.1\n", ""))
    seen = frozenset(span_of(m) for m in one.mentions if m.cluster in ("o", "t"))
    for suggested, cause in (({"a": {seen}}, relation_causes.UNSUGGESTED), ({}, relation_causes.UNSUGGESTED)):
        (error,) = [e for e in find_errors(align([one], [other], band_schema), suggested) if e.layer == "facts"]
        assert error.cause == cause


def test_suggested_pairs_are_those_of_the_pipelines_suggester(bands):
    import spacy

    (one, *_) = band_releases()
    found = suggested_pairs(bands, [one])
    pairs = {frozenset(one.text[s:e] for s, e, _ in pair) for pair in found[one.id]}
    assert frozenset(("Red Owls", "Lisbon")) in pairs and frozenset(("Moonlight", "Lisbon")) not in pairs
    assert suggested_pairs(spacy.blank("en"), [one]) is None


def test_causes_of_mention_errors(band_schema):
    one = release(
        "[Owls](BAND o.1) in [Oslo](CITY c1) will [play [Rain](SONG r.1) in the park](PLAN p1) [soon](CITY x1).\n---\n"
    )
    moved = {"Oslo": {"label": "SONG"}, "Rain": {"start": -5}, "soon": {"end": 1}, "Owls": None}
    other = []
    for m in one.mentions:
        text = one.span_text(m)
        change = moved.get(text, {})
        if change is not None:
            other.append(
                replace(
                    m,
                    label=change.get("label", m.label),
                    start=m.start + change.get("start", 0),
                    end=m.end + change.get("end", 0) - (4 if m.label == "PLAN" else 0),
                )
            )
    errors = find_errors(align([one], [replace(one, mentions=other)], band_schema))
    missed = {e.what.split(",")[0]: e.cause for e in errors if e.side == "missed" and e.layer != "identity"}
    assert missed == {
        "BAND “Owls”": causes.NOT_FOUND,
        "CITY “Oslo”": causes.LABEL,
        "SONG “Rain”": causes.EDGES,
        "CITY “soon”": causes.EDGES,
        "PLAN “play Rain in the park”": causes.OVERLAP,
    }


def test_excerpts_keep_both_ends_and_whole_words():
    text = "Before this. " + "word " * 100 + "Behind that."
    found = excerpt(text, 13, 13 + 500)
    assert found.startswith("Before this. word") and found.endswith("Behind that.") and " … " in found
    assert len(found) < 300
    assert excerpt("one two\nthree four five", 8, 13, margin=2) == "…two three four…"


# --- confusion


def test_confusion_adds_up(gold, predicted, schema):
    alignments = align(gold, predicted, schema)
    found = entity_confusion(alignments, schema)
    scores = score_releases(gold, predicted, schema)
    for label in schema.entities:
        assert sum(found.counts[label, column] for column in found.columns) == scores[f"entities:{label}"]["gold"]
        assert sum(found.counts[row, label] for row in found.rows) == scores[f"entities:{label}"]["predicted"]
        right = round(scores[f"entities:{label}"]["p"] * scores[f"entities:{label}"]["predicted"])
        assert found.counts[label, label] == right


# --- calibration


def test_ece_of_worked_numbers():
    assert expected_calibration_error([], []) == 0.0
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0.0
    assert expected_calibration_error([0.95, 0.55], [False, True]) == pytest.approx((0.95 + 0.45) / 2)
    # bin (0.8, 0.9]: mean 0.85, half right; bin (0.2, 0.3]: mean 0.3, wrong
    assert expected_calibration_error([0.8001, 0.8999, 0.3], [True, False, False]) == pytest.approx(
        (2 * 0.35 + 0.3) / 3
    )
    assert expected_calibration_error([0.2, 0.8], [False, True], bins=1) == pytest.approx(0.0)


def test_bins_are_closed_above():
    found = reliability([0.0, 0.1, 0.1001, 0.3, 1.0], [True] * 5)
    assert [b.size for b in found] == [2, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    assert (found[0].lower, found[0].upper, found[9].upper) == (0.0, 0.1, 1.0)


@pytest.mark.parametrize(
    "scores, correct, bins, message",
    [
        ([0.5], [], 10, "1 confidences"),
        ([1.5], [True], 10, "outside"),
        ([float("nan")], [True], 10, "outside"),
        ([], [], 0, "one bin"),
    ],
)
def test_what_is_no_confidence_is_refused(scores, correct, bins, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(scores, correct, bins)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans())), st.integers(1, 20))
def test_ece_is_a_share(pairs, bins):
    error = expected_calibration_error([c for c, _ in pairs], [k for _, k in pairs], bins)
    assert 0.0 <= error <= 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=8))
def test_ece_is_zero_where_each_bin_is_as_right_as_it_is_confident(parts):
    pairs = []
    for right, wrong in parts:
        share = right / (right + wrong)
        pairs += [(share, True)] * right + [(share, False)] * wrong
    assert expected_calibration_error([c for c, _ in pairs], [k for _, k in pairs]) == pytest.approx(0.0, abs=1e-9)


def test_confidence_pairs_are_right_as_the_metrics_say(gold, predicted, schema):
    pairs = confidence_pairs(gold, predicted, schema)
    scores = score_releases(gold, predicted, schema)
    for kind, layer in (("entities", "entities"), ("pledges", "pledges overlap"), ("relations", "relations strict")):
        right = scores[layer]["p"] * scores[layer]["predicted"]
        assert sum(correct for _, correct in pairs[kind]) == round(right)
        assert len(pairs[kind]) == scores[layer]["predicted"]
    assert 0 < sum(correct for _, correct in pairs["facts"]) < len(pairs["facts"])


def test_a_fact_is_right_if_one_of_its_sentences_states_it(bands, band_schema):
    from communique.annotate.run import annotate_bare

    gold = band_releases()
    predicted = annotate_bare(bands, gold)
    pairs = confidence_pairs(gold, predicted, band_schema)
    assert len(pairs["facts"]) == sum(len(r.facts) for r in predicted) and all(k for _, k in pairs["facts"])
    first = predicted[0].facts[0]
    wrong = {"head": [0, 1], "tail": [1, 2]}
    for evidence, correct in (([wrong, *first["evidence"]], True), ([wrong], False), ([{}], False), ([], False)):
        changed = replace(predicted[0], facts=[{**first, "evidence": evidence}])
        assert confidence_pairs(gold[:1], [changed], band_schema)["facts"] == [(first["score"], correct)]


def test_what_has_no_score_is_left_out(gold, schema):
    assert all(not found for found in confidence_pairs(gold, gold, schema).values())
    assert calibration_record(confidence_pairs(gold, gold, schema))["facts"] == {
        "ece": None,
        "predicted": 0,
        "bins": 10,
    }


def test_calibration_of_other_texts_is_refused(schema):
    with pytest.raises(ValueError, match="text differs"):
        confidence_pairs([Release("a", "x")], [Release("a", "y")], schema)


# --- thresholds


def test_the_curves_begin_at_the_scores_and_end_at_nothing(gold, predicted, schema):
    layers = {"entities": "entities", "pledges": "pledges overlap", "relations": "relations strict", "facts": "facts"}
    scores = score_releases(gold, predicted, schema)
    for kind, scored in scored_predictions(align(gold, predicted, schema), schema).items():
        curve = threshold_curve(scored.pairs, scored.gold)
        want = {k: pytest.approx(scores[layers[kind]][k]) for k in "prf"}
        assert {k: getattr(curve[0], k) for k in "prf"} == want
        assert (curve[-1].p, curve[-1].r, curve[-1].f) == (None, 0.0, 0.0)  # no score is 1
        assert [p.r for p in curve] == sorted((p.r for p in curve), reverse=True)
        assert best_point(curve).f >= curve[0].f


def test_a_threshold_keeps_what_reaches_it():
    curve = threshold_curve([(0.5, True), (0.2, False)], gold=2, steps=2)
    assert [(p.threshold, p.p, p.r) for p in curve] == [(0.0, 0.5, 0.5), (0.5, 1.0, 0.5), (1.0, None, 0.0)]
    assert best_point(curve).threshold == 0.5


# --- sources


def test_rare_sources_are_put_together(schema):
    releases = [Release(str(n), "x", source="A" if n < 3 else "BC"[n % 2] if n < 6 else None) for n in range(8)]
    groups = field_groups(releases, releases, schema)
    assert [(g.name, g.releases) for g in groups["source"]] == [("A", 3), ("2 others", 3), ("not stated", 2)]
    assert list(groups) == ["source"]
    assert field_groups([Release("a", "x")], [], schema) == {}


# --- releases side by side


class Page(HTMLParser):
    """Checks that tags are nested, and keeps tags, ids and links."""

    EMPTY = ("br", "meta", "link")

    def __init__(self, html):
        super().__init__()
        self.stack, self.tags, self.ids, self.loads, self.words = [], Counter(), [], [], []
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.ids += [v for k, v in attrs if k == "id"]
        self.loads += [v for k, v in attrs if k in ("src", "href", "action", "data", "poster", "srcset", "background")]
        self.loads += [v for k, v in attrs if k and k.startswith("on")]
        if tag not in self.EMPTY:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


TAGGED = re.compile(r' <span class="tag">[^<]*</span>')


def test_spans_are_drawn_with_their_entities(band_schema):
    one = release("[Owls](BAND o.1) will [play [Rain](SONG r.1)](PLAN p1).\n---\n")
    html = render(one, band_schema, {span_of(one.mentions[0])})
    assert html.count("<mark") == 2 and html.count('class="entity wrong"') == 1
    clause = html[html.index("<u") : html.index("</u>")]
    assert clause.startswith('<u class="clause">play <mark') and "PLAN" in clause and "Rain" in clause


@settings(max_examples=200, deadline=None)
@given(
    st.text("ab <&>\n\ue000\"'", min_size=1, max_size=24),
    st.lists(st.tuples(st.integers(0, 23), st.integers(1, 12), st.sampled_from(["BAND", "<b>", "PLAN"])), max_size=8),
)
def test_drawing_keeps_the_text_whatever_overlaps(text, spans):
    schema = Schema(entities=("BAND", "<b>"), spans=("PLAN",))
    edges = ((s, min(len(text), s + n), label) for s, n, label in spans)
    mentions = [Mention(i, label, s, e) for i, (s, e, label) in enumerate(edges) if s < e]
    html = render(Release("a", text, mentions=mentions), schema, {span_of(m) for m in mentions[::2]})
    Page(html)
    bare = TAGGED.sub("", html[html.index(">") + 1 : html.rindex("</div>")])
    assert unescape(re.sub(r"<[^>]*>", "", bare.replace("<br>", "\n"))) == text
    layers = [layer for layer in split_layers(Release("a", text, mentions=mentions), schema) if layer]
    assert html.count('class="tag"') >= len(layers)


# --- the page


def page(path, gold, predicted, schema, **more):
    evaluation = Evaluation(gold, predicted, schema, score_releases(gold, predicted, schema))
    about = About(
        more.pop("model", "bands"),
        {"lang": "en", "name": "bands", "version": "1.0"},
        ["gold.jsonl"],
        more.pop("log", ()),
    )
    write_report(path, evaluation, about, **more)
    return path.read_text("utf8")


EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def test_what_comes_from_texts_is_escaped(tmp_path):
    pytest.importorskip("matplotlib")
    label = "</style><b>"
    schema = Schema.from_dict(
        {
            "entities": {"labels": [label]},
            "spans": {"key": "s", "labels": [EVIL]},
            "relations": {EVIL: {"heads": [label], "tails": [EVIL]}},
        }
    )
    mentions = [Mention(0, label, 0, 10, "a", 0.5), Mention(1, EVIL, 5, 40, None, 0.6)]
    one = Release("a" + EVIL, EVIL * 3, EVIL, source=EVIL, mentions=mentions, relations=[Relation(0, EVIL, 0, 1, 0.5)])
    two = replace(one, id="b", mentions=[replace(m, start=m.start + 2) for m in mentions], relations=[])
    log = [{"step": 1, "losses": {EVIL: 1.0}, "scores": {}}]
    html = page(
        tmp_path / "r.html", [one, replace(two, mentions=[])], [two, replace(one, id="b")], schema, model=EVIL, log=log
    )
    found = Page(html)
    assert found.tags["script"] == found.tags["img"] == found.tags["b"] - html.count("<b>") == 0
    assert found.tags["style"] == 1 and all(link.startswith(("#", "data:,")) for link in found.loads)
    assert "alert(1)" in "".join(found.words)


def test_the_page_needs_nothing_but_itself(tmp_path, gold, guess, schema):
    pytest.importorskip("matplotlib")
    log = [{"step": n, "losses": {"a": 2.0 - n}, "scores": {"f": n / 2} if n else {}} for n in range(2)]
    html = page(tmp_path / "deep" / "report.html", gold, guess, schema, log=log)
    found = Page(html)
    assert all(link.startswith(("#", "data:,")) for link in found.loads)
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert not [name for name, n in Counter(found.ids).items() if n > 1]
    assert {link[1:] for link in found.loads if link.startswith("#")} <= set(found.ids)
    assert found.tags["svg"] == 4 + 4 + 2 and found.tags["h1"] == 1 and found.tags["article"] == 5
    assert html.count('role="img" aria-label="') == found.tags["svg"]
    assert "no training log" not in html.lower()


def test_numbers_of_releases_and_examples_are_arguments(tmp_path, gold, guess, schema):
    pytest.importorskip("matplotlib")
    html = page(tmp_path / "r.html", gold, guess, schema, worst=2, examples=1, bins=5)
    assert html.count("<article>") == 2 and "in 5 bins" in html
    assert Page(html).tags["q"] == html.count("<summary>") - 1  # the bins in figures


@pytest.mark.parametrize("case", ["plain", "nothing found", "nothing gold", "no releases", "perfect"])
def test_layers_that_are_not_there(tmp_path, case):
    pytest.importorskip("matplotlib")
    schema = Schema(entities=("BAND",))
    gold = [Release("a", "Owls met Cats.", mentions=[Mention(0, "BAND", 0, 4)])]
    found = [Release("a", "Owls met Cats.", mentions=[Mention(0, "BAND", 9, 13, None, 0.4)])]
    sides = {
        "plain": (gold, found),
        "nothing found": (gold, []),
        "nothing gold": ([replace(gold[0], mentions=[])], found),
        "no releases": ([], []),
        "perfect": (gold, gold),
    }[case]
    html = page(tmp_path / "r.html", *sides, schema)
    Page(html)
    for heading in ("Scores by layer", "Scores by label", "Scores by source", "Calibration", "Worst releases"):
        assert f"<h2>{heading}</h2>" in html
    assert "name no sources" in html and "There is no training log" in html
    assert html.count("<article>") == (case in ("plain", "nothing found", "nothing gold"))


# --- the log of a training


def test_a_training_log_is_read_as_far_as_it_goes(tmp_path):
    (tmp_path / "model-best").mkdir()
    assert read_training_log(tmp_path / "model-best") == []
    lines = [
        json.dumps({"step": 20, "losses": {"a": 1, "b": None}, "scores": {"f": 0.5, "per_type": {}}, "score": 0.5}),
        json.dumps({"step": 10, "losses": {"a": 2.5}, "scores": None}),
        json.dumps({"epoch": 1}),
        "[1]",
        '{"step": 30, "los',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), "utf8")
    assert read_training_log(tmp_path / "model-best") == [
        {"step": 10, "losses": {"a": 2.5}, "scores": {}},
        {"step": 20, "losses": {"a": 1.0}, "scores": {"f": 0.5}},
    ]


# --- the command


@pytest.fixture(scope="module")
def trained(bands, tmp_path_factory):
    """A pipeline on disk and a gold file."""
    folder = tmp_path_factory.mktemp("trained")
    bands.to_disk(folder / "model")
    lines = [json.dumps(r.to_dict()) for r in band_releases()]
    (folder / "gold.jsonl").write_text("\n".join(lines), "utf8")
    return folder


def invoke(*args):
    return CliRunner().invoke(app, ["evaluate", *map(str, args)])


def test_the_command_writes_scores_and_report(trained, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out" / "scores.json", tmp_path / "page" / "report.html"
    result = invoke(trained / "gold.jsonl", "-m", trained / "model", "-o", out[0], "--report", out[1])
    assert result.exit_code == 0, result.output
    calibration = json.loads(out[0].read_text("utf8"))["calibration"]
    assert set(calibration) == {"entities", "pledges", "relations", "facts"}
    assert all(0 <= part["ece"] < 0.5 and part["predicted"] for part in calibration.values())
    html = out[1].read_text("utf8")
    assert "<h1>Evaluation of " in html and "gold.jsonl" in html and "<dd>3</dd>" in html
    assert "<h3>Plans exact</h3>" in html and "pledges" not in "".join(
        Page(html).words
    )  # the scheme's own name of its spans


def test_the_report_needs_matplotlib_and_says_so_before_the_work(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("communique.evaluate.report.plots.find_spec", lambda name: None)
    result = invoke(trained / "gold.jsonl", "-m", trained / "model", "-o", tmp_path / "s", "-r", tmp_path / "r.html")
    assert result.exit_code == 2 and "plots" in result.output and not list(tmp_path.iterdir())
    assert invoke(trained / "gold.jsonl", "-m", trained / "model", "-o", tmp_path / "s").exit_code == 0


# --- in a browser


def test_the_page_in_a_browser(browser, tmp_path, gold, guess, schema):
    pytest.importorskip("matplotlib")
    path = tmp_path / "report.html"
    page(path, gold, guess, schema)
    tab = browser.new_page(viewport={"width": 375, "height": 800})
    said, requests = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_load_state("networkidle")
    assert said == [] and requests == [path.as_uri()]
    headings = tab.locator("main h2").all_inner_texts()
    assert headings[0] == "Scores by layer" and headings[-1] == "Training" and len(headings) == 11
    assert tab.locator("nav a").count() == len(headings)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width in (375, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()
