"""Augmenters for ``[corpora.train.augmenter]``: they keep every offset, cluster and relation true."""

from __future__ import annotations

from random import Random
from typing import Callable, Dict, Iterator, Sequence

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ..bridge import from_doc, to_doc
from ..errors import CommuniqueError, ConfigError
from ..release import Release
from ..schema import Schema
from . import style, swap
from .abbreviate import abbreviate
from .edits import Edit, apply_edits

Augmenter = Callable[[Language, Example], Iterator[Example]]
Change = Callable[[Release, Random], Release]


@registry.augmenters("communique.Swap.v1")
def create_swap_augmenter(
    level: float,
    share: float,
    registers: str,
    schema: str,
    labels: Dict[str, str],
    inside: Sequence[str],
    seed: int = 0,
) -> Augmenter:
    """Swap names, portfolios, bodies, countries, dates and amounts for others of the registers.

    level: share of the examples that are changed. share: share of the clusters of a changed one that are swapped.
    registers: folder of the registers. schema: config with the label scheme. labels: the label of each kind that is
    swapped: persons, agencies, countries, portfolios, dates, amounts, or some of them. inside: labels in whose names
    countries are swapped too. seed: the changes differ from epoch to epoch, but not from run to run.

    Raises ConfigError where ``labels`` has an unknown kind or label, or where a register can't be read.
    """
    known = swap.Registers.from_disk(registers)
    scheme = _scheme(schema, "communique.Swap.v1", [*labels.values(), *inside])

    def countries(release: Release, label: str, random: Random) -> Iterator[Edit]:
        return swap.swap_countries(release, label, known, random, share, inside)

    # In this order: where two edits overlap, the earlier kind's stays.
    kinds: Dict[str, Callable[[Release, str, Random], Iterator[Edit]]] = {
        "persons": lambda release, label, random: swap.swap_persons(release, label, known, random, share),
        "agencies": lambda release, label, random: swap.swap_agencies(release, label, known, random, share),
        "countries": countries,
        "portfolios": lambda release, label, random: swap.swap_portfolios(release, label, known, random, share),
        "dates": lambda release, label, random: swap.swap_dates(release, label, random, share),
        "amounts": lambda release, label, random: swap.swap_amounts(release, label, known, random, share),
    }
    unknown = sorted(set(labels) - set(kinds))
    if unknown:
        raise ConfigError(f"communique.Swap.v1 knows no {unknown[0]!r}: write {', '.join(kinds)}")

    def change(release: Release, random: Random) -> Release:
        groups = [list(kinds[kind](release, labels[kind], random)) for kind in kinds if kind in labels]
        edits = swap.merge(groups)
        return apply_edits(release, swap.merge([edits, list(swap.articles(release, edits))]))

    return _augmenter(change, level, scheme, Random(seed))


@registry.augmenters("communique.Restyle.v1")
def create_style_augmenter(
    level: float, share: float, honorifics: Sequence[str], title: str, name: str, schema: str, seed: int = 0
) -> Augmenter:
    """Change quotes, dashes, the headline's case and the honorifics of a share of the examples.

    level: share of the examples that are changed. share: the chance of each of the four changes in one of them.
    honorifics: words that may be put before a name. title, name: labels of a title and of the name after it.

    Raises ConfigError for an unknown label.
    """
    scheme = _scheme(schema, "communique.Restyle.v1", [title, name])

    def change(release: Release, random: Random) -> Release:
        groups = [
            list(style.add_honorifics(release, (title, name), random, share, honorifics)),
            list(style.restyle_headline(release, random, share)),
            list(style.restyle_quotes(release, random, share)),
            list(style.restyle_dashes(release, random, share)),
        ]
        return apply_edits(release, swap.merge(groups))

    return _augmenter(change, level, scheme, Random(seed))


@registry.augmenters("communique.Abbreviate.v1")
def create_abbreviation_augmenter(
    level: float,
    share: float,
    labels: Sequence[str],
    letters: Sequence[int],
    articles: Sequence[str],
    schema: str,
    seed: int = 0,
) -> Augmenter:
    """Give things an abbreviation in brackets behind their name and call them by it from there on.

    level: share of the examples that are changed. share: share of the things of a changed one that are abbreviated.
    labels: whose. letters: least and most letters of an abbreviation. articles: labels whose mentions lose "the" before
    an abbreviation.

    Raises ConfigError for an unknown label.
    """
    scheme = _scheme(schema, "communique.Abbreviate.v1", [*labels, *articles])

    def change(release: Release, random: Random) -> Release:
        return abbreviate(release, labels, articles, letters, random, share)

    return _augmenter(change, level, scheme, Random(seed))


@registry.augmenters("communique.Chain.v1")
def create_chain(*augmenters: Augmenter) -> Augmenter:
    """One augmenter after the other, each on what the one before it gave."""

    def augment(nlp: Language, example: Example) -> Iterator[Example]:
        examples = [example]
        for one in augmenters:
            examples = [new for old in examples for new in one(nlp, old)]
        yield from examples

    return augment


def _scheme(path: str, augmenter: str, labels: Sequence[str]) -> Schema:
    """The label scheme. Raises ConfigError where it hasn't got one of the labels."""
    scheme = Schema.from_disk(path)
    unknown = [label for label in labels if label not in scheme.labels]
    if unknown:
        raise ConfigError(f"{augmenter} uses the unknown label {unknown[0]!r}; known: {', '.join(scheme.labels)}")
    return scheme


def _augmenter(change: Change, level: float, schema: Schema, random: Random) -> Augmenter:
    def augment(nlp: Language, example: Example) -> Iterator[Example]:
        if random.random() >= level:
            yield example
            return
        release = from_doc(example.reference, schema.span_key)
        try:
            changed = change(release, random)
            reference = to_doc(changed, nlp.make_doc, schema)
        except (CommuniqueError, ValueError):  # a swap may put a name off the token boundaries: keep the original then
            yield example
            return
        yield Example(nlp.make_doc(changed.text), reference)

    return augment
