"""Abbreviations take the label of the names that they stand for."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from communique.bridge import set_values, span_key

VOCAB = spacy.blank("en").vocab
PIPE = spacy.blank("en").add_pipe("communique_abbreviations")


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("communique_abbreviations")
    return nlp


def annotated(nlp, text, ents, confidences=None):
    doc = nlp.make_doc(text)
    spans = [doc.char_span(text.index(t), text.index(t) + len(t), label=label) for t, label in ents]
    assert None not in spans
    doc.set_ents(spans)
    set_values(doc, "confidences", {span_key(s.start, s.end, s.label_): c for s, c in zip(spans, confidences or [])})
    doc = nlp.get_pipe("communique_abbreviations")(doc)
    return doc, [(e.text, e.label_) for e in doc.ents]


def test_an_abbreviation_is_what_its_name_is_wherever_it_stands(nlp):
    text = "Hanbit Steel Works (HSW) grows. At HSW, all is well; HSWs do not count."
    doc, found = annotated(nlp, text, [("Hanbit Steel Works", "ORG"), ("HSW", "AGENCY")], [0.9, 0.4])
    assert found == [("Hanbit Steel Works", "ORG"), ("HSW", "ORG"), ("HSW", "ORG")]
    assert [e._.confidence for e in doc.ents] == [0.9, 0.9, 0.9]


def test_the_abbreviation_of_no_entity_is_none(nlp):
    text = "Foreign direct investment (FDI) rose. FDI was high."
    assert annotated(nlp, text, [("FDI", "AGENCY")])[1] == []


def test_a_right_label_keeps_its_confidence(nlp):
    text = "Hanbit Steel Works (HSW) grows."
    doc, _ = annotated(nlp, text, [("Hanbit Steel Works", "ORG"), ("HSW", "ORG")], [0.9, 0.4])
    assert [e._.confidence for e in doc.ents] == [0.9, 0.4]


@pytest.mark.parametrize(
    "text",
    [
        "the Joint Trade Committee (hereinafter “JTC”) met; JTC",
        "the Joint Trade Committee (the JTC) met; JTC",
        "the Joint Committee on Trade and Customs (JTC) met; JTC",
    ],
)
def test_what_may_stand_around_it(nlp, text):
    name = text[4 : text.index(" (")]
    found = annotated(nlp, text, [(name, "MEETING")])[1]
    assert found == [(name, "MEETING"), ("JTC", "MEETING"), ("JTC", "MEETING")]


def test_letters_must_stand_in_the_name_in_order(nlp):
    text = "the Joint Trade Committee (CTJ) met; CTJ"
    assert annotated(nlp, text, [("Joint Trade Committee", "MEETING")])[1] == [("Joint Trade Committee", "MEETING")]


def test_a_part_of_the_long_form_says_nothing(nlp):
    text = "The Association of Shipowners of Norway (ASN) met. ASN said."
    found = annotated(nlp, text, [("Norway", "COUNTRY"), ("ASN", "ORG")])[1]
    assert found == [("Norway", "COUNTRY"), ("ASN", "ORG")]


def test_inside_a_longer_entity_it_stays(nlp):
    text = "Hanbit Steel Works (HSW) opened the HSW Forum."
    found = annotated(nlp, text, [("Hanbit Steel Works", "ORG"), ("HSW Forum", "MEETING")])[1]
    assert found == [("Hanbit Steel Works", "ORG"), ("HSW", "ORG"), ("HSW Forum", "MEETING")]


def test_brackets_that_define_nothing(nlp):
    text = "Exports (USA) and the Hanbit Works (founded 1998) (up) ("
    assert annotated(nlp, text, [("USA", "COUNTRY")])[1] == [("USA", "COUNTRY")]


@given(st.lists(st.sampled_from(["Free", "Trade", "Area", "(", ")", "FTA", "of", "“", "A", "\n", "x"]), max_size=20))
def test_any_row_of_words_is_survived(words):
    doc = PIPE(Doc(VOCAB, words=words))
    assert not doc.ents
