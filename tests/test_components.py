"""Sentences, identity, normalisation and facts: the components that learn nothing."""

from datetime import date

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.util import load_config

from communique.bridge import Characters, to_doc
from communique.components.identity import known_sieves
from communique.corpus.exchange import load_tokenizer
from communique.corpus.markup import parse
from communique.countries import load_register
from communique.dates import normalise_date
from communique.money import load_register as load_money


@pytest.fixture(scope="module")
def config(root):
    return load_config(root / "configs" / "small.cfg", interpolate=True)


@pytest.fixture(scope="module")
def sentences(root, config):
    nlp, _ = load_tokenizer(root / "configs" / "small.cfg")
    settings = {k: v for k, v in config["components"]["sentences"].items() if k != "factory"}
    pipe = nlp.add_pipe("communique_sentences", config=settings)
    return lambda text: [s.text.strip() for s in pipe(nlp.make_doc(text)).sents]


@pytest.mark.parametrize(
    "parts",
    [
        ["He visited the U.S. Department of Energy in Washington D.C. on Monday.", "Then he left."],
        ["A title without a stop\n", "The body begins."],
        ["They met in the U.S.", "The talks went on."],
        ["Regulation No. 3 of Mr. Lim, Dr. Bek and J. W. Kim applies.", "It is new."],
        ["“We agree.”", "He left."],
        ["It rose 3.5 percent to $2.1 billion.", "In May, it fell."],
        ["1. Open talks on steel.", "2. Meet again."],
        ["He said (see annex.) that it works!", "Does it?", "Yes."],
        ["Acme Inc. and Beta Sdn. Bhd. signed."],
        ["Ends with blanks. ", "Next one.\n\n", "Third."],
    ],
)
def test_sentences(sentences, parts):
    assert sentences("".join(p if p.endswith(("\n", " ")) else p + " " for p in parts)) == [p.strip() for p in parts]


def test_every_token_has_a_sentence(sentences):
    assert sentences("") == []
    assert sentences(" ") in ([""], [])


@pytest.fixture(scope="module")
def clusters(root, config, tokenizer, schema):
    nlp = spacy.blank("en")
    settings = {k: v for k, v in config["components"]["identity"].items() if k not in ("factory", "scorer")}
    pipe = nlp.add_pipe("communique_identity", config=settings)

    def run(markup):
        release = parse(
            f"id: x\n\n{markup}\n---\n" if "\n---\n" not in markup else f"id: x\n\n{markup}"
        ).release.canonical()
        doc = pipe(to_doc(release, tokenizer, schema))
        want = {}
        for m in release.mentions:
            if m.cluster is not None:
                want.setdefault(m.cluster, set()).add(m.start)
        got = [{doc[start].idx for start, _, _ in c["mentions"]} for c in doc._.clusters]
        return sorted(map(sorted, got)), sorted(map(sorted, want.values()))

    return run


@pytest.mark.parametrize(
    "markup",
    [
        "[Aliya Bekova](PERSON b.1) spoke. [Bekova](PERSON b.2) left. [Lim](PERSON l.1) stayed.",
        "[Kim Jung-kwan](PERSON k.1) and [Kim Do-yun](PERSON d.1) met. [Kim Jung-kwan](PERSON k.2) won.",
        "[Ministry of Trade and Industry](AGENCY m.1) ([MTI](AGENCY m.2)) said. The [Ministry](AGENCY m.3) left.",
        "[Korea-Chile Joint Commission](MEETING c.1) (“[Commission](MEETING c.2)”) met. The [event](MEETING c.3) ended.",
        "[Republic of Korea](COUNTRY kr.1), [Korea](COUNTRY kr.2), [Korean](COUNTRY kr.3), [U.S.](COUNTRY us.1), [American](COUNTRY us.2)",
        "a [working lunch](MEETING a.1) and a [working lunch](MEETING b.1)",
        "[Minister](ROLE m.1) [Aliya Bekova](PERSON b.1) spoke. The [minister](ROLE b.2) left.\n---\nb.1 HAS_ROLE m.1\n",
        "[Minister for Trade](ROLE m.1) [Bek](PERSON b.1) and [Minister](ROLE m.2) [Bek](PERSON b.2) met."
        "\n---\nb.1 HAS_ROLE m.1\nb.2 HAS_ROLE m.2\n",
        "[Foreign Minister](ROLE m.1) [Bek](PERSON b.1) met [Foreign Minister](ROLE n.1) [Lim](PERSON l.1)."
        "\n---\nb.1 HAS_ROLE m.1\nl.1 HAS_ROLE n.1\n",
        "[Korea-Chile Free Trade Agreement](AGREEMENT f.1) ([FTA](AGREEMENT f.2)). The [Agreement](AGREEMENT f.3).",
    ],
)
def test_identity(clusters, markup):
    got, want = clusters(markup)
    assert got == want


def test_unknown_sieve():
    with pytest.raises(ValueError, match="unknown sieve nearest"):
        spacy.blank("en").add_pipe("communique_identity", config={"sieves": [{"sieve": "nearest"}]})
    assert "exact" in known_sieves()


def test_identity_labels_are_the_schemas(root, schema):
    for name in ("small", "minilm"):
        config = load_config(root / "configs" / f"{name}.cfg")
        assert set(config["components"]["identity"]["labels"]) == set(schema.identity)
        assert config["components"]["pledges"]["spans_key"] == schema.span_key


def test_configs_share_the_tokenizer_and_the_rules(root):
    small, minilm = (load_config(root / "configs" / f"{n}.cfg", interpolate=False) for n in ("small", "minilm"))
    assert small["nlp"]["tokenizer"] == minilm["nlp"]["tokenizer"]
    for name in ("sentences", "identity", "normalise", "facts"):
        assert small["components"][name] == minilm["components"][name]


@pytest.mark.parametrize(
    "name, code",
    [
        ("Korea", "KR"),
        ("Korean", "KR"),
        ("U.S.", "US"),
        ("us", None),
        ("the Netherlands", "NL"),
        ("EU", "EU"),
        ("Kyrgyz Republic", "KG"),
        ("Bolivia, Plurinational State of", "BO"),
        ("Côte d’Ivoire", "CI"),
        ("Atlantis", None),
    ],
)
def test_countries(name, code):
    assert load_register().code(name) == code


DAY = date(2026, 3, 5)  # a Thursday


@pytest.mark.parametrize(
    "text, norm",
    [
        ("September 12", "2025-09-12"),
        ("March 3", "2026-03-03"),
        ("3 March", "2026-03-03"),
        ("March 3-5", "2026-03-03/2026-03-05"),
        ("4 March 2024 to 7 March 2024", "2024-03-04/2024-03-07"),
        ("October 28-29, 2021", "2021-10-28/2021-10-29"),
        ("28 February to 2 March", "2026-02-28/2026-03-02"),
        ("20–21 February 2025", "2025-02-20/2025-02-21"),
        ("Tuesday, 3 March 2026", "2026-03-03"),
        ("December 2026", "2026-12"),
        ("December", "2025-12"),
        ("first half of 2027", "2027-01/2027-06"),
        ("third quarter", "2026-07/2026-09"),
        ("Q4 2025", "2025-10/2025-12"),
        ("2030", "2030"),
        ("2021-2025", "2021/2025"),
        ("today", "2026-03-05"),
        ("yesterday", "2026-03-04"),
        ("Monday", "2026-03-02"),
        ("next Monday", "2026-03-09"),
        ("this year", "2026"),
        ("next month", "2026-04"),
        ("last year", "2025"),
        ("end of next year", "2027-12"),
        ("early 2027", "2027-01/2027-03"),
        ("2026-03-01", "2026-03-01"),
        ("February 30", None),
        ("sometime", None),
    ],
)
def test_dates(text, norm):
    assert normalise_date(text, DAY) == norm


def test_dates_without_a_reference():
    assert normalise_date("today", None) is None
    assert normalise_date("March 3", None) is None
    assert normalise_date("March 3, 2026", None) == "2026-03-03"


@pytest.mark.parametrize(
    "text, norm",
    [
        ("USD 20.6 billion", "USD 20600000000"),
        ("$83.6 mln", "USD 83600000"),
        ("KRW 112 billion", "KRW 112000000000"),
        ("€2 bn", "EUR 2000000000"),
        ("S$1,250", "SGD 1250"),
        ("£3.5m", "GBP 3500000"),
        ("Rs. 500 crore", "INR 5000000000"),
        ("10 million euros", "EUR 10000000"),
        ("300,000 Swiss francs", "CHF 300000"),
        ("US$0.75", "USD 0.75"),
        ("KRW112", "KRW 112"),
        ("CHF 1.2 million", "CHF 1200000"),
        ("many dollars", None),
    ],
)
def test_money(text, norm):
    assert load_money().normalise(text) == norm


def test_facts_merge_relations_of_clusters(tokenizer, schema):
    nlp = spacy.blank("en")
    nlp.add_pipe("communique_normalise", config={"normalisers": {"DATE": "date"}})
    nlp.add_pipe("communique_facts", config={"name_labels": ["PERSON"]})
    release = parse(
        "id: x\ndate: 2026-03-05\n\n[Aliya Bekova](PERSON b.1) met [Lim](PERSON l.1)\n"
        "[Minister](ROLE b.2) met [Lim](PERSON l.2). [Lim](PERSON l.3) met [Bekova](PERSON b.3) at [talks](MEETING t.1)"
        " on [March 3](DATE d1) and [3 March](DATE d2).\n---\n"
        "b.1 MET_WITH l.1\nb.2 MET_WITH l.2\nl.3 MET_WITH b.3\nt.1 HELD_ON d1\nt.1 HELD_ON d2\n"
    ).release.canonical()
    doc = to_doc(release, tokenizer, schema)
    doc._.relations = [
        {**r, "score": 0.5 + i / 10, "symmetric": r["type"] == "MET_WITH"} for i, r in enumerate(doc._.relations)
    ]
    for _, pipe in nlp.pipeline:
        doc = pipe(doc)
    met, held = doc._.facts
    assert (met["head"]["name"], met["tail"]["name"], len(met["evidence"])) == ("Aliya Bekova", "Lim", 3)
    assert met["score"] == 0.7
    assert (held["head"]["name"], held["tail"]["norm"], len(held["evidence"])) == ("talks", "2026-03-03", 2)


@given(
    words=st.lists(st.tuples(st.text(min_size=1, max_size=4), st.booleans()), min_size=1, max_size=6), data=st.data()
)
def test_characters_are_those_of_spans(words, data):
    doc = Doc(spacy.blank("xx").vocab, words=[w for w, _ in words], spaces=[s for _, s in words])
    start = data.draw(st.integers(0, len(doc) - 1))
    span = doc[start : data.draw(st.integers(start + 1, len(doc)))]
    characters = Characters(doc)
    assert characters.edges(span.start, span.end) == (span.start_char, span.end_char)
    assert characters.between(span.start, span.end) == span.text
