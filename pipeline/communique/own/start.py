"""From gold in the exchange format to a folder that ``communique train`` can be given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import registry
from thinc.api import Config

from ..bridge import mentions, to_doc
from ..corpus.exchange import tokenizer_language
from ..corpus.sweep import sentence_pipe
from ..errors import CommuniqueError, Defect, DefectError
from ..schema import Schema
from ..tokenizer import boundaries
from . import config as configs
from .choices import OffBoundaries, Overlaps, Records, Tokens
from .gold import Fitted, Record, Rules, count_off_boundaries, fit_records, read_records
from .length import Length, Rule, batch_size
from .scheme import infer_schema, schema_config, unseen

PathLike = Union[str, Path]
HEADER = "# Written by communique init{}. Edit it as you like.\n\n"


@dataclass(frozen=True)
class Options:
    """What the gold does not say. See ``communique init --help``."""

    base: Path
    rule: Rule
    spans: Tuple[str, ...] = ()
    symmetric: Tuple[str, ...] = ()
    tokenizer: Tokens = Tokens.base
    records: Records = Records.auto
    off_boundaries: OffBoundaries = OffBoundaries.error
    overlaps: Overlaps = Overlaps.error
    encoder: Optional[str] = None
    encoder_rate: Optional[float] = None


@dataclass
class Started:
    """What was written, and what there is to know about it."""

    schema: Schema
    files: configs.Files
    config: Path
    length: Length
    counts: Dict[str, Dict[str, int]]
    left_out: Dict[str, str]
    notices: List[Defect] = field(default_factory=list)


def start(train: PathLike, dev: PathLike, output: PathLike, options: Options) -> Started:
    """Write ``schema.cfg``, ``config.cfg``, ``train.spacy`` and ``dev.spacy`` into the folder ``output``.

    Raises DefectError with all that is wrong with the gold, by file and line, and CommuniqueError where the options
    don't fit the gold or the base config. Nothing is written then.
    """
    base = configs.read_base(options.base, options.tokenizer)
    nlp = tokenizer_language(base)
    parts = _fitted({"train": train, "dev": dev}, nlp, options)
    schema = infer_schema((r.release for r in parts["train"].records), spans=options.spans, symmetric=options.symmetric)
    docs = {name: _docs(part, nlp, schema) for name, part in parts.items()}
    cut = options.records is Records.texts or (options.records is Records.auto and _are_texts(docs["train"], nlp, base))
    length = Length.by(options.rule, sum(map(len, docs["train"])), batch_size(base))
    folder = Path(output)
    files = configs.Files(folder / "train.spacy", folder / "dev.spacy", folder / "schema.cfg")
    own = configs.derive_config(base, schema, files, cut_sentences=cut, length=length)
    if options.encoder is not None:
        configs.set_encoder(own, options.encoder, options.encoder_rate, configs.encoder_width)
    notices = [defect for part in parts.values() for defect in part.notices]
    notices += _unseen(parts["dev"].records, schema, str(dev))
    for name, part in parts.items():
        notices += _out_of_reach(part.records, docs[name], nlp, own, schema)
    _write(folder, files, own, schema, docs, options)
    return Started(
        schema,
        files,
        folder / "config.cfg",
        length,
        {name: _count(docs[name], schema) for name in docs},
        configs.unused_components(base, schema, cut),
        notices,
    )


def _fitted(paths: Dict[str, PathLike], nlp: Language, options: Options) -> Dict[str, Fitted]:
    """The gold of each part. Raises DefectError where some of it does not fit."""
    rules = Rules(
        partial(boundaries, nlp.tokenizer), frozenset(options.spans), options.off_boundaries, options.overlaps
    )
    parts = {name: fit_records(read_records(path), rules) for name, path in paths.items()}
    errors = [defect for part in parts.values() for defect in part.errors]
    if errors:
        raise DefectError([*errors, *_advice(errors, parts["train"].records, options.base)])
    return parts


def _advice(errors: Iterable[Defect], records: Sequence[Record], base: Path) -> Iterator[Defect]:
    """Which tokenizer the gold goes with, where it does not go with the one that was chosen."""
    if any(defect.code == "token" for defect in errors):
        counts = []
        for name in Tokens:
            tokenizer = tokenizer_language(configs.read_base(base, name)).tokenizer
            counts.append(f"{count_off_boundaries(records, partial(boundaries, tokenizer))} with {name}")
        yield Defect(records[0].file, 0, 0, "tokenizer", f"mentions off token boundaries: {', '.join(counts)}")


def _docs(part: Fitted, nlp: Language, schema: Schema) -> List[Doc]:
    return [to_doc(record.release.canonical(), nlp.make_doc, schema) for record in part.records]


def _are_texts(docs: Sequence[Doc], nlp: Language, base: Config) -> bool:
    """True if the base's rules find several sentences in most records."""
    pipe = sentence_pipe(nlp, base.interpolate())
    several = sum(len(list(pipe(doc.copy()).sents)) > 1 for doc in docs)
    return 2 * several > len(docs)


def _unseen(records: Iterable[Record], schema: Schema, file: str) -> Iterator[Defect]:
    for what, number in unseen(schema, (r.release for r in records)).items():
        yield Defect(file, 0, 0, "unseen", f"{what}, {number} times, which the training gold has not: never predicted")


def _out_of_reach(
    records: Sequence[Record], docs: Sequence[Doc], nlp: Language, own: Config, schema: Schema
) -> Iterator[Defect]:
    """Gold relations whose two mentions the relation stage does not pair."""
    full = own.interpolate()
    cut = configs.of_factory(own, configs.SENTENCES)
    sentences: Callable[[Doc], Doc] = sentence_pipe(nlp, full) if cut else lambda doc: doc
    (name,) = configs.of_factory(own, configs.RELATIONS)
    suggest = registry.resolve({"suggester": full["components"][name]["suggester"]})["suggester"]
    mend = f"raise max_sentences or max_between in [components.{name}.suggester]"
    for record, doc in zip(records, docs):
        keys = mentions(doc, schema.span_key)
        batch = suggest([sentences(doc.copy())], [keys], schema)
        pairs = set(zip(batch.heads.tolist(), batch.tails.tolist()))
        for r in doc._.relations:
            spec = schema.relation(r["type"])
            if spec is None or not spec.allows(r["head"][2], r["tail"][2]):
                continue
            head, tail = keys.index(tuple(r["head"])), keys.index(tuple(r["tail"]))
            if spec.symmetric and head > tail:
                head, tail = tail, head
            if (head, tail) not in pairs:
                names = [doc[r[end][0] : r[end][1]].text for end in ("head", "tail")]
                message = f"{names[0]!r} {r['type']} {names[1]!r} is out of reach: never predicted"
                yield record.defect("reach", message, mend)


def _count(docs: Sequence[Doc], schema: Schema) -> Dict[str, int]:
    return {
        "records": len(docs),
        "words": sum(map(len, docs)),
        "mentions": sum(len(mentions(doc, schema.span_key)) for doc in docs),
        "relations": sum(len(doc._.relations) for doc in docs),
    }


def _write(
    folder: Path, files: configs.Files, own: Config, schema: Schema, docs: Dict[str, List[Doc]], options: Options
) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = configs.readable(schema_config(schema))
        files.schema.write_text(HEADER.format("") + text, "utf8")
        (folder / "config.cfg").write_text(HEADER.format(f" from {options.base}") + configs.readable(own), "utf8")
        for path, name in ((files.train, "train"), (files.dev, "dev")):
            DocBin(docs=docs[name], store_user_data=True).to_disk(path)
    except OSError as err:
        raise CommuniqueError(f"{err.filename or folder}: {err.strerror}") from err


def existing(output: PathLike) -> List[Path]:
    """Files in a folder that a start would write over."""
    names: Any = ("schema.cfg", "config.cfg", "train.spacy", "dev.spacy")
    return [path for name in names if (path := Path(output) / name).exists()]
