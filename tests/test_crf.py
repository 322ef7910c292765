from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from communique.architectures.crf import Lattice, TagScheme, marginals, negative_log_likelihood, viterbi


def lattice(seed: int, lengths: "list[int]", tags: int = 3) -> Lattice:
    rng = np.random.default_rng(seed)
    emissions = [rng.normal(size=(n, tags)) for n in lengths]
    return Lattice.build(np, emissions, rng.normal(size=(tags, tags)), rng.normal(size=tags), rng.normal(size=tags))


def path_score(lat: Lattice, column: int, path: "tuple[int, ...]") -> float:
    score = lat.start[path[0]] + lat.end[path[-1]] + sum(lat.emissions[t, column, tag] for t, tag in enumerate(path))
    return float(score + sum(lat.T[a, b] for a, b in zip(path, path[1:])))


@pytest.mark.parametrize("lengths", [[1], [4], [4, 1, 3]])
def test_partition_and_best_path_equal_enumeration(lengths):
    lat = lattice(0, lengths)
    found = marginals(np, lat)
    best = viterbi(np, lat)
    for column, n in enumerate(lengths):
        paths = list(product(range(3), repeat=n))
        scores = np.asarray([path_score(lat, column, p) for p in paths])
        assert found.log_z[column] == pytest.approx(np.log(np.exp(scores).sum()))
        assert tuple(best[column]) == paths[int(scores.argmax())]
        probabilities = np.exp(scores - found.log_z[column])
        for t, tag in product(range(n), range(3)):
            wanted = sum(p for p, path in zip(probabilities, paths) if path[t] == tag)
            assert found.tags()[t, column, tag] == pytest.approx(wanted)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_a_batch_equals_its_docs(seed, lengths):
    scheme = TagScheme(("X", "Y"))
    rng = np.random.default_rng(seed)
    emissions = [rng.normal(scale=5, size=(n, scheme.size)) for n in lengths]
    moves = [c + rng.normal(size=c.shape) for c in scheme.constraints()]
    together = Lattice.build(np, emissions, *moves)
    found, best = marginals(np, together), viterbi(np, together)
    for column, scores in enumerate(emissions):
        lat = Lattice.build(np, [scores], *moves)
        alone, n = marginals(np, lat), len(scores)
        assert found.tags()[:n, column] == pytest.approx(alone.tags()[:, 0], abs=1e-12)
        assert not found.tags()[n:, column].any()
        assert found.log_z[column] == pytest.approx(alone.log_z[0])
        assert (best[column] == viterbi(np, lat)[0]).all()


def test_span_probability_equals_enumeration():
    lat = lattice(1, [4, 2])
    found = marginals(np, lat)
    total = sum(np.exp(path_score(lat, 0, p) - found.log_z[0]) for p in product(range(3), repeat=4) if p[1:3] == (2, 1))
    assert found.span(0, 1, [2, 1]) == pytest.approx(total)


def test_gradients_equal_finite_differences():
    lengths = [3, 5]
    gold = [np.asarray([0, 1, 2]), np.asarray([1, 1, 0, 2, 2])]
    lat = lattice(2, lengths)
    _, d_emissions, d_T, d_start, d_end = negative_log_likelihood(np, lat, gold)

    def loss() -> float:
        return negative_log_likelihood(np, lat, gold)[0]

    def numeric(array, index) -> float:
        old, eps = array[index], 1e-5
        array[index] = old + eps
        high = loss()
        array[index] = old - eps
        low = loss()
        array[index] = old
        return (high - low) / (2 * eps)

    for index in np.ndindex(3, 3):
        assert d_T[index] == pytest.approx(numeric(lat.T, index), abs=1e-6)
    for tag in range(3):
        assert d_start[tag] == pytest.approx(numeric(lat.start, tag), abs=1e-6)
        assert d_end[tag] == pytest.approx(numeric(lat.end, tag), abs=1e-6)
        for column, n in enumerate(lengths):
            for t in range(n):
                assert d_emissions[column][t, tag] == pytest.approx(numeric(lat.emissions, (t, column, tag)), abs=1e-6)


@st.composite
def flat_spans(draw):
    length = draw(st.integers(1, 20))
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=8)))
    spans = [(a, b, draw(st.sampled_from("XY"))) for a, b in zip(cuts, cuts[1:]) if draw(st.booleans())]
    return length, spans


@given(flat_spans())
def test_tags_round_trip(case):
    length, spans = case
    scheme = TagScheme(("X", "Y"))
    assert scheme.decode(scheme.encode(spans, length)) == spans


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_constrained_decoding_gives_whole_spans(seed, length):
    scheme = TagScheme(("X", "Y"))
    rng = np.random.default_rng(seed)
    table, first, last = scheme.constraints()
    lat = Lattice.build(np, [rng.normal(size=(length, scheme.size))], table, first, last)
    (tags,) = viterbi(np, lat)
    assert (scheme.encode(scheme.decode(tags), length) == tags).all()
    found = marginals(np, lat)
    for start, end, _ in scheme.decode(tags):
        assert 0 < found.span(0, start, tags[start:end].tolist()) <= 1
