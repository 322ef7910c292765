"""Push and pull against a Doccano in memory: what is decided, what is never lost, and what is refused."""

import json
import os
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from communique.cli import app
from communique.corpus.agreement import match_releases
from communique.corpus.exchange import read_gold, write_jsonl, write_markup
from communique.corpus.markup import parse
from communique.doccano.bridge import VARIABLE, open_bridge
from communique.doccano.check import Checker
from communique.doccano.choices import Side
from communique.doccano.colours import label_types
from communique.doccano.credentials import find_credentials
from communique.doccano.local import open_local, read_base
from communique.doccano.offsets import OffsetError, Utf16
from communique.doccano.options import load_options
from communique.doccano.project import add_label_types, open_project
from communique.doccano.pull import pull
from communique.doccano.push import push
from communique.doccano.remote import check_url
from communique.doccano.rows import PROVENANCE, plain
from communique.doccano.server import DoccanoError, ProjectSettings
from communique.errors import CommuniqueError, ConfigError, DefectError
from communique.release import Mention, Relation, Release
from conftest import BAND_TEXTS, band_releases
from fake_doccano import FakeDoccano

OPTIONS = load_options()
NAMES = [f"band-{i}" for i in range(len(BAND_TEXTS))]


@pytest.fixture(scope="module")
def checker(band_schema, tokenizer):
    return Checker(band_schema, tokenizer, OPTIONS.push.chars)


class Loop:
    """A project in a Doccano in memory, and a file on this side."""

    def __init__(self, checker, folder, options=OPTIONS, apart=False):
        self.fake = FakeDoccano()
        self.checker, self.options = checker, options
        self.project = open_project(self.fake, "bands", options.project, not apart)
        self.file = folder / "out.jsonl"

    def push(self, releases=None, **kwargs):
        return push(self.fake, self.project, releases or band_releases(), self.options.push, **kwargs)

    def pull(self, output=None, **kwargs):
        return pull(self.fake, self.project, output or self.file, self.checker, **kwargs)

    def local(self):
        return {release.id: release for release in read_gold([self.file])}

    def all_confirmed(self):
        for name in NAMES:
            self.fake.confirm(name)
        return self


@pytest.fixture
def loop(checker, tmp_path):
    return Loop(checker, tmp_path)


def counts(result):
    return {key: n for key, n in result.counts().items() if n}


# --- offsets

ODD = [
    "😀",
    "e\u0301",
    "\r\n",
    "“x”",
    "한",
    "🇰🇷",
    "👩\u200d👩\u200d👧",
    "\u2028",
    "\ufeff",
    "é",
    "a",
    " ",
    "\t",
    "ſ",
    "\x85",
]
odd_text = st.lists(st.sampled_from(ODD), max_size=12).map("".join)


@given(st.text(max_size=30) | odd_text)
def test_offsets_count_as_browsers_do(text):
    place = Utf16(text)
    units = [place.units(i) for i in range(len(text) + 1)]
    assert units == [len(text[:i].encode("utf-16-le", "surrogatepass")) // 2 for i in range(len(text) + 1)]
    assert [place.points(u) for u in units] == list(range(len(text) + 1))
    for other in set(range(-1, place.length + 2)) - set(units):
        with pytest.raises(OffsetError):
            place.points(other)


# --- there and back

SPACES = ["\r\n", "\n", " ", "  ", " 😀 ", " \t", " — ", "\n\n"]
WORDS = [
    "Owls",
    "“Tin",
    "e\u0301t\u0065\u0301",
    "été",
    "👩\u200d👩\u200d👧",
    "서울",
    "🇰🇷",
    "O’Neill",
    "x",
    "\u212b",
    "Zoë",
    "№",
]


@st.composite
def odd_releases(draw):
    """Releases of odd characters, mentions on word boundaries, with relations and identity."""
    out = []
    for i in range(draw(st.integers(1, 4))):
        text, words = "", []
        for _ in range(draw(st.integers(1, 8))):
            text += draw(st.sampled_from(SPACES)) if text or draw(st.booleans()) else ""
            words.append((len(text), len(text := text + draw(st.sampled_from(WORDS)))))
        text += draw(st.sampled_from(["", "\n", "\r\n", " "]))
        mentions = []
        for start, end in words:
            if draw(st.booleans()):
                cluster = draw(st.none() | st.sampled_from(["a", "b.c", "é", "1"]))
                mentions.append(Mention(len(mentions), draw(st.sampled_from(["BAND", "SONG"])), start, end, cluster))
        if draw(st.booleans()):
            mentions.append(Mention(len(mentions), "PLAN", words[0][0], words[-1][1]))
        heads = [m for m in mentions if m.label == "BAND"]
        relations = [
            Relation(n, type_, a.id, b.id)
            for n, (a, b, type_) in enumerate(
                (a, b, {"SONG": "PLAYED", "PLAN": "PLANS", "BAND": "WITH"}[b.label])
                for a in heads
                for b in mentions
                if a != b and draw(st.integers(0, 3)) == 0
            )
        ]
        meta = draw(st.dictionaries(st.sampled_from(["kind", "f", "π"]), st.none() | st.floats(-1, 1) | odd_text))
        date = draw(st.none() | st.just("2026-03-02"))
        out.append(Release(f"r/{i} é", text, draw(st.none() | odd_text), date, None, mentions, relations, None, meta))
    return [release.canonical() for release in out]


class Words:
    """A tokenizer for which every offset is a boundary: what the real ones do with odd characters is not the matter."""

    def __call__(self, text):
        return SimpleNamespace(char_span=lambda start, end, **_: SimpleNamespace(text=text[start:end]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(odd_releases(), st.data())
def test_pull_push_pull_is_the_identity(band_schema, tmp_path_factory, releases, data):
    loop = Loop(Checker(band_schema, Words(), 1000), tmp_path_factory.mktemp("loop"))
    assert counts(loop.push(releases)) == {"new": len(releases)}
    for release in releases:
        for _ in range(data.draw(st.integers(0, 2))):
            held = loop.fake.example(release.id).annotations[""]["entities"]
            if held and data.draw(st.booleans()):
                loop.fake.unlabel(release.id, data.draw(st.integers(0, len(held) - 1)))
            elif words := release.text.split():
                word = data.draw(st.sampled_from(words))
                at = Utf16(release.text).units(release.text.index(word))
                if all(e["start_offset"] >= at + 1 or e["end_offset"] <= at or e["label"] == "PLAN" for e in held):
                    loop.fake.label(release.id, word[:1] if len(word) == 1 else word, "CITY")
        loop.fake.confirm(release.id)
    first = loop.pull()
    refused = {defect.file for defect in first.refused}
    assert all(d.code == "overlap" for d in first.refused) and len(first.new) == len(releases) - len(refused)
    if not first.new:
        return
    before = loop.file.read_bytes()
    pulled = read_gold([loop.file])
    again = loop.push(pulled)
    assert counts(again) == {"unchanged": len(pulled)} and loop.fake.uploads == 1
    assert counts(loop.pull()).get("same") == len(pulled) and loop.file.read_bytes() == before
    # and by way of another project, where nobody has seen them
    other = Loop(loop.checker, tmp_path_factory.mktemp("other"))
    other.push(pulled)
    other.pull(everything=True)
    assert [plain(r) for r in read_gold([other.file])] == [plain(r) for r in pulled]


def test_what_nobody_changes_comes_back_as_it_was(loop):
    loop.push()
    loop.all_confirmed().pull()
    assert [plain(r) for r in loop.local().values()] == [plain(r) for r in band_releases()]
    noted = loop.local()["band-0"].meta[PROVENANCE]
    assert noted == {
        "project": "bands",
        "example": noted["example"],
        "confirmed": [{"by": "ann", "at": "2026-11-25T10:00:00Z"}],
    }


# --- push


def test_pushed_twice_changes_nothing(loop):
    assert counts(loop.push()) == {"new": 3}
    before = loop.fake.snapshot(loop.project)
    assert counts(loop.push()) == {"unchanged": 3}
    assert loop.fake.snapshot(loop.project) == before and loop.fake.uploads == 1


def test_large_pushes_go_in_pieces(checker, tmp_path):
    options = load_options(None, {"push": {"piece": 2}})
    loop = Loop(checker, tmp_path, options)
    loop.push()
    assert loop.fake.uploads == 2
    sealed = [e.meta["communique"]["sealed"] for e in loop.fake.snapshot(loop.project) if e.meta["communique"]["first"]]
    assert sealed == [True, True]


@pytest.mark.parametrize("cut", ["examples", "spans"])
def test_an_import_that_was_cut_short_is_repaired(loop, cut):
    loop.fake.cut = cut
    with pytest.raises(DoccanoError, match="can't be reached"):
        loop.push()
    assert counts(loop.push()) == {"repaired": 3}
    loop.all_confirmed().pull()
    assert [plain(r) for r in loop.local().values()] == [plain(r) for r in band_releases()]


def test_an_import_that_ran_twice_leaves_one(loop):
    loop.fake.cut = "twice"
    assert counts(loop.push()) == {"new": 3, "duplicates": 3}
    assert len(loop.fake.snapshot(loop.project)) == 3


@pytest.mark.parametrize("calls", range(1, 6))
def test_cut_short_anywhere_the_next_push_completes_it(checker, tmp_path, calls):
    loop = Loop(checker, tmp_path, load_options(None, {"push": {"piece": 1}}))
    loop.fake.away = calls
    with pytest.raises(DoccanoError):
        loop.push()
    loop.fake.away = None
    loop.push()
    assert counts(loop.push()) == {"unchanged": 3} and len(loop.fake.snapshot(loop.project)) == 3


def test_a_push_of_others_does_not_take_what_is_missing_for_work_of_people(loop):
    loop.fake.cut = "relations"
    with pytest.raises(DoccanoError):
        loop.push()
    assert loop.fake.example("band-0").annotations[""]["relations"]
    other = Release("other", "Red Owls played Lisbon")
    assert counts(loop.push([other])) == {"new": 1}
    assert "repaired" in counts(loop.push())
    loop.all_confirmed().pull()
    assert [plain(loop.local()[name]) for name in NAMES] == [plain(r) for r in band_releases()]


def test_what_people_deleted_stays_deleted(loop):
    loop.push()
    for name in NAMES:  # all relations, and all spans: as an import that was cut short leaves it
        for _ in range(len(loop.fake.example(name).annotations[""]["entities"])):
            loop.fake.unlabel(name)
    assert counts(loop.push()) == {"kept": 3}
    assert not any(e.annotations[""]["entities"] for e in loop.fake.snapshot(loop.project))


def test_what_people_did_is_replaced_only_by_force(loop):
    loop.push()
    loop.fake.label("band-0", "Lisbon", "SONG")
    loop.fake.confirm("band-1")
    changed = [replace(r, mentions=r.mentions[:1], relations=[]) for r in band_releases()]
    result = loop.push(changed)
    assert counts(result) == {"updated": 1, "kept": 2}
    assert result.kept == {"band-0": "changed by people", "band-1": "confirmed"}
    assert counts(loop.push(changed, force=True)) == {"forced": 2, "unchanged": 1}
    assert counts(loop.push(changed)) == {"unchanged": 3}


def test_work_in_what_was_not_finished_is_kept(loop):
    loop.fake.cut = "spans"
    with pytest.raises(DoccanoError):
        loop.push()
    loop.fake.label("band-0", "played", "CITY")
    loop.fake.confirm("band-1")
    assert counts(loop.push()) == {"repaired": 1, "kept": 2}
    assert "CITY" in {e["label"] for e in loop.fake.example("band-0").annotations[""]["entities"]}


def test_comments_count_as_work(loop):
    loop.push()
    loop.fake.example("band-0").comments = 1
    assert counts(loop.push([replace(r, mentions=[], relations=[]) for r in band_releases()])) == {
        "updated": 2,
        "kept": 1,
    }


def test_copies_that_people_made_are_named_and_stay(loop):
    loop.push()
    twin = loop.fake.snapshot(loop.project)[0]
    twin.id = 999
    loop.fake.held[loop.project.id][999] = twin
    result = loop.push()
    assert counts(result) == {"unchanged": 3, "twice": 1} and 999 in result.twice["band-0"]
    assert [d.code for d in loop.pull(everything=True).refused] == ["twice", "twice"]


def test_a_text_that_changed_is_sent_anew(loop):
    loop.push()
    longer = [replace(r, text=f"{r.text}!") for r in band_releases()]
    assert counts(loop.push(longer)) == {"updated": 3}


def test_what_doccano_has_no_place_for_is_brought_up_to_date(loop):
    loop.push()
    loop.fake.confirm("band-0")
    dated = [replace(r, date="2026-01-01") for r in band_releases()]
    assert counts(loop.push(dated)) == {"unchanged": 3, "noted": 3}
    assert counts(loop.push(dated)) == {"unchanged": 3}
    loop.pull()
    assert loop.local()["band-0"].date == "2026-01-01"


def test_a_server_that_drops_spans_is_found_out(checker, tmp_path):
    loop = Loop(checker, tmp_path)
    loop.project = replace(loop.project, settings=ProjectSettings(allow_overlapping=False))
    with pytest.raises(DoccanoError, match="does not hold what it was sent: band-1"):
        loop.push()


# --- projects


def test_a_project_that_would_lose_something_is_refused():
    fake = FakeDoccano()
    fake.create_project("p", "", "", ProjectSettings(allow_overlapping=False, grapheme_mode=True))
    with pytest.raises(DoccanoError, match=r"allow_overlapping is False.*grapheme_mode is True"):
        open_project(fake, "p", OPTIONS.project, None)
    fake.create_project("q", "", "", ProjectSettings())
    with pytest.raises(DoccanoError, match="annotate together: name another"):
        open_project(fake, "q", OPTIONS.project, False)
    fake.create_project("q", "", "", ProjectSettings())
    with pytest.raises(DoccanoError, match="several projects"):
        open_project(fake, "q", OPTIONS.project, None)
    for name in ("", " x", "x" * 101):
        with pytest.raises(DoccanoError, match="--project"):
            open_project(fake, name, OPTIONS.project, None)


def test_labels_get_colours_and_keys_of_their_own(schema):
    fixed = load_options(None, {"colours": {"fixed": {"PERSON": "#000080"}}}).colours
    found = label_types(schema, fixed)
    assert [(x.kind, x.text) for x in found] == [
        *(("span", name) for name in schema.labels),
        *(("relation", name) for name in schema.relation_names),
    ]
    spans = [x for x in found if x.kind == "span"]
    assert len({x.background_color for x in spans}) == len(spans)
    assert len({x.suffix_key for x in spans if x.suffix_key}) == 10
    assert (spans[0].background_color, spans[0].text_color) == ("#000080", fixed.light)
    fake = FakeDoccano()
    project = open_project(fake, "p", OPTIONS.project, None)
    fake.create_label_type(project, replace(spans[3], suffix_key="1"))
    added = add_label_types(fake, project, found)
    assert len(added) == len(found) - 1 and next(x for x in added if x.text == "PERSON").suffix_key is None
    assert not add_label_types(fake, project, found)


# --- pull


def test_only_what_is_confirmed_is_pulled(loop):
    loop.push()
    loop.fake.confirm("band-1")
    assert counts(loop.pull()) == {"new": 1, "waiting": 2} and set(loop.local()) == {"band-1"}
    assert counts(loop.pull(everything=True)) == {"new": 2, "same": 1, "waiting": 2}
    assert loop.local()["band-0"].meta[PROVENANCE]["confirmed"] == []


def test_what_people_added_has_no_identity_yet(loop):
    loop.push()
    loop.fake.label("band-1", "record", "SONG")
    loop.fake.confirm("band-1")
    assert counts(loop.pull()) == {"new": 1, "waiting": 2, "unidentified": 1}
    found = {(m.label, m.cluster) for m in loop.local()["band-1"].mentions}
    assert ("SONG", None) in found and ("SONG", "r") in found


@pytest.mark.parametrize(
    "harm, code",
    [
        (lambda f, e: f.label("band-0", "playe", "CITY"), "boundary"),
        (lambda f, e: f.label("band-0", "Red Owls played", "SONG"), "overlap"),
        (lambda f, e: f.label("band-0", "played", "TOWN"), "label"),
        (
            lambda f, e: f.relate("band-0", f.label("band-0", "played", "CITY"), "IN", e["entities"][0]["id"]),
            "signature",
        ),
        (lambda f, e: f.relate("band-0", e["entities"][0]["id"], "NEAR", e["entities"][1]["id"]), "type"),
        (lambda f, e: e["entities"][0].update(end_offset=900), "unreadable"),
        (lambda f, e: e["entities"][0].update(start_offset=-2), "unreadable"),
        (lambda f, e: setattr(f.example("band-0"), "text", "Red"), "unreadable"),
        (lambda f, e: setattr(f.example("band-0"), "text", f.example("band-0").text.upper()), "unreadable"),
    ],
)
def test_what_is_no_gold_is_refused_whole_and_by_name(loop, harm, code):
    loop.push()
    harm(loop.fake, loop.fake.example("band-0").annotations[""])
    loop.all_confirmed()
    result = loop.pull()
    assert {d.code for d in result.refused} == {code} and set(loop.local()) == {"band-1", "band-2"}
    assert all("http://fake, project 'bands', example" in d.file and "(band-0)" in d.file for d in result.refused)


def test_half_a_character_is_refused(loop):
    release = Release("band-0", "Owls\n😀 Owls", mentions=[Mention(0, "BAND", 0, 4)])
    loop.push([release])
    loop.fake.example("band-0").annotations[""]["entities"].append(
        {"id": 77, "label": "BAND", "start_offset": 6, "end_offset": 12}
    )
    loop.fake.confirm("band-0")
    (defect,) = loop.pull().refused
    assert "splits a character" in defect.message


def test_examples_of_others_are_named(loop):
    loop.push()
    stranger = loop.fake.snapshot(loop.project)[0]
    stranger.id, stranger.meta = 999, {"k": 1}
    loop.fake.held[loop.project.id][999] = stranger
    assert counts(loop.push()) == {"unchanged": 3}
    assert [d.code for d in loop.pull(everything=True).refused] == ["foreign"]


def local_edit(loop, name, **changes):
    write_jsonl(loop.file, [replace(r, **(changes if r.id == name else {})) for r in loop.local().values()])


def test_who_changed_what_since_the_last_pull(loop):
    loop.push()
    loop.all_confirmed().pull()
    loop.fake.unlabel("band-0", 2)
    local_edit(loop, "band-1", date="2026-02-02")
    assert counts(loop.pull()) == {"updated": 1, "same": 1, "ours": 1}
    assert len(loop.local()["band-0"].mentions) == 4 and loop.local()["band-1"].date == "2026-02-02"
    assert counts(loop.pull()) == {"same": 2, "ours": 1}


def test_a_conflict_is_shown_and_left_until_somebody_decides(loop):
    loop.push()
    loop.all_confirmed().pull()
    loop.fake.label("band-1", "record", "SONG")
    local_edit(loop, "band-1", date="2026-02-02")
    before = loop.file.read_bytes()
    for _ in range(2):
        result = loop.pull()
        (conflict,) = result.conflicts
        assert "+date: 2026-02-02" in conflict.diff and "[record](SONG" in conflict.diff
        assert loop.file.read_bytes() == before
    assert counts(loop.pull(take=Side.local)) == {"same": 2, "ours": 1} and loop.file.read_bytes() == before
    assert counts(loop.pull()) == {"same": 2, "ours": 1}
    loop.fake.label("band-1", "will", "SONG")
    assert len(loop.pull().conflicts) == 1
    assert counts(loop.pull(take=Side.server))["updated"] == 1
    assert loop.local()["band-1"].date is None


def test_without_a_base_what_was_sent_is_one(loop):
    loop.push()
    write_jsonl(loop.file, band_releases())
    loop.fake.unlabel("band-0", 2)
    loop.all_confirmed()
    assert counts(loop.pull()) == {"updated": 1, "same": 2}
    loop.file.with_name(".out.jsonl.doccano").unlink()
    loop.fake.unlabel("band-0", 0)
    (conflict,) = loop.pull().conflicts
    assert "(Doccano's)" in conflict.diff and "(before)" not in conflict.diff


def test_a_pull_that_was_cut_short_after_writing_asks_nothing(loop, monkeypatch):
    loop.push()
    loop.all_confirmed().pull()
    loop.fake.unlabel("band-0", 2)

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("communique.doccano.pull.write_base", fail)
        with pytest.raises(OSError):
            loop.pull()
    loop.fake.unlabel("band-1", 0)
    assert counts(loop.pull()) == {"same": 2, "updated": 1}


def test_a_folder_of_markup(loop, tmp_path):
    folder = tmp_path / "corpus"
    (folder / "deep").mkdir(parents=True)
    write_markup(folder / "deep", band_releases()[:1])
    untouched = (folder / "deep" / "band-0.txt").read_bytes()
    loop.push()
    loop.all_confirmed()
    assert counts(loop.pull(folder)) == {"new": 2, "same": 1}
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.txt"))
    assert found == ["band-1.txt", "band-2.txt", "deep/band-0.txt"]
    text = (folder / "band-1.txt").read_text("utf8")
    noted = parse(text).release.meta[PROVENANCE]
    assert noted["confirmed"] == [{"by": "ann", "at": "2026-11-25T10:00:00Z"}] and noted["project"] == "bands"
    loop.fake.unlabel("band-0", 2)
    loop.pull(folder)
    assert (folder / "deep" / "band-0.txt").read_bytes() != untouched
    assert counts(loop.pull(folder)) == {"same": 3}
    assert len(read_base(folder / ".doccano")) == 3


def test_spans_that_cross_are_refused_by_markup_alone(checker, tmp_path):
    loop = Loop(checker, tmp_path)
    crossing = Release("band-0", "Red Owls played", mentions=[Mention(0, "BAND", 0, 8), Mention(1, "PLAN", 4, 15)])
    loop.push([crossing])
    loop.fake.confirm("band-0")
    assert [d.code for d in loop.pull(tmp_path / "corpus").refused] == ["markup"]
    assert counts(loop.pull()) == {"new": 1}


def test_what_is_there_and_cant_be_read_stops_it(loop, tmp_path):
    loop.push()
    loop.all_confirmed()
    loop.file.write_text("{\n", "utf8")
    with pytest.raises(DefectError):
        loop.pull()
    assert loop.file.read_text("utf8") == "{\n"
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "band-0.txt").write_text("id: other\n\nT\n---\n", "utf8")
    with pytest.raises(DefectError, match="holds another release"):
        loop.pull(folder)
    for name in ("x.csv", "out.jsonl/y"):
        with pytest.raises((CommuniqueError, OSError)):
            loop.pull(tmp_path / name)
    assert open_local(tmp_path / "new").read() == {}


def test_annotators_who_work_alone_can_be_compared(checker, tmp_path):
    loop = Loop(checker, tmp_path, apart=True)
    loop.push([replace(r, mentions=[], relations=[]) for r in band_releases()])
    for who in ("ann", "bo b/../"):
        for name in NAMES[:2]:
            loop.fake.label(name, "Tin Cats", "BAND", who)
        loop.fake.confirm("band-0", who)
    with pytest.raises(CommuniqueError, match="name a folder"):
        loop.pull()
    folder = tmp_path / "each"
    assert counts(loop.pull(folder)) == {"new": 2, "waiting": 2}
    files = sorted(folder.glob("*.jsonl"))
    assert len(files) == 2 and all(f.parent == folder for f in files)
    loop.pull(folder, everything=True)
    pairs = match_releases(*(read_gold([f]) for f in files))
    assert [(len(a.mentions), len(b.mentions)) for a, b in pairs] == [(1, 1), (1, 1)]
    assert pairs[0][0].meta[PROVENANCE]["confirmed"] == [{"by": "ann", "at": None}]
    assert counts(loop.push([replace(r, mentions=[], relations=[]) for r in band_releases()])) == {
        "kept": 2,
        "unchanged": 1,
    }


# --- who logs in, and where


@pytest.mark.parametrize(
    "url, message",
    [
        ("http://example.org", "over http everybody"),
        ("https://u:secret@example.org", "user or password in it"),
        ("ftp://example.org", "no address"),
        ("admin:secret@example.org:8000", "no address"),
        ("//u:secret@example.org/", "no address"),
        ("http://[secret@", "no address"),
        ("example.org", "no address"),
    ],
)
def test_addresses_that_are_refused(url, message):
    with pytest.raises(DoccanoError, match=message) as caught:
        check_url(url, False)
    assert "secret" not in str(caught.value)


def test_addresses_that_are_not():
    assert check_url("http://127.0.0.1:8000/", False) == "http://127.0.0.1:8000"
    assert check_url("http://localhost/x/", False) == "http://localhost/x"
    assert check_url("https://example.org", False) == "https://example.org"
    assert check_url("http://example.org", True) == "http://example.org"


def test_credentials(monkeypatch):
    monkeypatch.setenv("DOCCANO_USERNAME", "ann")
    monkeypatch.delenv("DOCCANO_PASSWORD", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked = []

    def prompt(question, hidden):
        asked.append((question, hidden))
        return "s3cret"

    found = find_credentials(prompt)
    assert (found.username, found.password) == ("ann", "s3cret") and asked == [("Password", True)]
    assert "s3cret" not in repr(found)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(DoccanoError, match="DOCCANO_PASSWORD is not set"):
        find_credentials(prompt)


def test_without_the_client_the_command_says_how_to_get_it(tmp_path, root, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "python"))
    write_jsonl(tmp_path / "in.jsonl", [Release("a", "Korea and Chile\nmet")])
    args = ["doccano", "pull", str(tmp_path / "o.jsonl"), "-p", "x", "-c", str(root / "configs" / "small.cfg")]
    monkeypatch.chdir(root)
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2 and "make doccano" in result.output and VARIABLE in result.output


def test_a_python_without_the_client_says_so(monkeypatch):
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(DoccanoError, match=r"did not run.*doccano_client"), open_bridge(OPTIONS.client) as bridge:
        bridge.ask("open")


def test_settings_with_a_mistake(tmp_path):
    path = tmp_path / "x.cfg"
    for text, message in [
        ("[push]\npiece = 0\n", r"\[push\] piece: must be greater"),
        ("[push]\npeace = 1\n", "no such key"),
        ("[pull]\nx = 1\n", "no such section"),
        ('[colours]\nkeys = "11"\n', "a key stands twice"),
        ('[colours]\n\n[colours.fixed]\nA = "red"\n', "write a colour"),
    ]:
        path.write_text(text, "utf8")
        with pytest.raises(ConfigError, match=message):
            load_options(path)


# --- the command line, over a bridge that is not there


@pytest.fixture
def cli(loop, monkeypatch, root):
    from contextlib import contextmanager

    @contextmanager
    def connected(url, options):
        yield loop.fake

    monkeypatch.chdir(root)
    monkeypatch.setattr("communique.doccano.cli._connected", connected)

    def invoke(*args):
        return CliRunner().invoke(app, ["doccano", *map(str, args)])

    return invoke


def test_the_commands(cli, loop, tmp_path, schema):
    gold = Release("a", "Korea and Chile met\n", "Korea and Chile met", mentions=[Mention(0, "COUNTRY", 0, 5)])
    write_jsonl(tmp_path / "in.jsonl", [gold, replace(gold, id="b", mentions=[Mention(0, "COUNTRY", 0, 3)]), gold])
    result = cli("push", tmp_path / "in.jsonl", "--gold", "-p", "p", "--json")
    assert result.exit_code == 1, result.output
    assert "boundary" in result.output and "duplicate-id" in result.output
    summary = json.loads(result.output.splitlines()[-1])
    assert (summary["new"], summary["refused"], summary["project"]) == (1, 2, "p")
    assert {x.text for x in loop.fake.label_types(loop.fake.projects[1])} == {*schema.labels, *schema.relation_names}
    result = cli("pull", tmp_path / "o.jsonl", "-p", "p", "--all", "--json")
    assert result.exit_code == 0 and json.loads(result.output)["new"] == 1
    assert cli("pull", tmp_path / "o.jsonl", "-p", "nowhere").exit_code == 2
    assert cli("push", tmp_path / "none.jsonl", "-p", "p").exit_code == 2


def test_only_what_has_no_annotations_is_given_to_the_model(cli, loop, bands, tmp_path):
    bands.to_disk(tmp_path / "model")
    text = "Red Owls played Moonlight in Lisbon\nThe Owls played."
    kept = Release("kept", text, mentions=[Mention(0, "COUNTRY", 16, 25)])
    empty = Release("empty", text, meta={PROVENANCE: {"project": "p"}})
    write_jsonl(tmp_path / "in.jsonl", [kept, empty, Release("bare", text)])
    result = cli("push", tmp_path / "in.jsonl", "-p", "p", "-m", tmp_path / "model")
    assert result.exit_code == 1 and "bare: label: 'Red Owls' has the unknown label BAND" in result.output
    held = {e.meta["communique"]["id"]: e for e in loop.fake.snapshot(loop.fake.projects[1])}
    assert set(held) == {"kept", "empty"} and not held["empty"].annotations[""]["entities"]
    assert cli("push", tmp_path / "in.jsonl", "-p", "q", "--apart", "-m", "none").exit_code == 0


def test_a_conflict_on_the_command_line(cli, loop, tmp_path):
    gold = Release("a", "Korea and Chile met\n", "Korea and Chile met", mentions=[Mention(0, "COUNTRY", 0, 5)])
    path = tmp_path / "in.jsonl"
    write_jsonl(path, [gold])
    cli("push", path, "--gold", "-p", "p")
    write_jsonl(path, [replace(gold, date="2026-01-01")])
    loop.project = loop.fake.projects[1]
    loop.fake.held[loop.project.id][next(iter(loop.fake.held[loop.project.id]))].annotations[""]["entities"] = []
    result = cli("pull", path, "-p", "p", "--all")
    assert result.exit_code == 1 and "2026-01-01" in result.output and "decide with --take" in result.output
    assert [r.date for r in read_gold([path])] == ["2026-01-01"]
    assert cli("pull", path, "-p", "p", "--all", "--take", "local").exit_code == 0
    assert cli("push", path, "--gold", "-p", "p").exit_code == 1


def test_interrupted_by_a_signal(cli, loop, tmp_path, monkeypatch):
    def slow(project, rows):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.fake, "upload", slow)
    write_jsonl(tmp_path / "in.jsonl", [Release("a", "Korea and Chile met\n")])
    result = cli("push", tmp_path / "in.jsonl", "--gold", "-p", "p")
    assert result.exit_code == 143 and "push again to complete it" in result.output
