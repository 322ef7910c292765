"""Normal forms: countries to ISO 3166, dates to ISO 8601, money to amount and ISO 4217 currency."""

from __future__ import annotations

from datetime import date
from typing import Any, Callable, Dict, Optional

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc

from .. import countries, money
from ..bridge import set_values, span_key
from ..dates import normalise_date

Normaliser = Callable[[str, Optional[date]], Optional[str]]


def _country(text: str, day: Optional[date]) -> Optional[str]:
    return countries.load_register().code(text)


def _money(text: str, day: Optional[date]) -> Optional[str]:
    return money.load_register().normalise(text)


NORMALISERS: Dict[str, Normaliser] = {"country": _country, "date": normalise_date, "money": _money}


@Language.factory(
    "communique_normalise", requires=["doc.ents"], assigns=["doc._.norms"], default_config={"normalisers": {}}
)
def make_normalise(nlp: Language, name: str, normalisers: Dict[str, str]) -> "Normalise":
    return Normalise(name, normalisers)


class Normalise(Pipe):
    """Gives entities a normal form in ``span._.norm``; those that can't be told have none.

    ``normalisers`` maps labels to "country", "date" or "money". Dates are told from the day in
    ``doc._.release["date"]``; without it, expressions such as "today" have no normal form.
    """

    def __init__(self, name: str, normalisers: Dict[str, str]) -> None:
        self.name = name
        unknown = sorted(set(normalisers.values()) - set(NORMALISERS))
        if unknown:
            raise ValueError(f"{name}: unknown normaliser {', '.join(unknown)}; known: {', '.join(NORMALISERS)}")
        self.normalisers = {label: NORMALISERS[kind] for label, kind in normalisers.items()}

    def __call__(self, doc: Doc) -> Doc:
        day = _day(doc._.release.get("date"))
        found: Dict[str, Any] = {}
        for ent in doc.ents:
            normalise = self.normalisers.get(ent.label_)
            norm = normalise(ent.text, day) if normalise else None
            if norm is not None:
                found[span_key(ent.start, ent.end, ent.label_)] = norm
        set_values(doc, "norms", found)
        return doc


def _day(text: Any) -> Optional[date]:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        return None
