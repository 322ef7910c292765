"""The layer that lets a token know what is said where the same word stands elsewhere in the doc."""

import numpy as np
import pytest
import spacy
from thinc.api import Model

from communique.architectures.encoder import build_repeat_tok2vec

TEXTS = ["a b a c a", "x", "", "b b"]


class Fixed:
    """Token vectors that a test can change, and the gradient that comes back to them."""

    def __init__(self, docs, width=3):
        rng = np.random.default_rng(0)
        self.vectors = [rng.normal(size=(len(doc), width)).astype("f") for doc in docs]
        self.gradient = None
        self.model = Model("fixed", self.forward, dims={"nO": width})

    def forward(self, model, docs, is_train):
        def backprop(gradient):
            self.gradient = gradient
            return docs

        return [v.copy() for v in self.vectors], backprop


@pytest.fixture
def layer():
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in TEXTS]
    fixed = Fixed(docs)
    model = build_repeat_tok2vec(fixed.model, width=2, attr="ORTH")
    model.initialize(X=docs)
    return model, docs, fixed


def test_the_same_word_shares_a_maximum_within_its_doc_only(layer):
    model, docs, fixed = layer
    first, alone, empty, last = model.predict(docs)
    assert (model.get_dim("nO"), empty.shape) == (5, (0, 5))
    for output, vectors in zip((first, alone, empty, last), fixed.vectors):
        np.testing.assert_array_equal(output[:, :3], vectors)
    project = model.layers[1].predict
    np.testing.assert_allclose(first[0, 3:], project(fixed.vectors[0][[0, 2, 4]]).max(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(first[[2, 4], 3:], first[[0, 0], 3:])
    assert not np.allclose(first[1, 3:], last[0, 3:])


def test_gradients_equal_finite_differences(layer):
    model, docs, fixed = layer
    outputs, backprop = model(docs, True)
    rng = np.random.default_rng(1)
    d_outputs = [rng.normal(size=y.shape).astype("f") for y in outputs]
    backprop(d_outputs)

    def loss():
        return sum(float((y.astype("f8") * d).sum()) for y, d in zip(model.predict(docs), d_outputs))

    for number, vectors in enumerate(fixed.vectors):
        for index in np.ndindex(vectors.shape):
            old, eps = vectors[index], 1e-3
            vectors[index] = old + eps
            high = loss()
            vectors[index] = old - eps
            low = loss()
            vectors[index] = old
            assert fixed.gradient[number][index] == pytest.approx((high - low) / (2 * eps), abs=2e-3)


def test_a_doc_without_tokens(layer):
    model, docs, fixed = layer
    fixed.vectors = fixed.vectors[2:3]
    assert [y.shape for y in model.predict(docs[2:3])] == [(0, 5)]
