"""What to annotate next: doubts of a model, the order of the queue, its command, and the simulation that judges it."""

import itertools
import json
import shlex
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from communique.annotate.run import annotate_bare
from communique.cli import app
from communique.components.confidence import Confidence
from communique.corpus.exchange import write_jsonl
from communique.corpus.markup import parse
from communique.doccano import simulate as simulation
from communique.doccano.curves import curves_table, plot_curves, reached
from communique.doccano.doubts import LAYERS, doubts
from communique.doccano.likeness import word_vectors
from communique.doccano.queue import Reading, rank, read, unannotated
from communique.doccano.queue_settings import load_settings
from communique.errors import CommuniqueError, ConfigError
from communique.release import Release
from conftest import BAND_TEXTS, band_releases, train_bands
from test_docs import blocks

pytest.importorskip("scipy")
DEFAULTS = load_settings()
NEW = "The velvet Kraken sang Aurora near Graz with Lime and Sons\nGlass Harbour then hums Ember, as planned, for Nadir.\n"


def bare(releases):
    return [Release(r.id, r.text) for r in releases]


def fresh(**changes):
    """The defaults with some settings changed, section__key=value."""
    data = DEFAULTS.model_dump()
    for name, value in changes.items():
        section, key = name.split("__")
        data[section][key] = value
    return type(DEFAULTS).model_validate(data)


def reading(name, text, *errors, words=None):
    table = dict(zip(LAYERS, [*errors, 0.0, 0.0, 0.0]))
    return Reading(Release(name, text), words or len(text.split()), table, {})


def ids(places):
    return [p.reading.release.id for p in places]


# --- doubts


def test_what_begins_where_is_summed_over_all_sequences_of_tags(bands):
    tagger = bands.get_pipe("entities")
    doc = bands("Tin Cats hum")
    emissions = tagger.model.predict([doc])[0].astype("float64")
    crf = tagger.model.get_ref("crf")
    table, first, last = (
        crf.get_param(name) + extra for name, extra in zip(("T", "start", "end"), tagger.scheme.constraints())
    )
    expected = np.zeros((len(doc), len(tagger.labels)))
    total = 0.0
    for tags in itertools.product(range(tagger.scheme.size), repeat=len(doc)):
        score = first[tags[0]] + last[tags[-1]] + sum(emissions[i, t] for i, t in enumerate(tags))
        weight = np.exp(score + sum(table[a, b] for a, b in zip(tags, tags[1:])))
        total += weight
        for step, tag in enumerate(tags):
            if tag and (tag - 1) % 4 in (0, 3):
                expected[step, (tag - 1) // 4] += weight
    assert np.allclose(tagger.beginnings([doc])[0], expected / total, atol=1e-6)


def test_beginnings_of_no_tokens_and_of_many_docs(bands):
    tagger = bands.get_pipe("entities")
    docs = [bands(text) for text in ("", "Oslo", NEW)]
    together = tagger.beginnings(docs)
    assert [t.shape for t in together] == [(len(doc), 3) for doc in docs]
    assert np.allclose(together[2], tagger.beginnings(docs[2:])[0], atol=1e-6)


def test_candidates_are_what_is_predicted_and_what_is_below_the_threshold(bands):
    relations = bands.get_pipe("relations")
    docs = [bands(r.text) for r in band_releases()]
    found, more = relations.predict(docs), relations.candidates(docs, 0.0001)
    assert all(set(a) <= set(b) for a, b in zip(found, more)) and sum(map(len, more)) > sum(map(len, found))
    assert relations.candidates(docs, relations.threshold) == found


def test_a_doubt_is_what_the_confidence_lacks(bands):
    doc = bands(NEW)
    (found,) = doubts(bands, [doc], 0.05)
    there = Counter(d.layer for d in found if d.found)
    assert there["entities"] == len(doc.ents) and there["relations"] == len(doc._.relations)
    chances = [round(1 - e._.confidence, 6) for e in doc.ents]
    assert sorted(round(d.chance, 6) for d in found if d.found and d.layer == "entities") == sorted(chances)
    assert all(0.05 <= d.chance <= 1 for d in found if not d.found)
    assert [d.chance for d in found] == sorted((d.chance for d in found), reverse=True)


def test_a_model_knows_what_it_has_learned_by_heart_and_doubts_the_rest(bands):
    known, new = read(bands, [band_releases()[0], Release("new", NEW)], DEFAULTS)
    assert sum(new.errors.values()) > 2 * sum(known.errors.values())
    assert 0 < len(new.doubts) <= DEFAULTS.doubts.shown


def test_confidences_are_the_calibrated_ones(bands):
    doc = Confidence("confidence", entities=(0.0, 1.0), spans=(1.0, 0.0), relations=(1.0, 0.0))(bands(NEW))
    entities = [d for d in doubts(bands, [doc], 0.05)[0] if d.found and d.layer == "entities"]
    assert entities and all(np.isclose(d.chance, 1 / (1 + np.e)) for d in entities)


# --- the order


def test_the_unsure_one_comes_first(bands):
    releases = [*bare(band_releases()), Release("zz-new", NEW)]
    for order in (releases, releases[::-1]):
        places = rank(list(read(bands, order, DEFAULTS)), [], DEFAULTS, 4)
        assert ids(places)[0] == "zz-new" and len(places) == 4


def test_two_models_that_differ_have_something_to_learn(bands):
    weak = train_bands(steps=8)
    known = [*bare(band_releases()), Release("new", NEW)]
    alone = list(read(bands, known, DEFAULTS))
    both = list(read(bands, known, DEFAULTS, weak))
    assert not any(r.differences for r in alone)
    for mine, release, other in zip(both, annotate_bare(bands, known), annotate_bare(weak, known)):
        sets = [{(m.start, m.end, m.label) for m in r.mentions if m.label != "PLAN"} for r in (release, other)]
        assert mine.differences["entities"] == len(sets[0] ^ sets[1])
    assert both[-1].differences["entities"] > 0
    same = list(read(bands, known, DEFAULTS, bands))
    assert all(set(r.differences.values()) == {0.0} for r in same)


def test_copies_of_one_release_do_not_fill_the_queue():
    copies = [reading(f"copy-{n}", f"{'  ' * n}the owls played moonlight in lisbon", 9.0) for n in range(10)]
    others = [reading(f"other-{n}", f"{word} cats {word}sail to {word}town", 2.0) for n, word in enumerate("abcd")]
    places = rank([*copies, *others], [], DEFAULTS, 5)
    assert sorted(name.split("-")[0] for name in ids(places)) == ["copy", *["other"] * 4]
    careless = rank([*copies, *others], [], fresh(order__novelty=0.0), 5)
    assert {name.split("-")[0] for name in ids(careless)} == {"copy"}


def test_what_is_like_the_corpus_comes_later():
    a, b = reading("a", "owls play in lisbon", 3.0), reading("b", "cats sail to oslo", 2.9)
    assert ids(rank([a, b], [], DEFAULTS, 2)) == ["a", "b"]
    places = rank([a, b], [Release("old", "Owls play in Lisbon again")], DEFAULTS, 2)
    assert ids(places) == ["b", "a"] and places[1].like == "old" and places[1].likeness > 0.5


def test_layers_weigh_what_the_settings_say():
    a, b = reading("a", "owls", 4.0, 0.0, 1.0), reading("b", "cats", 1.0, 0.0, 3.0)
    for layer, first in (("entities", "a"), ("relations", "b")):
        others = {f"layers__{name}": float(name == layer) for name in LAYERS}
        assert ids(rank([a, b], [], fresh(**others), 1)) == [first]


def test_a_layer_counts_alike_however_many_things_it_has():
    a, b = reading("a", "owls", 100.0, 0.0, 1.0), reading("b", "cats", 90.0, 0.0, 2.0)
    assert ids(rank([a, b], [], DEFAULTS, 1)) == ["b"]


def test_cost_by_words_prefers_the_short_one():
    a, b = reading("a", "owls", 10.0, words=1000), reading("b", "cats", 4.0, words=100)
    assert ids(rank([a, b], [], DEFAULTS, 1)) == ["a"]
    assert ids(rank([a, b], [], fresh(order__length=1.0), 1)) == ["b"]


def test_a_model_without_doubts_gives_a_queue_all_the_same():
    assert ids(rank([reading("b", "owls"), reading("a", "cats")], [], DEFAULTS, 5)) == ["a", "b"]
    assert rank([], [Release("a", "text")], DEFAULTS, 5) == []


WORDS = st.lists(st.sampled_from(["owls", "cats", "foxes", "oslo", "graz", "café", "…"]), min_size=1, max_size=6)
ERRORS = st.lists(st.floats(0, 50), min_size=3, max_size=3)
READINGS = st.lists(st.tuples(WORDS, ERRORS), max_size=8).map(
    lambda items: [reading(f"r{n}", " ".join(words), *errors) for n, (words, errors) in enumerate(items)]
)


@given(READINGS, st.data())
def test_the_queue_is_the_same_for_any_order_of_the_input_and_grows_at_its_end(readings, data):
    cut = data.draw(st.integers(0, len(readings)))
    corpus, rest = [r.release for r in readings[:cut]], readings[cut:]
    places = rank(rest, corpus, DEFAULTS, len(rest))
    shuffled = rank(data.draw(st.permutations(rest)), data.draw(st.permutations(corpus)), DEFAULTS, len(rest))
    assert places == shuffled
    assert sorted(ids(places)) == sorted(r.release.id for r in rest)
    count = data.draw(st.integers(0, len(rest)))
    assert rank(rest, corpus, DEFAULTS, count) == places[:count]
    assert all(0 <= p.likeness <= 1 and 0 <= p.score <= p.learn for p in places)


@given(READINGS, st.floats(0.5, 20))
def test_only_the_proportions_of_a_layer_count(readings, factor):
    more = [replace(r, errors={**r.errors, "entities": factor * r.errors["entities"]}) for r in readings]
    learn = [[p.learn for p in rank(r, [], fresh(order__novelty=0.0), 9)] for r in (readings, more)]
    assert np.allclose(*learn, atol=1e-4)


@given(st.lists(WORDS, min_size=2, max_size=6))
def test_likeness_is_the_cosine_of_two_texts(texts):
    table = word_vectors([" ".join(words) for words in texts])
    cosines = (table @ table.T).toarray()
    assert np.allclose(cosines, cosines.T) and (cosines > -1e-9).all() and (cosines < 1 + 1e-9).all()
    for row, words in enumerate(texts):
        assert np.isclose(cosines[row, row], 1.0) or set(words) == {"…"}


# --- what is annotated already


def test_what_is_annotated_already_is_left_out():
    corpus = [Release("old", "The owls  play.\nThey left."), Release("b", "anything")]
    releases = [
        Release("a", "the owls\nplay. They left."),
        Release("b", "b's own"),
        Release("c", "The owls play.\nThey left."),
    ]
    twins = [Release("e", "twin text"), Release("d", "twin\ntext")]
    kept, left = unannotated([*releases, *twins], corpus)
    assert [r.id for r in kept] == ["a", "d"]
    assert left == {
        "b": "the corpus has this id",
        "c": "the corpus has this text as old",
        "e": "the same text as d",
    }


# --- the command


@pytest.fixture(scope="module")
def folder(bands, tmp_path_factory):
    root = tmp_path_factory.mktemp("queue")
    bands.to_disk(root / "model")
    train_bands(steps=8).to_disk(root / "weak")
    write_jsonl(root / "corpus.jsonl", band_releases()[:1])
    pool = [*bare(band_releases()), replace(Release("new", NEW), source="wire", meta={"page": 3})]
    write_jsonl(root / "pool.jsonl", pool)
    return root


def run(folder, *args):
    words = ["doccano", "queue", folder / "pool.jsonl", "-m", folder / "model", "-o", folder / "queue.jsonl", *args]
    return CliRunner().invoke(app, [str(w) for w in words])


def written(folder):
    return [json.loads(line) for line in (folder / "queue.jsonl").read_text("utf8").splitlines()]


def test_the_command_writes_releases_as_they_came_with_reasons(folder):
    result = run(folder, "--second", folder / "weak", "--corpus", folder / "corpus.jsonl", "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["left_out"] == {"band-0": "the corpus has this id"} and record["ranked"] == 3
    lines = written(folder)
    assert [line["id"] for line in lines] == [place["id"] for place in record["queue"]]
    first = lines[0]
    assert (first["id"], first["text"], first["source"], first["page"]) == ("new", NEW, "wire", 3)
    assert first["entities"] == [] and first["queue"]["rank"] == 1 and first["queue"]["doubts"]
    assert set(first["queue"]["errors_expected"]) == {"entities", "plans", "relations"}
    assert set(first["queue"]["differences"]) == {"entities", "plans", "relations"}
    assert [line["queue"]["score"] for line in lines] == sorted((x["queue"]["score"] for x in lines), reverse=True)


def test_the_command_shows_the_reasons_and_counts(folder):
    result = run(folder, "--alone", "--count", "2")
    assert result.exit_code == 0, result.output
    assert "new" in result.stdout and "errors expected" in " ".join(result.stdout.split())
    assert "2 of 4 releases, 0 left out" in result.stderr
    assert len(written(folder)) == 2 and "differences" not in written(folder)[0]["queue"]


def test_the_same_command_writes_the_same_file(folder):
    run(folder, "--alone")
    before = (folder / "queue.jsonl").read_bytes()
    lines = (folder / "pool.jsonl").read_text("utf8").splitlines()
    (folder / "turned.jsonl").write_text("\n".join(lines[::-1]) + "\n", "utf8")
    words = [
        "doccano",
        "queue",
        folder / "turned.jsonl",
        "-m",
        folder / "model",
        "--alone",
        "-o",
        folder / "queue.jsonl",
    ]
    assert CliRunner().invoke(app, [str(w) for w in words]).exit_code == 0
    assert (folder / "queue.jsonl").read_bytes() == before


def test_a_device_gets_the_releases(folder):
    result = run(folder, "--alone", "-o", "/dev/null")
    assert result.exit_code == 0 and '"text"' not in result.stdout


def test_a_text_that_is_too_long_says_what_allows_it(folder):
    (folder / "short.cfg").write_text("[limits]\nchars = 20\n", "utf8")
    result = run(folder, "--alone", "--settings", folder / "short.cfg")
    told = " ".join(result.output.split())
    assert result.exit_code in (1, 2) and "raise [limits] chars" in told and "--max-chars" not in told


def test_refused_releases_are_named_and_the_rest_is_ranked(folder):
    bad = folder / "bad.jsonl"
    bad.write_text('{"id": "x", "text": "<p>Owls</p>"}\n{"id": "y", "text": "Owls play."}\n', "utf8")
    words = ["doccano", "queue", bad, "-m", folder / "model", "--alone", "-o", folder / "queue.jsonl"]
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code == 1 and "bad.jsonl:1: html" in result.stderr
    assert [line["id"] for line in written(folder)] == ["y"]


@pytest.mark.parametrize(
    "args, message",
    [
        (["--second", "{root}/model"], "that is the first model"),
        (["--second", "{root}/nothing"], "no model to load"),
        (["--second", "small"], "its labels are not those of"),
        (["--alone", "--corpus", "{root}/nothing.jsonl"], "nothing.jsonl: unreadable"),
        (["--alone", "--settings", "{root}/nothing.cfg"], "nothing.cfg: can't be read"),
        (["--alone", "--count", "0"], "--count"),
        (["--alone", "-o", "{root}"], "it is a folder"),
    ],
)
def test_wrong_usage_is_named_and_writes_nothing(folder, args, message):
    (folder / "queue.jsonl").unlink(missing_ok=True)
    result = run(folder, *(arg.format(root=folder) for arg in args))
    assert result.exit_code in (1, 2) and message in " ".join(result.output.split())
    assert not (folder / "queue.jsonl").exists()


# --- settings


def test_a_file_changes_only_what_it_names(tmp_path):
    file = tmp_path / "mine.cfg"
    file.write_text("[order]\nlength = 1.0\n")
    assert load_settings(file) == fresh(order__length=1.0)


@pytest.mark.parametrize(
    "text, message",
    [
        ("[ordre]\nlength = 1.0\n", "[ordre]: no such section; there are: doubts, layers, limits, order"),
        ("[order]\nlenght = 1.0\n", "[order] lenght: no such key; there are: length, novelty"),
        ("[order]\nnovelty = 1.5\n", "[order] novelty: must be less than or equal to 1, not 1.5"),
        ("[layers]\nentities = -1\n", "[layers] entities: must be greater than or equal to 0, not -1"),
        ("[layers]\nentities = 0\nspans = 0\nrelations = 0\n", "all 0: give one a weight"),
        ('[doubts]\nleast = "few"\n', "[doubts] least: must be a valid number"),
        ("length = 1.0\n", "no config file"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, message):
    file = tmp_path / "mine.cfg"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert str(file) in str(caught.value) and message in str(caught.value)


# --- the simulation


@pytest.fixture
def job(root, tmp_path, monkeypatch, bands, folder):
    """Twelve releases to annotate once more, and trainings that give the band model at once."""
    texts = [t.replace("Lisbon", f"Lisbon{n}") for n, t in enumerate([BAND_TEXTS[0]] * 12)]
    corpus = [parse(f"id: r{n:02}\n\n{text}").release.canonical() for n, text in enumerate(texts)]
    write_jsonl(tmp_path / "corpus.jsonl", corpus)
    trained, model = [], folder / "model"

    def train_on(config, folder, corpus, releases, steps, overrides, console=None):
        trained.append((folder.name, [r.id for r in releases], overrides["system.seed"], steps))
        folder.mkdir(exist_ok=True)
        if not (folder / "model-best").exists():
            (folder / "model-best").symlink_to(model, target_is_directory=True)
        return bands

    monkeypatch.setattr(simulation, "train_on", train_on)
    plan = simulation.Plan(held=2, first=2, step=3, last=7, steps=5)
    config = root / "configs" / "small.cfg"
    monkeypatch.chdir(root)
    made = simulation.Job(config, tmp_path / "out", [tmp_path / "corpus.jsonl"], band_releases(), plan, {})
    return made, trained


def test_a_simulation_goes_on_from_the_same_beginning(job):
    made, trained = job
    points = list(simulation.simulate(made, {"queue": DEFAULTS}, [0, 1]))
    assert [(p["order"], p["releases"]) for p in points[:5]] == [
        ("random", 2), ("random", 5), ("random", 7), ("queue", 5), ("queue", 7),
    ]  # fmt: skip
    mine = {(p["order"], p["seed"], p["releases"]): p["ids"] for p in points}
    for seed in (0, 1):
        first = mine["random", seed, 2]
        for order in ("random", "queue"):
            assert mine[order, seed, 5][:2] == first and mine[order, seed, 7][:5] == mine[order, seed, 5]
            assert len(set(mine[order, seed, 7])) == 7
    assert mine["random", 0, 7] != mine["random", 1, 7]
    held = {f"r{n:02}" for n in range(12)} - {i for p in points if p["seed"] == 0 for i in p["ids"]}
    assert len(held) >= 2
    assert all(steps == 5 for *_, steps in trained)


def test_a_simulation_that_was_cut_short_goes_on_where_it_was(job):
    made, trained = job
    points = list(simulation.simulate(made, {"queue": DEFAULTS}, [0]))
    assert len(trained) == 5
    assert list(simulation.simulate(made, {"queue": DEFAULTS}, [0])) == points and len(trained) == 5
    (made.output / "queue-0-7" / "point.json").unlink()
    assert list(simulation.simulate(made, {"queue": DEFAULTS}, [0])) == points and len(trained) == 6
    list(simulation.simulate(made, {"queue": fresh(order__length=1.0)}, [0]))
    assert len(trained) == 8  # another queue, the same random order


def test_a_corpus_that_is_too_small_is_named(job):
    made, _ = job
    with pytest.raises(CommuniqueError, match="2 \\+ 20 releases are needed, the corpus has 12"):
        list(simulation.simulate(replace(made, plan=replace(made.plan, last=20)), {}, [0]))


def point(order, releases, f, seed=0, words=10):
    scores = {"entities": {"f": f}, "relations strict": {"f": f / 2}}
    return {"order": order, "seed": seed, "releases": releases, "words": words * releases, "scores": scores}


POINTS = [point("random", n, f) for n, f in ((10, 0.2), (20, 0.4), (40, 0.6))]
POINTS += [point("queue", 20, 0.5, words=20), point("queue", 40, 0.7, words=20)]
LAYER_NAMES = ["entities", "relations strict"]


def test_the_table_says_how_few_releases_reach_random_orders_end():
    lines = curves_table([*POINTS, point("random", 10, 0.4, seed=1)], LAYER_NAMES).splitlines()
    assert lines[2] == "| random | 10 | 100 | 22.5 ± 10.6 | 30.0 ± 14.1 | 15.0 ± 7.1 |"
    table = {line.split("|")[1].strip(): line for line in lines if "share" in line}
    assert table["queue, share of the releases"].endswith("| 75% | 75% | 75% |")
    assert table["queue, share of the words"].endswith("| 150% | 150% | 150% |")
    assert table["random, share of the releases"].endswith("| 100% | 100% | 100% |")


def test_an_order_that_does_not_reach_it_has_no_share():
    points = [*POINTS[:3], point("queue", 20, 0.3), point("queue", 40, 0.59)]
    assert "| queue, share of the releases | – | – | – |" in curves_table(points, LAYER_NAMES)
    curves = {"random": {10: [POINTS[0]]}, "queue": {10: [POINTS[0]]}}
    assert reached(curves, "queue", "entities", LAYER_NAMES) == 1.0


def test_the_figure_is_the_same_every_time(tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        plot_curves(POINTS, LAYER_NAMES, tmp_path / name)
    assert "<svg" in (tmp_path / "a.svg").read_text("utf8")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    "args, message",
    [(["--queue", "random"], "write name=settings.cfg"), (["--first", "9", "--last", "9"], "more than --first")],
)
def test_a_simulation_that_can_not_be_is_named(root, tmp_path, args, message):
    words = ["doccano", "simulate", root / "configs" / "small.cfg", "-o", tmp_path, "--corpus", tmp_path]
    words += ["--gold", tmp_path, "--seed", 0, "--points", tmp_path / "points.json", "--held", 1, "--first", 1]
    words += ["--step", 1, "--last", 2, "--steps", 1, *args]
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code == 2 and message in " ".join(result.output.split())


# --- its page


def test_the_page_shows_settings_and_a_command_that_can_be_used(root, tmp_path):
    page = [root / "docs" / "queue.md"]
    (shown,) = blocks("ini", page)
    (tmp_path / "mine.cfg").write_text(shown, "utf8")
    assert load_settings(tmp_path / "mine.cfg") == fresh(order__length=1.0)
    (line,) = blocks("sh", page)
    words = [*shlex.split(line)[1:], "--last", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "more than --first 32" in result.output
