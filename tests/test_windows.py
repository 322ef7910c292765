"""Windows hold every token once, are as few as can be, and are cut between sentences where they can."""

import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from communique.windows import create_sentence_windows, sentence_windows

VOCAB = spacy.blank("en").vocab


def doc(lengths):
    starts = [i == 0 for length in lengths for i in range(length)]
    return Doc(VOCAB, ["w"] * len(starts), sent_starts=starts)


def spans(found):
    return [(span.start, span.end) for span in found]


@given(st.lists(st.integers(1, 30), max_size=30), st.integers(1, 40))
def test_every_token_once_in_as_few_windows_as_can_be(lengths, size):
    found = spans(sentence_windows(doc(lengths), size))
    assert [i for start, end in found for i in range(start, end)] == list(range(sum(lengths)))
    assert len(found) == -(-sum(lengths) // size)
    assert all(0 < end - start <= size for start, end in found)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_short_sentences_stay_whole_where_there_is_room(lengths):
    """With windows that are far from full, some sentence begins within reach of every cut."""
    total = sum(lengths)
    size = total // 2 + 10
    cuts = [start for start, _ in spans(sentence_windows(doc(lengths), size))[1:]]
    assert all(doc(lengths)[cut].is_sent_start for cut in cuts)


def test_windows_are_about_equally_long():
    assert spans(sentence_windows(doc([1] * 161), 160)) == [(0, 81), (81, 161)]
    assert spans(sentence_windows(doc([90, 30, 90]), 160)) == [(0, 90), (90, 210)]


def test_without_sentences_any_token_will_do():
    plain = Doc(VOCAB, ["w"] * 10)
    assert spans(sentence_windows(plain, 4)) == [(0, 4), (4, 7), (7, 10)]
    assert sentence_windows(Doc(VOCAB), 4) == []


def test_as_a_span_getter():
    docs = [doc([3, 3]), doc([])]
    assert list(map(spans, create_sentence_windows(4)(docs))) == [[(0, 3), (3, 6)], []]
