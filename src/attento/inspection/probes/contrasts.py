"""Sentences with a right and a wrong translation that differ in what a pronoun means, and how a model tells them apart.

Contrastive scoring: Sennrich 2017 (arXiv:1612.04629), section 3; for pronouns Bawden et al. 2018 (arXiv:1711.00513).
"""

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attento.data.batches import inference_batches
from attento.data.pairs.batching import Pair, make_batch
from attento.errors import DataError
from attento.inspection.tokens import Line, read_text
from attento.models.base import EncoderDecoder
from attento.synthetic import Example
from attento.text.tokenizer import TokenizerPair

LeftOut: TypeAlias = Literal["source", "translation", "both"]
LEFT_OUT: tuple[LeftOut, ...] = get_args(LeftOut)
"""Where the sentences before the last, with what the pronoun means, can be left out."""
_MOST_PLACES = 4096


@dataclass(frozen=True)
class Words:
    """Where the words stand that a pronoun has to do with; positions count words.

    The adjective tells which noun is meant. `target_antecedent` and `target_distractor` are the nouns' translations.
    """

    pronoun: int
    antecedent: int
    distractor: int
    adjective: int
    target_antecedent: frozenset[int]
    target_distractor: frozenset[int]


@dataclass(frozen=True)
class Contrast:
    """A source, its right translation and a wrong one; `words` where it is known what stands where."""

    source: str
    right: str
    wrong: str
    words: Words | None = None


@dataclass(frozen=True)
class Tokens:
    """A contrast as token ids, and where its words are among them.

    Attributes:
        source: ids of the source, without eos.
        right: ids of the right translation, without eos.
        wrong: ids of the wrong one.
        step: the first target position at which both differ: the step that chooses the pronoun.
        places: token positions by name ("pronoun", "antecedent", "distractor", "adjective" in the source, "target
            antecedent", "target distractor" in the right translation); empty where it is not known what stands where.
    """

    source: Sequence[int]
    right: Sequence[int]
    wrong: Sequence[int]
    step: int
    places: dict[str, list[int]]


def from_examples(examples: Iterable[Example]) -> list[Contrast]:
    """Return the contrasts of the built-in language: its sentences in which the nouns' genders differ."""
    found = []
    for example in examples:
        anaphora = example.anaphora
        if anaphora is None or not anaphora.is_contrastive:
            continue

        def aligned(word: int, pairs: Sequence[tuple[int, int]] = example.alignment) -> frozenset[int]:
            return frozenset(theirs for mine, theirs in pairs if mine == word)

        words = Words(
            anaphora.pronoun,
            anaphora.antecedent,
            anaphora.distractor,
            anaphora.adjective,
            aligned(anaphora.antecedent),
            aligned(anaphora.distractor),
        )
        found.append(Contrast(example.english, example.french, anaphora.wrong_french, words))
    return found


def read_contrasts(path: Path, left_out: LeftOut | None = None) -> list[Contrast]:
    """Read a contrastive set in the JSON form of Bawden et al. 2018: two sentences at a time, joined by a space.

    A translation is right where it is "correct" or, with an antecedent that was translated freely, "semi-correct".

    Args:
        path: the file.
        left_out: where the last sentence alone is kept; nowhere if None.

    Raises:
        DataError: the file cannot be read, or is not in that form.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise DataError(f"{path}: cannot be read: {problem.strerror}") from problem
    except ValueError as problem:
        raise DataError(f"{path}: is not JSON: {problem}") from problem
    try:
        contrasts = [_contrast(block["src"], pair, left_out) for block in tree.values() for pair in block["trg"]]
    except (AttributeError, KeyError, TypeError) as problem:
        raise DataError(
            f"{path}: is not a contrastive set ({problem!r}); it must hold blocks with `src`, a list of sentences, and "
            "`trg`, a list of translations with `correct` (or `semi-correct`) and `incorrect`"
        ) from problem
    if not contrasts:
        raise DataError(f"{path}: holds no contrast; there is nothing to score")
    return contrasts


def _contrast(source: Sequence[str], pair: dict[str, Any], left_out: LeftOut | None) -> Contrast:
    right = pair["correct"] if "correct" in pair else pair["semi-correct"]
    sources = slice(-1, None) if left_out in ("source", "both") else slice(None)
    translations = slice(-1, None) if left_out in ("translation", "both") else slice(None)
    return Contrast(" ".join(source[sources]), " ".join(right[translations]), " ".join(pair["incorrect"][translations]))


def tokenize(contrasts: Sequence[Contrast], tokenizers: TokenizerPair) -> list[Tokens]:
    """Turn contrasts into ids."""
    found = []
    for contrast in contrasts:
        source, right = read_text(tokenizers.source, contrast.source), read_text(tokenizers.target, contrast.right)
        wrong = tokenizers.target.encode(contrast.wrong)
        shorter = min(len(right.ids), len(wrong))
        step = next((i for i in range(shorter) if right.ids[i] != wrong[i]), shorter)
        places: dict[str, list[int]] = {}
        if contrast.words is not None:
            words = contrast.words
            places = {
                "pronoun": _tokens_of(source, {words.pronoun}),
                "antecedent": _tokens_of(source, {words.antecedent}),
                "distractor": _tokens_of(source, {words.distractor}),
                "adjective": _tokens_of(source, {words.adjective}),
                "target antecedent": _tokens_of(right, words.target_antecedent),
                "target distractor": _tokens_of(right, words.target_distractor),
            }
        found.append(Tokens(source.ids, right.ids, wrong, step, places))
    return found


def _tokens_of(line: Line, words: Set[int]) -> list[int]:
    return [place for place, word in enumerate(line.words) if word in words]


@torch.inference_mode()
def margins(model: EncoderDecoder, contrasts: Sequence[Tokens]) -> Float[Tensor, " N"]:
    """Return log p(right | source) - log p(wrong | source) in nats, with a model in evaluation mode.

    Both translations are scored whole, eos included, under teacher forcing.
    """
    found = torch.zeros(len(contrasts), dtype=torch.float64)
    for rows in batches_of(contrasts):
        chosen = [contrasts[row] for row in rows]
        both = log_probabilities(model, [(c.source, c.right) for c in chosen] + [(c.source, c.wrong) for c in chosen])
        right, wrong = both.chunk(2)
        found[rows] = right - wrong
    return found


def batches_of(contrasts: Sequence[Tokens]) -> list[list[int]]:
    """Group contrasts of like length, so that each group's sources and targets fit into a batch."""
    lengths = [len(each.source) + 2 * len(each.right) for each in contrasts]
    return inference_batches(lengths, _MOST_PLACES)


def log_probabilities(
    model: EncoderDecoder, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> Float[Tensor, " N"]:
    """Return the natural logarithm of each target's probability given its source, all in one batch."""
    device = next(model.parameters()).device
    batch = make_batch([as_pair(source, target) for source, target in pairs]).to(device)
    logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
    each = logits.float().log_softmax(dim=-1).gather(-1, batch.target_output[..., None])[..., 0]
    return each.double().masked_fill(~batch.target_mask, 0).sum(dim=1).cpu()


def as_pair(source: Sequence[int], target: Sequence[int]) -> Pair:
    """Return ids as batches take them."""
    return np.array(source, np.int32), np.array(target, np.int32)


def accuracy(margins: Float[Tensor, " N"]) -> float:
    """Return the share of contrasts in which the right translation is the more probable; a tie is half a success."""
    return float((margins > 0).double().mean() + 0.5 * (margins == 0).double().mean())
