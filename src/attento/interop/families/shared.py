"""What several families say alike."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attento.errors import DataError, MissingExtraError
from attento.interop.family import ForeignVocabulary, Weight
from attento.interop.foreign_config import ForeignConfig
from attento.interop.vocabulary import renumber
from attento.nn.names import Plain
from attento.text.hugging_face import HuggingFaceTokenizer
from attento.text.renumbering import renumber_json
from attento.text.tokenizer import TokenizerPair

TOKENIZER_FILE = "tokenizer.json"
ACTIVATIONS: dict[str, Plain] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
}
"""Their names of activations, and ours."""


def weight_and_bias(ours: str, theirs: str) -> Iterator[Weight]:
    """Yield both parts of a linear map or of a normalization."""
    for kind in ("weight", "bias"):
        yield Weight(f"{ours}.{kind}", f"{theirs}.{kind}")


def tokens_of(document: Mapping[str, Any], path: Path) -> list[str]:
    """Return the token of each number in a `tokenizer.json`.

    Raises:
        DataError: this is none, or it leaves numbers out.
    """
    try:
        own, added = document["model"]["vocab"], document["added_tokens"]
        if not isinstance(added, list):
            raise TypeError("`added_tokens` is no list")
        numbers = {token: number for number, (token, _) in enumerate(own)} if isinstance(own, list) else dict(own)
        numbers |= {token["content"]: token["id"] for token in added}
        by_number = {number: token for token, number in numbers.items()}
        return [by_number[number] for number in range(max(by_number) + 1)]
    except (KeyError, TypeError, ValueError) as problem:
        raise DataError(f"{path}: does not say which token each number is ({problem!r}); download it again") from None


def rebuild(
    document: Mapping[str, Any],
    path: Path,
    config: ForeignConfig,
    *,
    pad: int | None,
    unk: int | None,
    start: int,
    eos: int,
    keep_prefix: bool = False,
) -> ForeignVocabulary:
    """Return a `tokenizer.json` in our order.

    Args:
        document: what is in the file.
        path: the file that messages name.
        config: how many tokens the model has.
        pad: the number of padding, if there is one.
        unk: the number of unknown text, if there is one.
        start: what a text begins with.
        eos: what ends it.
        keep_prefix: whether what the file puts before a text stays; not where the house itself begins each text.

    Raises:
        DataError: the file is damaged, or does not go with the model.
        MissingExtraError: the package `tokenizers` is not installed.
    """
    tokens = tokens_of(document, path)
    check_numbers(config, path, len(tokens), pad, unk, start, eos)
    renumbering = renumber(len(tokens), pad=pad, unk=unk, start=start, eos=eos)
    try:
        tokenizer = HuggingFaceTokenizer(
            renumber_json(json.dumps(document), renumbering(tokens), keep_prefix=keep_prefix)
        )
    except MissingExtraError:
        raise
    except Exception as problem:  # the package `tokenizers` raises no narrower one
        raise DataError(f"{path}: cannot be used: {problem}") from problem
    return ForeignVocabulary(renumbering, TokenizerPair(tokenizer, tokenizer))


def check_numbers(config: ForeignConfig, path: Path, size: int, *specials: int | None) -> None:
    """Refuse a tokenizer that is another model's.

    Raises:
        DataError: it has not as many tokens as the model, or lacks one that the model names.
    """
    rows = config.get("vocab_size", size)
    outside = [number for number in specials if number is not None and number not in range(size)]
    if rows != size or outside:
        what = f"`vocab_size: {rows}`" if rows != size else f"a special token of number {outside[0]}"
        raise DataError(
            f"{path}: has {size:,} tokens, but {config.path} says {what}; bring the files of one model together"
        )


def no_tokenizer(folder: Path, *files: str) -> DataError:
    """Return what says that a folder has no tokenizer."""
    return DataError(f"{folder}: holds no tokenizer (neither {' nor '.join(files)}); copy it there from the model")
