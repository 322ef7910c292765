"""What bad input gets: one clear line each, and the good records are annotated all the same."""

import io
import json
import re
import string
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from communique.annotate.run import annotate
from communique.annotate.sources import Reading, read_inputs
from communique.components.facts import Facts
from communique.errors import Defect
from communique.release import Release

LINE_BYTES = 10_000_000
LISTING = """-
Korea and Chile hold talks
The ministers met. They agreed. date2026-03-02
-
A second title
Another body,
in two lines.
date2026-03-03
"""


def read(*paths, max_chars=1_000_000):
    items = [record.item for record in read_inputs(map(str, paths), Reading(max_chars, LINE_BYTES), {})]
    good = [i for i in items if isinstance(i, Release)]
    return good, [i for i in items if isinstance(i, Defect)]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    return path


def test_listing_page(tmp_path):
    good, bad = read(write(tmp_path, "page.txt", LISTING))
    assert not bad
    assert [r.id for r in good] == ["2026-03-02-korea-and-chile-hold-talks", "2026-03-03-a-second-title"]
    assert good[0].text == "Korea and Chile hold talks\nThe ministers met. They agreed."
    assert good[1].text == "A second title\nAnother body,\nin two lines."
    assert [r.date for r in good] == ["2026-03-02", "2026-03-03"]


def test_the_ministrys_listing_page(listing, real_dev):
    good, bad = read(listing)
    assert not bad and len(good) == 3
    gold = {r.text for r in real_dev}
    assert all(r.text in gold for r in good)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_text_file(tmp_path, newline):
    content = f"\ufeffTitle{newline}{newline}Body one.{newline}Body two.{newline}"
    (release,), bad = read(write(tmp_path, "my-release.txt", content))
    assert not bad and release.id == "my-release" and release.title == "Title"
    assert release.text == "Title\nBody one.\nBody two."


def test_jsonl_text_is_taken_as_it_is(tmp_path):
    text = "Title\r\n  body “x”\u00a0 \n"
    line = {"id": "a", "text": text, "licence": {"x": [1, 2.5, None]}, "date": "2026-01-01"}
    (release,), bad = read(write(tmp_path, "a.jsonl", json.dumps(line) + "\n"))
    assert not bad and release.text == text
    assert release.meta == {"licence": {"x": [1, 2.5, None]}}


def test_folder_and_stdin(tmp_path, monkeypatch):
    write(tmp_path, "b.txt", "T\nbody")
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", "a.jsonl", '{"text": "x\\ny"}\n')
    write(tmp_path, "notes.md", "no release")
    good, bad = read(tmp_path)
    assert not bad and [r.id for r in good] == ["b", "a-1"]
    for content, ids in ((LISTING, 2), ('{"id": 7, "text": "t\\nb"}\n', 1), ("T\nbody", 1)):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
        good, bad = read("-")
        assert not bad and len(good) == ids


GOOD_LINE = '{"id": "good", "text": "T\\nbody"}'
BAD_LINES = [
    ("{", "json", "no JSON"),
    ("[1]", "record", "must be a JSON object, not a list"),
    ('{"id": "a"}', "record", 'no "text"'),
    ('{"id": "a", "text": 3}', "record", '"text" must be a string, not a number'),
    ('{"id": "a", "text": "  "}', "empty", "the text is empty"),
    ('{"id": "good", "text": "T\\nb"}', "duplicate-id", "was read before"),
    ('{"id": "a", "text": "<html><body>T\\nb"}', "html", "HTML"),
    ('{"id": "a", "text": "T\\nb\\u0000"}', "control", "U+0000 at character 3"),
    ('{"id": "a", "text": "T\\nb", "date": 5}', "record", '"date" must be a string'),
    ('{"id": "a", "text": "' + "x" * 300 + '"}', "length", "300 characters, more than 200"),
    (
        '{"id": "a", "text": "T\\nb", "entities": [{"id": 0, "label": "X", "start_offset": 0, "end_offset": 9}]}',
        "record",
        "entities[0]",
    ),
    ("[" * 100_000, "json", "no JSON"),
    ('{"id": "a", "text": "T\\nb", "k": NaN}', "json", "NaN"),
    ('{"id": "a", "text": "T\\nb", "k": -1e400}', "json", "-1e400 is too large"),
    ('{"id": "a", "text": "T\\nb", "k": ' + "[" * 400 + "]" * 400 + "}", "json", "nested more than 100 levels"),
    ('{"id": "a", "text": "T\\nb\\ud800"}', "encoding", "half a surrogate pair"),
    ('{"id": "a", "text": "T\\nb", "k": ["\\udfff"]}', "encoding", "half a surrogate pair"),
    (
        '{"id": "a", "text": "T\\nb", "relations": [{"from_id": 0, "to_id": 0, "type": "X"}]}',
        "record",
        "no entity with the id 0",
    ),
    (
        '{"id": "a", "text": "T\\nb", "entities": [{"id": 0, "label": "X", "start_offset": 0, "end_offset": 1, "score": []}]}',
        "record",
        "score",
    ),
    ('{"id": "a", "text": "T\\nb", "entities": {"id": 0}}', "record", '"entities" must be a list'),
]


def test_what_is_as_deep_as_allowed_goes_through(tmp_path, bands):
    depth = 98  # the record and the list of releases that a service gets are levels too
    line = '{"id": "a", "text": "T\\nb", "k": ' + "[" * depth + "]" * depth + "}"
    (release,), bad = read(write(tmp_path, "x.jsonl", line))
    (done,) = annotate(bands, [release])
    assert not bad and json.loads(json.dumps(done.to_dict()))["k"] == json.loads(line)["k"]


@pytest.mark.parametrize("line, code, message", BAD_LINES)
def test_bad_lines_cost_nobody_else(tmp_path, line, code, message):
    path = write(tmp_path, "x.jsonl", f"{GOOD_LINE}\n\n{line}\n" + '{"id": "last", "text": "T\\nb"}\n')
    good, (defect,) = read(path, max_chars=200)
    assert [r.id for r in good] == ["good", "last"]
    assert (defect.file, defect.line, defect.code) == (str(path), 3, code)
    assert message in defect.message and defect.mend
    assert "\n" not in str(defect)


def test_no_utf8(tmp_path):
    path = write(tmp_path, "x.jsonl", GOOD_LINE.encode() + b'\n{"id": "a", "text": "T\xff\\nb"}\n')
    good, (defect,) = read(path)
    assert [r.id for r in good] == ["good"] and (defect.line, defect.code) == (2, "encoding")
    page = write(tmp_path, "x.txt", LISTING.encode().replace(b"second", b"sec\xffond"))
    good, (defect,) = read(page)
    assert len(good) == 1 and (defect.line, defect.code) == (5, "encoding")


@pytest.mark.parametrize(
    "content, code, line",
    [
        ("", "empty", 0),
        (" \n\n", "empty", 0),
        ("Only a title", "body", 1),
        ("\n\nOnly a title\n\n", "body", 3),
        ("<html><p>T</p>\nb</html>", "html", 1),
        ("x" * 3000 + "\nb", "length", 1),
        ("T\nb\x07", "control", 1),
        (LISTING.replace("date2026-03-03", ""), "date", 5),
        (LISTING.replace("They agreed. date2026-03-02", "They agreed."), "date", 2),
        (LISTING.replace("The ministers met. They agreed. ", ""), "body", 2),
        ("-\ndate2026-01-01\n-\n", "title", 2),
    ],
)
def test_bad_text_files(tmp_path, content, code, line):
    write(tmp_path, "good.txt", "T\nbody")
    path = write(tmp_path, "bad.txt", content)
    good, (defect,) = read(path, tmp_path / "good.txt", max_chars=2000)
    assert "good" in [r.id for r in good]
    assert (defect.file, defect.code, defect.line) == (str(path), code, line)


def test_five_megabytes_of_one_line(tmp_path):
    path = write(tmp_path, "big.txt", "word " * 1_000_000)
    _, (defect,) = read(path)
    assert defect.code in ("length", "body")


def test_missing_file(tmp_path):
    _, (defect,) = read(tmp_path / "none.jsonl")
    assert defect.code == "unreadable" and str(tmp_path) in defect.file


WORDS = st.text(string.ascii_letters + "é’ .", min_size=1, max_size=20).filter(lambda t: t.strip(" ."))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_listing_round_trip(tmp_path_factory, blocks):
    page = "".join(f"-\n{i} {title}\n{body} date2026-01-0{i + 1}\n" for i, (title, body) in enumerate(blocks))
    path = write(tmp_path_factory.mktemp("page"), "p.txt", page)
    good, bad = read(path)
    assert not bad
    assert [r.text for r in good] == [f"{i} {t}".strip() + "\n" + b.strip() for i, (t, b) in enumerate(blocks)]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    for name in ("x.txt", "x.jsonl"):
        for *_, item, _ in read_inputs([str(write(folder, name, data))], Reading(100, LINE_BYTES), {}):
            assert isinstance(item, (Release, Defect))
            assert "\n" not in str(item) if isinstance(item, Defect) else item.text.strip()


def test_a_release_that_breaks_the_model_is_refused(bands):
    class Breaks:
        def __call__(self, doc):
            if "boom" in doc.text:
                raise RuntimeError("too hot")
            return doc

    pipe = Breaks()
    bands.tokenizer, tokenizer = (lambda text: pipe(tokenizer(text))), bands.tokenizer
    try:
        items = [Release("a", "one"), Defect("f", 1, 1, "c", "m"), Release("b", "boom"), Release("c", "two")]
        got = list(annotate(bands, items))
    finally:
        bands.tokenizer = tokenizer
    assert [getattr(i, "id", i) for i in got if isinstance(i, Release)] == ["a", "c"]
    assert got[1] is items[1] and re.search("b: the model failed: RuntimeError: too hot", str(got[2]))


@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(st.sampled_from("rdb"), max_size=9), size=st.integers(1, 4), stops=st.booleans())
def test_order_is_kept_whatever_fails(bands, kinds, size, stops):
    """r: a release, d: a defect, b: a release on which the last component fails."""
    items = [Defect(str(i), 1, 1, "c", "m") if k == "d" else Release(str(i), k) for i, k in enumerate(kinds)]

    def read():
        yield from items
        if stops:
            raise OSError("the disk is gone")

    def breaks(self, doc, whole=Facts.__call__):
        if doc.text == "b":
            raise RuntimeError("too hot")
        return whole(self, doc)

    got = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError) if stops else nullcontext():
        patch.setattr(Facts, "__call__", breaks)
        for item in annotate(bands, read(), batch_size=size):
            got.append(item)
    found = [(g.id, "r") if isinstance(g, Release) else (g.file, "b" if g.code == "model" else "d") for g in got]
    assert found == [(str(i), kind) for i, kind in enumerate(kinds)]


def test_a_pipeline_that_fails_without_a_release_says_so(bands, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("no pipeline")

    monkeypatch.setattr(bands, "pipe", lambda docs, batch_size: iter(fails, None))
    with pytest.raises(RuntimeError, match="no pipeline"):
        list(annotate(bands, [Release("a", "one")]))
