"""spaCy's tokenizer with more prefix, infix and suffix rules, which the config lists, and tokenizers by one pattern."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Tuple, Union

from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex, registry
from spacy.vocab import Vocab

CHUNK = re.compile(r"\s+|\S+")


@registry.tokenizers("communique.Tokenizer.v1")
def create_tokenizer(
    prefixes: List[str], infixes: List[str], suffixes: List[str], exceptions: List[str]
) -> Callable[[Language], Tokenizer]:
    """A tokenizer with the language's own rules and the given ones before them.

    ``prefixes``, ``infixes`` and ``suffixes`` are regular expressions; ``exceptions`` are strings that stay whole.
    """

    def build(nlp: Language) -> Tokenizer:
        defaults = nlp.Defaults
        tokenizer = Tokenizer(
            nlp.vocab,
            rules=defaults.tokenizer_exceptions,
            prefix_search=compile_prefix_regex([*prefixes, *(defaults.prefixes or ())]).search,
            suffix_search=compile_suffix_regex([*suffixes, *(defaults.suffixes or ())]).search,
            infix_finditer=compile_infix_regex([*infixes, *(defaults.infixes or ())]).finditer,
            token_match=defaults.token_match,
            url_match=defaults.url_match,
        )
        for text in exceptions:
            tokenizer.add_special_case(text, [{"ORTH": text}])
        return tokenizer

    return build


def boundaries(tokenizer: Callable[[str], "object"], text: str) -> Tuple["set[int]", "set[int]"]:
    """Offsets at which a token of ``text`` starts, and at which one ends."""
    doc = tokenizer(text)
    starts = {token.idx for token in doc}  # type: ignore[attr-defined]
    ends = {token.idx + len(token) for token in doc}  # type: ignore[attr-defined]
    return starts, ends


class PatternTokenizer:
    """Cuts at blanks, and what stands between two blanks at the edges of every match of ``pattern``.

    A blank belongs to the token before it; other white space is a token of its own, so that ``doc.text == text``.
    """

    def __init__(self, vocab: Vocab, pattern: str) -> None:
        self.vocab = vocab
        self.pattern = re.compile(pattern)

    def __call__(self, text: str) -> Doc:
        words: List[str] = []
        spaces: List[bool] = []
        for match in CHUNK.finditer(text):
            chunk = match.group()
            if not chunk.isspace():
                parts = list(self._cut(chunk))
            else:
                if words and chunk[0] == " ":
                    spaces[-1] = True
                    chunk = chunk[1:]
                parts = [chunk] if chunk else []
            words += parts
            spaces += [False] * len(parts)
        return Doc(self.vocab, words=words, spaces=spaces)

    def _cut(self, chunk: str) -> Iterator[str]:
        """The matches of the pattern, and whatever lies between them."""
        end = 0
        for match in self.pattern.finditer(chunk):
            yield from (part for part in (chunk[end : match.start()], match.group()) if part)
            end = match.end()
        if end < len(chunk):
            yield chunk[end:]

    def pipe(self, texts: Iterable[str], batch_size: int = 1000) -> Iterator[Doc]:
        return map(self, texts)

    def to_bytes(self, **kwargs: Any) -> bytes:
        return self.pattern.pattern.encode("utf8")

    def from_bytes(self, data: bytes, **kwargs: Any) -> "PatternTokenizer":
        self.pattern = re.compile(data.decode("utf8"))
        return self

    def to_disk(self, path: Union[str, Path], **kwargs: Any) -> None:
        Path(path).write_bytes(self.to_bytes())

    def from_disk(self, path: Union[str, Path], **kwargs: Any) -> "PatternTokenizer":
        return self.from_bytes(Path(path).read_bytes())


@registry.tokenizers("communique.PatternTokenizer.v1")
def create_pattern_tokenizer(pattern: str) -> Callable[[Language], PatternTokenizer]:
    """A tokenizer of any language that cuts at blanks and around the matches of a regular expression."""
    return lambda nlp: PatternTokenizer(nlp.vocab, pattern)


@registry.tokenizers("communique.WhitespaceTokenizer.v1")
def create_whitespace_tokenizer() -> Callable[[Language], PatternTokenizer]:
    """A tokenizer for texts that are tokens joined by blanks, the form of most public corpora."""
    return lambda nlp: PatternTokenizer(nlp.vocab, r"\S+")
