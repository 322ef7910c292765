"""The transformer of a pipeline in ONNX Runtime: token vectors without torch."""

from __future__ import annotations

import os
import platform
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import onnxruntime
import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab
from tokenizers import Tokenizer

from ..cores import available_cores
from ..errors import ConfigError
from ..windows import sentence_windows

GRAPH, TOKENIZER = "encoder.onnx", "tokenizer.json"
FATAL = 4  # of ONNX Runtime's levels of logging: errors are raised, and need not be printed too
NO_ENCODER = "there is no encoder in it yet; it comes from communique export onnx"


@Language.factory(
    "communique_onnx_encoder",
    assigns=["doc.tensor"],
    default_config={"size": 160, "max_pieces": 512, "threads": None},
)
def make_onnx_encoder(nlp: Language, name: str, size: int, max_pieces: int, threads: Optional[int]) -> "OnnxEncoder":
    return OnnxEncoder(nlp.vocab, name, size=size, max_pieces=max_pieces, threads=threads)


class OnnxEncoder(Pipe):
    """Writes the vectors of a pretrained encoder to ``doc.tensor``, shape (tokens, width).

    A doc is read in windows of at most ``size`` tokens, see ``sentence_windows``; a token's vector is the mean of its
    word pieces. Of a window's word pieces the first ``max_pieces`` are read: only odd text has more.

    Each window is run by itself, so that nothing is padded and, quantised or not, no text's vectors depend on its
    neighbours in a batch. ``threads`` windows are run at once, each on a core; None for as many as there are cores.
    """

    def __init__(
        self,
        vocab: Vocab,
        name: str = "transformer",
        *,
        size: int = 160,
        max_pieces: int = 512,
        threads: Optional[int] = None,
    ) -> None:
        self.vocab = vocab
        self.name = name
        self.size, self.max_pieces = size, max_pieces
        self._threads = threads
        self._graph = b""
        self._tokenizer: Any = None
        self._running: Optional[_Running] = None

    def load(self, graph: bytes, tokenizer: str) -> None:
        """Take an ONNX graph with the input ``input_ids``, shape (1, word pieces), and one output of shape (1, word
        pieces, width), and the JSON of a fast tokenizer.

        Raises ConfigError where the one or the other is none.
        """
        try:
            read = Tokenizer.from_str(tokenizer)
        except Exception as err:  # the library has no other class for it
            raise ConfigError(f"{self.name}: {TOKENIZER} can't be read: {err}") from err
        read.no_padding()
        read.no_truncation()
        running = _Running(graph, self.threads or available_cores())
        self._graph, self._tokenizer, self._running = graph, read, running

    @property
    def threads(self) -> Optional[int]:
        return self._threads

    @threads.setter
    def threads(self, threads: Optional[int]) -> None:
        self._threads = threads
        if self._running is not None:
            self._running.use_threads(threads or available_cores())

    @property
    def running(self) -> "_Running":
        """The graph in this process: neither session nor threads survive a fork."""
        if self._running is None or self._running.pid != os.getpid():
            if not self._graph:
                raise ConfigError(f"{self.name}: {NO_ENCODER}")
            self._running = _Running(self._graph, self.threads or available_cores())
        return self._running

    def __call__(self, doc: Doc) -> Doc:
        self.set_annotations([doc], self.predict([doc]))
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Up to ``batch_size`` docs are read ahead, and encoded while the components behind this one do their work."""
        begun: Deque[Tuple[Doc, List[Future[Any]]]] = deque()
        try:
            for doc in stream:
                begun.append((doc, self._begin(doc)))
                if len(begun) >= (batch_size if self.running.parallel else 1):
                    yield from self._end(*begun.popleft())
            while begun:
                yield from self._end(*begun.popleft())
        finally:
            for _, futures in begun:
                for future in futures:
                    future.cancel()

    def predict(self, docs: Iterable[Doc]) -> List[Any]:
        """Token vectors of each doc, shape (tokens, width)."""
        begun = [self._begin(doc) for doc in docs]
        return [self._joined([future.result() for future in futures]) for futures in begun]

    def set_annotations(self, docs: Iterable[Doc], vectors: Iterable[Any]) -> None:
        for doc, rows in zip(docs, vectors):
            doc.tensor = rows

    def windows(self, doc: Doc) -> List[Span]:
        return sentence_windows(doc, self.size)

    def feed(self, text: str) -> Tuple[Dict[str, Any], Any]:
        """Inputs of the graph for a window's text, and (start, end) in characters of its word pieces."""
        encoding = self._tokenizer.encode(text)
        ids = np.asarray([encoding.ids[: self.max_pieces]], dtype="int64")
        return {"input_ids": ids}, encoding.offsets[: self.max_pieces]

    def _begin(self, doc: Doc) -> List[Future[Any]]:
        """The threads get text and numbers: the doc itself may be gone, with its memory, before they are done."""
        return [self.running.submit(self._encode, span.text, _edges(span)) for span in self.windows(doc)]

    def _end(self, doc: Doc, futures: List[Future[Any]]) -> Iterator[Doc]:
        try:
            self.set_annotations([doc], [self._joined([future.result() for future in futures])])
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        else:
            yield doc

    def _joined(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts) if parts else np.zeros((0, self.running.width), dtype="float32")

    def _encode(self, text: str, edges: Any) -> Any:
        """Vectors of a window's tokens, shape (tokens, width); zeros where one has no word piece that is read."""
        inputs, offsets = self.feed(text)
        found = self.running.session.run(None, inputs)[0][0]
        pieces, tokens = align_pieces(edges, offsets)
        vectors = np.zeros((len(edges), found.shape[1]), dtype="float32")
        if len(tokens):
            begins = np.flatnonzero(np.diff(tokens, prepend=-1))
            sums = np.add.reduceat(found[pieces], begins, axis=0)
            vectors[tokens[begins]] = sums / np.diff(begins, append=len(tokens))[:, None]
        return vectors

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        message = {} if "model" in exclude or not self._graph else self._message()
        data: bytes = srsly.msgpack_dumps(message)
        return data

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "OnnxEncoder":
        message = srsly.msgpack_loads(data)
        if "model" not in exclude and message:
            self.load(message[GRAPH], message[TOKENIZER])
        return self

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        path = Path(path)
        path.mkdir(exist_ok=True, parents=True)
        if "model" not in exclude:
            message = self._message()
            (path / GRAPH).write_bytes(message[GRAPH])
            (path / TOKENIZER).write_text(message[TOKENIZER], "utf8")

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "OnnxEncoder":
        """Raises OSError where the folder holds no encoder."""
        path = Path(path)
        if "model" not in exclude:
            self.load((path / GRAPH).read_bytes(), (path / TOKENIZER).read_text("utf8"))
        return self

    def _message(self) -> Dict[str, Any]:
        if self._tokenizer is None:
            raise ConfigError(f"{self.name}: {NO_ENCODER}")
        return {GRAPH: self._graph, TOKENIZER: self._tokenizer.to_str()}

    def __reduce__(self) -> Tuple[Any, ...]:
        names = ("size", "max_pieces", "threads")
        settings = {name: getattr(self, name) for name in names}
        return _restore, (self.vocab, self.name, settings, self.to_bytes())


def _restore(vocab: Vocab, name: str, settings: Dict[str, Any], data: bytes) -> OnnxEncoder:
    return OnnxEncoder(vocab, name, **settings).from_bytes(data)


def _edges(span: Span) -> Any:
    """(start, length) in characters of each token of a window, shape (tokens, 2)."""
    return np.asarray([(token.idx, len(token)) for token in span], dtype="int64")


def align_pieces(edges: Any, offsets: Sequence[Tuple[int, int]]) -> Tuple[Any, Any]:
    """Which word piece belongs to which token: two arrays of equal length, (pieces, tokens), tokens never falling.

    edges: (start, length) in characters of each token, shape (tokens, 2). offsets: (start, end) of each word piece,
    counted from the first token; an empty one, as special ones have it, belongs to none. A piece over two tokens
    belongs to both.
    """
    starts = edges[:, 0] - edges[0, 0]
    spread = np.asarray(offsets, dtype="int64").reshape(-1, 2)
    first = np.searchsorted(starts + edges[:, 1], spread[:, 0], side="right")
    last = np.searchsorted(starts, spread[:, 1], side="left")
    sizes = np.where(spread[:, 1] > spread[:, 0], np.maximum(last - first, 0), 0)
    pieces = np.repeat(np.arange(len(spread)), sizes)
    within = np.arange(len(pieces)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return pieces, first[pieces] + within


class _Running:
    """An ONNX Runtime session of one process, and the threads that call it."""

    def __init__(self, graph: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = FATAL
        if not multiplies_exactly():
            options.add_session_config_entry("session.x64quantprecision", "1")
        self.pid = os.getpid()
        try:
            self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as err:  # the runtime's own classes have no common base
            raise ConfigError(f"{GRAPH} can't be run: {str(err).splitlines()[0]}") from err
        self.width: int = self.session.get_outputs()[0].shape[-1]
        self.use_threads(threads)

    def use_threads(self, threads: int) -> None:
        self.parallel = threads > 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="onnx") if self.parallel else None

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """What the function gives, once it is there; with one thread, at once."""
        if self._pool is not None:
            return self._pool.submit(function, *args)
        done: Future[Any] = Future()
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def multiplies_exactly(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether 8-bit products can't overflow. On x86 they can, in the fast way to compute them, without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        return "vnni" in cpuinfo.read_text("utf8")
    except OSError:
        return False
