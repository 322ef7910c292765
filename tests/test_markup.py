import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from communique.bridge import from_doc, to_doc
from communique.corpus import markup
from communique.corpus.exchange import read_gold, to_docbin, write_jsonl, write_markup
from communique.errors import CommuniqueError, DefectError
from communique.release import Mention, Relation, Release

GOOD = """id: kr-1
date: 2026-03-02
source: Ministry of Trade
kind: talks

[Korea](COUNTRY kr.1) and [Chile](COUNTRY cl.1) to [open [talks](MEETING t.1) on \\[hydrogen\\]](PLEDGE p1)
The [Korean](COUNTRY kr.2) side spoke for [USD 3](MONEY). \\
Then it left.
\\---
---
kr.1 PLEDGED p1
cl.1 PLEDGED p1
"""


def test_reads_what_a_person_writes():
    release = markup.parse(GOOD).release.canonical()
    assert release.id == "kr-1" and release.date == "2026-03-02" and release.meta == {"kind": "talks"}
    assert release.title == "Korea and Chile to open talks on [hydrogen]"
    assert release.text.endswith("The Korean side spoke for USD 3. Then it left.\n---")
    tagged = [(release.span_text(m), m.label, m.cluster) for m in release.mentions]
    assert tagged == [
        ("Korea", "COUNTRY", "kr"),
        ("Chile", "COUNTRY", "cl"),
        ("open talks on [hydrogen]", "PLEDGE", None),
        ("talks", "MEETING", "t"),
        ("Korean", "COUNTRY", "kr"),
        ("USD 3", "MONEY", None),
    ]
    assert [(r.head, r.type, r.tail) for r in release.relations] == [(0, "PLEDGED", 2), (1, "PLEDGED", 2)]


@pytest.mark.parametrize(
    "old, new, code, line, column",
    [
        ("id: kr-1", "id kr-1", "header", 1, 1),
        ("id: kr-1\n", "", "header", 1, 1),
        ("kind: talks", "kind:= {talks", "header", 4, 7),
        ("[USD 3](MONEY)", "USD 3](MONEY)", "markup", 7, 48),
        ("[USD 3](MONEY)", "[USD 3", "markup", 7, 43),
        ("[USD 3](MONEY)", "[USD 3]", "markup", 7, 49),
        ("[USD 3](MONEY)", "[](MONEY)", "markup", 7, 43),
        ("(COUNTRY kr.2)", "(COUNTRY kr.1)", "handle", 7, 5),
        ("(COUNTRY kr.2)", "(COUNTRY k/r.2)", "handle", 7, 22),
        ("kr.1 PLEDGED p1", "kr.9 PLEDGED p1", "dangling", 11, 1),
        ("kr.1 PLEDGED p1", "kr.1 PLEDGED", "relation", 11, 1),
        ("\n---\nkr.1", "\nkr.1", "markup", 12, 1),
    ],
)
def test_defects_name_their_place(old, new, code, line, column):
    assert GOOD.count(old) == 1
    with pytest.raises(DefectError) as caught:
        markup.parse(GOOD.replace(old, new), "x.txt")
    first = caught.value.defects[0]
    assert (first.code, first.line, first.column) == (code, line, column)
    assert str(first).startswith(f"x.txt:{line}:{column}: {code}: ")
    assert first.mend


def test_dangling_relation_suggests_handles():
    with pytest.raises(DefectError, match=r"did you mean kr.1 or kr.2\?"):
        markup.parse(GOOD.replace("kr.1 PLEDGED", "kr.9 PLEDGED"))


def test_no_utf8(tmp_path):
    file = tmp_path / "x.txt"
    file.write_bytes(b"id: a\n\nT\xff\nbody\n---\n")
    with pytest.raises(DefectError, match="no UTF-8 at byte 8"):
        markup.read_file(file)


NAMES = st.text(string.ascii_letters + string.digits + "._- é%~/", min_size=1, max_size=6)
CHARS = st.sampled_from([*list("ab -[]()\\\n\r.,“’\t\u2028\x85é😀0A"), "\ne", ". A", "---"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda x: st.lists(x, max_size=2), max_leaves=3
)


@st.composite
def releases(draw):
    text = "".join(draw(st.lists(CHARS, min_size=1, max_size=40)))
    spans: "set[tuple[int, int]]" = set()
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        if all(end <= a or b <= start or (a <= start and end <= b) or (start <= a and b <= end) for a, b in spans):
            spans.add((start, end))
    mentions = [
        Mention(i, draw(st.sampled_from(["PERSON", "PLEDGE", "Ö B"])), a, b, draw(st.none() | NAMES | st.just("")))
        for i, (a, b) in enumerate(sorted(spans))
    ]
    pairs = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4)) if mentions else []
    seen = {(a % len(mentions), b % len(mentions)) for a, b in pairs}
    relations = [Relation(i, "MET", a, b) for i, (a, b) in enumerate(sorted(seen))]
    meta = draw(
        st.dictionaries(
            NAMES.filter(lambda k: k not in {"id", "text", *Release.__dataclass_fields__}), JSON, max_size=2
        )
    )
    title = draw(st.none() | st.just(text.split("\n", 1)[0]) | st.text(max_size=5))
    return Release(
        draw(NAMES),
        text,
        title,
        draw(st.none() | st.just("2026-01-02")),
        draw(st.none() | NAMES),
        mentions,
        relations,
        meta=meta,
    )


@settings(max_examples=300, deadline=None)
@given(releases())
def test_round_trip(release):
    release = release.canonical()
    again = markup.parse(markup.write(release)).release.canonical()
    assert again == release
    assert Release.from_dict(json.loads(json.dumps(release.to_dict()))) == release


def test_crossing_spans_are_named():
    release = Release("x", "a b c", mentions=[Mention(0, "A", 0, 3), Mention(1, "B", 2, 5)])
    with pytest.raises(CommuniqueError, match="'a b' and 'b c' cross"):
        markup.write(release)


def test_written_markup_keeps_a_sentence_a_line():
    text = "Title\nOne sentence ends here. Another begins. " + "The U.S. said so. “Quote,” he said."
    written = markup.write(Release("x", text, "Title"))
    assert "ends here. \\\nAnother begins. \\\n" in written
    assert markup.parse(written).release.text == text


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(["Korea", "the", "(MOU)", "U.S.-Japan", "’s", "\n", "KRW112", "2026.", "“x”"]),
        min_size=1,
        max_size=20,
    ),
    st.data(),
)
def test_docbin_round_trip(tokenizer, schema, words, data):
    text = " ".join(words)
    tokens = [t for t in tokenizer(text)]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(tokens)), max_size=6)))
    mentions = []
    for i, (a, b) in enumerate(zip(cuts, cuts[1:])):
        start, end = tokens[a].idx, tokens[b - 1].idx + len(tokens[b - 1])
        mentions.append(Mention(i, ["PERSON", "ORG"][i % 2], start, end, data.draw(st.none() | st.just(f"c{i}"))))
    relations = [Relation(0, "MET_WITH", 0, 1)] if len(mentions) > 1 else []
    release = Release("x", text, "t", "2026-01-02", None, mentions, relations, meta={"k": [1, {"a": "b"}]}).canonical()
    assert from_doc(to_doc(release, tokenizer, schema), schema.span_key) == release
    (doc,) = DocBin().from_bytes(to_docbin([release], tokenizer, schema).to_bytes()).get_docs(tokenizer.vocab)
    assert from_doc(doc, schema.span_key) == release


def test_files_round_trip(root, tmp_path, tokenizer, schema):
    gold = read_gold([root / "corpus"])
    assert gold
    write_markup(tmp_path / "markup", gold)
    write_jsonl(tmp_path / "gold.jsonl", gold)
    by_id = {r.id: r for r in gold}
    for again in (read_gold([tmp_path / "markup"]), read_gold([tmp_path / "gold.jsonl"])):
        assert {r.id: r for r in again} == by_id
    for release in gold:
        assert from_doc(to_doc(release, tokenizer, schema), schema.span_key) == release


def test_real_releases_round_trip(real_dev, tokenizer, schema):
    for release in real_dev:
        release = release.canonical()
        assert markup.parse(markup.write(release)).release.canonical() == release
        assert from_doc(to_doc(release, tokenizer, schema), schema.span_key) == release


def test_overlapping_entities_are_an_error(tokenizer, schema):
    release = Release("x", "Bank of Korea", mentions=[Mention(0, "AGENCY", 0, 13), Mention(1, "COUNTRY", 8, 13)])
    with pytest.raises(CommuniqueError, match="x: "):
        to_doc(release, tokenizer, schema)
