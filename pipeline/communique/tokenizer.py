"""spaCy's English tokenizer with more prefix, infix and suffix rules, which the config lists."""

from __future__ import annotations

from typing import Callable, List, Tuple

from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex, registry


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
