"""A pipeline config for other labels, derived from one for ours.

What learns from the gold stays as it is. What holds our labels, or a rule that other gold need not keep, is set anew or
left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Union

from spacy.util import load_config
from thinc.api import Config

from ..errors import ConfigError
from ..schema import Schema
from .choices import Tokens
from .length import Length

SPANS, SENTENCES, IDENTITY = "communique_spans", "communique_sentences", "communique_identity"
RELATIONS, FACTS = "communique_relations", "communique_facts"
# Rules of our domain or of our annotation guide: the gold says nothing for or against them.
RULES = ("communique_abbreviations", "communique_normalise")
TOKENIZERS: Dict[Tokens, Dict[str, Any]] = {
    Tokens.whitespace: {"@tokenizers": "communique.WhitespaceTokenizer.v1"},
    Tokens.fine: {"@tokenizers": "communique.PatternTokenizer.v1", "pattern": r"[^\W\d_]+|\d+|[^\w\s]|_"},
}
Block = Dict[str, Any]


@dataclass(frozen=True)
class Files:
    """Where the files are that a config names."""

    train: Path
    dev: Path
    schema: Path


def read_base(path: Union[str, Path], tokenizer: Tokens) -> Config:
    """A config with one of ``TOKENIZERS``, or with its own. Raises ConfigError if it is none."""
    try:
        config: Config = load_config(path, interpolate=False)
    except (OSError, ValueError) as err:
        raise ConfigError(f"can't read the config: {err}", file=str(path)) from err
    missing = [s for s in ("paths", "nlp", "components", "corpora", "training", "initialize") if s not in config]
    if missing:
        raise ConfigError(f"no [{missing[0]}] section: name the config of a pipeline", file=str(path))
    if (stages := len(of_factory(config, RELATIONS))) != 1:
        raise ConfigError(f"{stages} components of the factory {RELATIONS}; it must be one", file=str(path))
    if "size" not in config["training"].get("batcher", {}):
        raise ConfigError("no size in [training.batcher]: batches must be counted in words", file=str(path))
    if tokenizer is not Tokens.base:
        config["nlp"]["tokenizer"] = dict(TOKENIZERS[tokenizer])
    return config


def derive_config(base: Config, schema: Schema, files: Files, *, cut_sentences: bool, length: Length) -> Config:
    """The base config for a label scheme and its gold.

    cut_sentences: whether the records are texts of several sentences. Raises ConfigError where the scheme has enclosing
    spans and the base has no component for them.
    """
    config: Config = _unescaped(base.copy())
    leave_out(config, unused_components(config, schema, cut_sentences))
    _set_spans(config, schema)
    _set_labels(config, schema)
    config["corpora"]["train"]["augmenter"] = None
    _set_scores(config)
    length.set(config)
    config["paths"].update(train=str(files.train), dev=str(files.dev), schema=str(files.schema))
    _leave_out_paths(config)
    return config


def of_factory(config: Config, factory: str) -> List[str]:
    """Names of the components that a factory makes, in the pipeline's order."""
    return [n for n in config["nlp"].get("pipeline", []) if config["components"].get(n, {}).get("factory") == factory]


def unused_components(config: Config, schema: Schema, cut_sentences: bool) -> Dict[str, str]:
    """Components that the scheme has no use for, and why."""
    out = {name: "a rule that your gold need not keep" for factory in RULES for name in of_factory(config, factory)}
    if not cut_sentences:
        out.update(dict.fromkeys(of_factory(config, SENTENCES), "the records are sentences"))
    if not schema.identity:
        out.update(dict.fromkeys(of_factory(config, IDENTITY), "the gold has no clusters"))
    if not schema.spans:
        out.update(dict.fromkeys(_enclosing(config), "no label is named by --spans"))
    return out


def _enclosing(config: Config) -> List[str]:
    return [n for n in of_factory(config, SPANS) if config["components"][n].get("spans_key") is not None]


def leave_out(config: Config, names: Mapping[str, str]) -> None:
    """Remove components wherever the config names them."""
    for block in _lists_of_components(config):
        block[:] = [name for name in block if name not in names]
    for name in names:
        config["components"].pop(name)
        config["initialize"].get("components", {}).pop(name, None)


def _lists_of_components(config: Config) -> Iterator[List[str]]:
    yield config["nlp"]["pipeline"]
    for key in ("annotating_components", "frozen_components"):
        yield config["training"].setdefault(key, [])


def _set_spans(config: Config, schema: Schema) -> None:
    """Call the component of the enclosing spans, and what it writes, by the scheme's key."""
    if not schema.spans:
        return
    found = _enclosing(config)
    if len(found) != 1:
        raise ConfigError(f"the base config has {len(found)} components for enclosing spans; it must have one")
    (old,), new = found, schema.span_key
    for block in _lists_of_components(config):
        block[:] = [new if name == old else name for name in block]
    weights = config["training"]["score_weights"]
    was = config["components"][old]["spans_key"]
    for key in [k for k in weights if k.startswith(f"spans_{was}_")]:
        weights[f"spans_{new}_{key.removeprefix(f'spans_{was}_')}"] = weights.pop(key)
    for section in (config["components"], config["initialize"].get("components", {})):
        if old in section:
            section[new] = section.pop(old)
    config["components"][new]["spans_key"] = new


def _set_labels(config: Config, schema: Schema) -> None:
    """Forget the base's labels. Identity goes by the sieves of its factory, which know no label."""
    for name in of_factory(config, IDENTITY):
        kept = {k: config["components"][name][k] for k in ("factory", "scorer") if k in config["components"][name]}
        config["components"][name] = {**kept, "labels": sorted(schema.identity)}
    for name in of_factory(config, FACTS):
        config["components"][name]["name_labels"] = []
    for name in of_factory(config, RELATIONS):
        config["components"][name]["thresholds"] = {}


def _set_scores(config: Config) -> None:
    """Weights of the scores that there still are, in the same proportion; facts are relations without identity."""
    kept = {key for name in _enclosing(config) for key in [f"spans_{config['components'][name]['spans_key']}_"]}
    kept |= {"ents_", "rels_"} | ({"facts_", "identity_"} if of_factory(config, IDENTITY) else set())
    weights = {k: v for k, v in config["training"]["score_weights"].items() if k.startswith(tuple(kept))}
    total = sum(v for v in weights.values() if v) or 1.0
    config["training"]["score_weights"] = {k: round(v / total, 4) if v else v for k, v in weights.items()}


def _leave_out_paths(config: Config) -> None:
    """Remove the paths that no other section reads."""
    text = config.to_str()
    for name in [n for n in config["paths"] if n != "schema" and f"${{paths.{n}}}" not in text]:
        config["paths"].pop(name)


def set_encoder(config: Config, name: str, rate: Optional[float], hidden_size: Callable[[str], int]) -> None:
    """Put another pretrained encoder, a folder or a name on the model hub, in the place of the base's.

    rate: its learning rate; the optimizer's ``scales`` are brought to it in proportion. Raises ConfigError where the
    base has no transformer.
    """
    blocks = list(_blocks(config["components"]))
    models = [b for b in blocks if b.get("@architectures") == "communique.TransformerModel.v1"]
    if not models:
        raise ConfigError("--encoder: the base config has no transformer: take --base configs/minilm.cfg")
    for model in models:
        model.update(name=name, package=None)
    for block in blocks:
        if block.get("@architectures") == "communique.ConcatTok2Vec.v1" and "TransformerListener" in str(block["left"]):
            block["width"] = hidden_size(name) + int(block["right"]["encode"]["width"])
    if rate is not None:
        optimizer = config["training"].get("optimizer", {})
        if not optimizer.get("scales") or not isinstance(optimizer["learn_rate"], dict):
            raise ConfigError(
                "--encoder-rate: the base's optimizer needs scales and a schedule, as minilm.cfg has them"
            )
        top = max(optimizer["scales"].values()) * optimizer["learn_rate"]["initial_rate"]
        optimizer["scales"] = {k: float(f"{v * rate / top:.7g}") for k, v in optimizer["scales"].items()}


def encoder_width(name: str) -> int:
    """Width of a pretrained encoder's vectors. Raises ConfigError where it can't be found."""
    try:
        from transformers import AutoConfig

        return int(AutoConfig.from_pretrained(name).hidden_size)
    except ImportError as err:
        raise ConfigError("--encoder needs the extra [transformers]: pip install 'communique[transformers]'") from err
    except (OSError, ValueError, AttributeError) as err:
        raise ConfigError(f"--encoder {name}: no encoder in this folder or on the hub: {err}") from err


def _blocks(section: Mapping[str, Any]) -> Iterator[Block]:
    for value in section.values():
        if isinstance(value, dict):
            yield value
            yield from _blocks(value)


def _unescaped(value: Any) -> Any:
    """Single dollar signs again, which reading without interpolation leaves double and writing would double anew."""
    if isinstance(value, dict):
        for key in value:
            value[key] = _unescaped(value[key])
        return value
    if isinstance(value, list):
        return [_unescaped(v) for v in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def readable(config: Config) -> str:
    """The config as text, each section before its subsections and these before the next one."""
    parts = re.split(r"\n\n(?=\[)", config.to_str(interpolate=False))
    sections = {part.split("\n")[0]: part for part in parts}
    order = [name for name in _section_names(config) if name in sections]
    return "\n\n".join(sections[name] for name in order) + "\n"


def _section_names(section: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield f"[{path}{key}]"
            yield from _section_names(value, f"{path}{key}.")
