"""From a trained transformer pipeline to one whose encoder runs in ONNX Runtime. Needs the extra [export]."""

from __future__ import annotations

import logging
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_model_from_config
from thinc.api import Config, Model

from ..architectures.encoder import build_tensor_listener
from ..components.onnx_encoder import OnnxEncoder
from ..errors import ConfigError
from .graph import drop_mask, split_layer_norms
from .quantise import Settings, quantise

TRANSFORMER = "communique_transformer"
ENCODER = "communique_onnx_encoder"
LISTENER = "spacy-transformers.TransformerListener.v1"
WINDOWS = "communique.sentence_windows.v1"
MEAN = "reduce_mean.v1"
KINDS = ("bert",)
PRECISIONS = ("fp32", "int8")
OPSET = 17


def export_onnx(nlp: Language, precision: str, texts: Iterable[str] = (), settings: Settings = Settings()) -> Language:
    """A pipeline that finds what ``nlp`` finds, without torch. ``nlp`` itself can't be used afterwards.

    precision: "fp32", or "int8" for an encoder of 8-bit weights and activations. texts: what int8 measures its
    activations on, some dozens of releases. settings: how they are fitted into eight bits.

    Raises ConfigError where ``nlp`` has not one transformer, of a kind that is known, its windows cut at sentences and
    its word pieces pooled by their mean, where int8 has no texts, or where the extra is not installed.
    """
    texts = [text for text in texts if text.strip()]
    if precision not in PRECISIONS:
        raise ConfigError(f"there is no precision {precision!r}: {' or '.join(PRECISIONS)}")
    if precision == "int8" and not texts:
        raise ConfigError("int8 needs texts to measure the encoder's activations on")
    name = _transformer(nlp)
    model: Any = _pipe(nlp, name).model
    exported = _without_torch(nlp, name)
    encoder = exported.get_pipe(name)
    assert isinstance(encoder, OnnxEncoder)
    tokenizer = model.tokenizer.backend_tokenizer.to_str()
    with tempfile.TemporaryDirectory() as folder:
        graph = trace(model.transformer, Path(folder))
        encoder.load(graph.read_bytes(), tokenizer)
        if precision == "int8":
            feeds = (
                encoder.feed(span.text)[0] for doc in _read(exported, name, texts) for span in encoder.windows(doc)
            )
            encoder.load(quantise(graph, feeds, settings), tokenizer)
    exported.meta["encoder"] = {"runtime": "onnx", "precision": precision}
    return exported


def _pipe(nlp: Language, name: str) -> Any:
    return dict(nlp.components)[name]


def _read(nlp: Language, name: str, texts: Iterable[str]) -> Iterator[Doc]:
    """Texts as the component of that name gets them."""
    later = nlp.pipe_names[nlp.pipe_names.index(name) :]
    with nlp.select_pipes(disable=later):
        yield from nlp.pipe(texts)


def _transformer(nlp: Language) -> str:
    names = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == TRANSFORMER]
    if len(names) != 1:
        raise ConfigError(f"only a pipeline with one {TRANSFORMER} can be exported; here are {len(names)}")
    kind = _pipe(nlp, names[0]).model.transformer.config.model_type
    if kind not in KINDS:
        raise ConfigError(f"an encoder of the kind {kind!r} can't be exported, only {' or '.join(KINDS)}")
    return names[0]


def _without_torch(nlp: Language, name: str) -> Language:
    """The pipeline with an empty encoder in the transformer's place; all other weights are the same."""
    transformer: Any = _pipe(nlp, name).model
    width = transformer.transformer.config.hidden_size
    pieces = min(transformer.transformer.config.max_position_embeddings, transformer.tokenizer.model_max_length)
    config = _config(nlp.config, name, width, pieces)
    exported = load_model_from_config(config, vocab=nlp.vocab, auto_fill=True)
    for component, pipe in nlp.components:  # with those that are disabled
        if component == name:
            continue
        model = getattr(pipe, "model", None)
        if isinstance(model, Model):
            _listen_to_tensor(model, width)
        if hasattr(pipe, "to_bytes"):
            _pipe(exported, component).from_bytes(pipe.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    described = ("factories", "components", "pipeline", "disabled", "labels")  # spaCy finds these out itself
    exported.meta.update({key: value for key, value in nlp.meta.items() if key not in described})
    return exported


def _config(config: Config, name: str, width: int, pieces: int) -> Config:
    """The config of the exported pipeline: the encoder in the transformer's place, listeners on ``doc.tensor``."""
    changed = config.copy()
    spans = changed["components"][name]["model"]["get_spans"]
    if spans.get("@span_getters") != WINDOWS:
        raise ConfigError(f"only windows by {WINDOWS} can be exported, not by {spans.get('@span_getters')}")
    changed["components"][name] = {"factory": ENCODER, "size": spans["size"], "max_pieces": pieces}

    def visit(section: Dict[str, Any]) -> None:
        for key, value in section.items():
            if isinstance(value, dict):
                if value.get("@architectures") == LISTENER:
                    if (pooling := value.get("pooling", {}).get("@layers")) != MEAN:
                        raise ConfigError(f"only word pieces pooled by {MEAN} can be exported, not by {pooling}")
                    section[key] = {"@architectures": "communique.TensorListener.v1", "width": width}
                else:
                    visit(value)

    visit(changed["components"])
    return changed


def _listen_to_tensor(model: Model[Any, Any], width: int) -> None:
    """Put a listener on ``doc.tensor`` wherever one on the transformer is, so that the weights keep their places."""
    from spacy_transformers.layers.listener import TransformerListener

    found: List[Model[Any, Any]] = [
        node for node in model.walk() if any(isinstance(layer, TransformerListener) for layer in node.layers)
    ]
    for node in found:
        model.replace_node(node, build_tensor_listener(width))


def trace(transformer: Any, folder: Path) -> Path:
    """Write the ONNX graph of a BERT of the transformers library, its attention fused. Its input is ``input_ids``, of
    shape (windows, word pieces), its output has the shape (windows, word pieces, width).
    """
    import onnx
    import torch

    try:
        from onnxruntime.transformers import optimizer
        from onnxruntime.transformers.fusion_options import FusionOptions
    except ImportError as err:
        raise ConfigError("exporting needs the extra [export]: pip install 'communique[export]'") from err

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    transformer.config._attn_implementation = "eager"  # the fusion looks for attention written out
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    inputs, output = ["input_ids", "attention_mask"], "last_hidden_state"
    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False  # it would hide the embeddings from the quantisation
    options.use_multi_head_attention = True  # and the other attention its weights
    plain, fused = folder / "plain.onnx", folder / "fused.onnx"
    with quiet():
        torch.onnx.export(
            Encoder().eval(),
            (torch.ones_like(mask), mask),
            str(plain),
            input_names=inputs,
            output_names=[output],
            dynamic_axes={name: {0: "windows", 1: "pieces"} for name in (*inputs, output)},
            opset_version=OPSET,
            dynamo=False,
        )
        optimizer.optimize_model(
            str(plain),
            model_type="bert",
            num_heads=transformer.config.num_attention_heads,
            hidden_size=transformer.config.hidden_size,
            optimization_options=options,
            opt_level=0,
        ).save_model_to_file(str(fused))
        model = onnx.load(fused)
        drop_mask(model, "attention_mask")
        split_layer_norms(model)
        onnx.save(model, fused)
    return fused


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters log and warn about what they do by design."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
