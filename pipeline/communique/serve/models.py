"""What goes over the wire, for the service's description of itself. Nothing is checked with these: see intake.py."""

from __future__ import annotations

from typing import Annotated, List, Literal, Optional, Tuple, Union

from pydantic import BaseModel, ConfigDict, Field

READABLE = r"[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F]*"
NOT_BLANK = rf"^{READABLE}[^\s\x00-\x08\x0B\x0C\x0E-\x1F\x7F]{READABLE}$"
TEXT = (
    "Korea and Norway open talks on low-carbon shipping\nTrade Minister Baek Seo-yun met with Norway’s Minister of "
    "Trade and Industry Ingrid Solhaug in Oslo on May 12."
)
EXAMPLE = {"id": "2026-05-13-shipping", "date": "2026-05-13", "text": TEXT}
ANSWER = {
    "releases": [
        {
            "id": "2026-05-13-shipping",
            "text": "Norway signed the agreement.",
            "date": "2026-05-13",
            "entities": [
                {"id": 0, "label": "COUNTRY", "start_offset": 0, "end_offset": 6, "score": 0.99, "norm": "NO"},
                {"id": 1, "label": "AGREEMENT", "start_offset": 18, "end_offset": 27, "score": 0.98},
            ],
            "relations": [{"id": 0, "from_id": 0, "to_id": 1, "type": "PARTY_TO", "score": 0.97, "evidence": [0, 28]}],
            "facts": [
                {
                    "type": "PARTY_TO",
                    "score": 0.97,
                    "head": {"name": "Norway", "label": "COUNTRY", "norm": "NO"},
                    "tail": {"name": "agreement", "label": "AGREEMENT"},
                    "evidence": [
                        {
                            "head": [0, 6],
                            "tail": [18, 27],
                            "start": 0,
                            "end": 28,
                            "text": "Norway signed the agreement.",
                        }
                    ],
                }
            ],
        },
        {"id": "2026-05-14-energy", "error": {"code": "timeout", "message": "it took more than 20 seconds"}},
    ],
    "model": {
        "name": "minilm",
        "version": "0.0.0",
        "lang": "en",
        "spacy_version": ">=3.8.7,<3.9.0",
        "communique_version": "0.5.0",
    },
}

Offset = Annotated[int, Field(ge=0)]
Score = Annotated[float, Field(ge=0, le=1, description="The model’s probability.")]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReleaseToAnnotate(_Open):
    """One release. Keys other than these come back untouched; `entities`, `relations` and `facts`, which an annotated
    release has, are found anew."""

    id: Union[str, int] = Field(
        default="1", description="By default the number of the release in its request, from 1. No two may be the same."
    )
    title: Optional[str] = Field(default=None, description="Comes back as it is; what is read is `text`.")
    date: Optional[str] = Field(
        default=None,
        description="YYYY-MM-DD, the day that “today” in the text means; what is no such day comes back as it is.",
        examples=["2026-05-13"],
    )
    source: Optional[str] = Field(default=None, description="Who published it.")
    text: str = Field(
        pattern=NOT_BLANK,
        description="Title, newline, body; neither HTML nor control characters. All offsets refer to it.",
        examples=[TEXT],
    )


class ReleasesToAnnotate(_Closed):
    """Several releases, which are answered in the same order."""

    releases: List[ReleaseToAnnotate]


class Entity(_Closed):
    """A mention of something: `text[start_offset:end_offset]`, in code points."""

    id: int
    label: str
    start_offset: Offset
    end_offset: Offset
    cluster: Optional[str] = Field(default=None, description="Mentions with the same cluster are one thing.")
    score: Optional[Score] = None
    norm: Optional[str] = Field(
        default=None, description="ISO 3166 code of a country, ISO 8601 date or interval, currency and amount."
    )


class Relation(_Closed):
    """A relation between two mentions, by their ids."""

    id: int
    from_id: int
    to_id: int
    type: str
    score: Optional[Score] = None
    evidence: Optional[Tuple[Offset, Offset]] = Field(
        default=None, description="Start and end of the sentence that says so."
    )


class Thing(_Closed):
    """What a fact is about."""

    name: str
    label: str
    cluster: Optional[str] = None
    norm: Optional[str] = None


class Evidence(_Closed):
    """A sentence that states a fact, and where in the text the two mentions stand."""

    head: Tuple[Offset, Offset]
    tail: Tuple[Offset, Offset]
    start: Optional[Offset] = None
    end: Optional[Offset] = None
    text: Optional[str] = None


class Fact(_Closed):
    """A relation between things, with all the sentences that say so."""

    type: str
    score: Score
    head: Thing
    tail: Thing
    evidence: List[Evidence]


class AnnotatedRelease(_Open):
    """A release in the exchange format."""

    id: str
    title: Optional[str] = None
    date: Optional[str] = None
    source: Optional[str] = None
    text: str
    entities: List[Entity]
    relations: List[Relation]
    facts: Optional[List[Fact]] = Field(default=None, description="Not there if no facts were found.")


class ReleaseError(_Closed):
    """What went wrong with one release."""

    code: Literal["model", "timeout", "crashed"] = Field(
        description="`model`: the model failed; `timeout`: it took too long; `crashed`: it ended the process."
    )
    message: str


class FailedRelease(_Closed):
    """A release that could not be annotated; the others of its request were."""

    id: str
    error: ReleaseError


class Model(_Closed):
    """The pipeline that has annotated."""

    name: str
    version: str
    lang: str
    spacy_version: str = Field(description="Versions of spaCy that it works with.")
    communique_version: str = Field(description="Version of the service.")


class Annotations(_Closed):
    """The releases of the request, in its order."""

    releases: List[Union[AnnotatedRelease, FailedRelease]]
    model: Model


class SpanLabels(_Closed):
    """Labels of spans that may enclose entities."""

    key: str = Field(description="Name of the group of spans in the pipeline’s documents.")
    labels: List[str]


class RelationType(_Closed):
    """A type of relations, and the labels that its two ends may have."""

    type: str
    heads: List[str]
    tails: List[str]
    symmetric: bool = Field(description="Whether it has no direction.")


class RequestLimits(_Closed):
    """What a request may hold."""

    releases: int = Field(ge=1, description="How many releases.")
    chars: int = Field(ge=1, description="Characters of a release’s text, in code points.")
    body_bytes: int = Field(ge=1, description="Bytes of the whole body.")


class Labels(_Closed):
    """The label scheme of the model, and what may be asked of it."""

    entities: List[str]
    spans: SpanLabels
    relations: List[RelationType]
    limits: RequestLimits
    model: Model


class Health(_Closed):
    status: Literal["ok"]


class Readiness(_Closed):
    status: Literal["ready"]
    workers: int = Field(ge=0, description="Processes that have the model loaded.")


class ErrorDetail(_Closed):
    """What is wrong, for a program (`code`), for people (`message`), and where in the request (`field`)."""

    code: str
    message: str
    field: Optional[str] = Field(default=None, examples=["releases[3].text"])


class Error(_Closed):
    """The one format of all errors."""

    error: ErrorDetail


REQUESTS = (ReleaseToAnnotate, ReleasesToAnnotate)
