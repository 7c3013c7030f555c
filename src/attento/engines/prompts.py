"""Prompts in, texts that follow them out: what is the same whatever computes a language model. Needs no torch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from attento.decoding.config import SamplingConfig
from attento.errors import InputError
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import Tokenizer

NEVER_WRITTEN: Mapping[int, float] = {PAD_ID: -inf, UNK_ID: -inf, BOS_ID: -inf, EOS_ID: -1e9}
"""What stands in no text, and what is added to its logit: marks, and what the vocabulary lacks.

A text has no end of its own, since training text is one stream; but a search may have to end, so that the end's is
finite, below all that a model gives.
"""
PROMPT_TOKENS = 512
"""A long prompt is read in parts of so many tokens, where its logits are computed and thrown away."""


@dataclass(frozen=True)
class Row:
    """One text to write: behind which prompt, given in which place, and which of its draws."""

    place: int
    prompt: tuple[int, ...]
    draw: int

    def seed(self, sampling: SamplingConfig) -> tuple[int, ...]:
        """What the numbers of the draw are made from."""
        return (sampling.seed, self.draw, *self.prompt)


class Writer(ABC):
    """Continues text with one language model.

    Args:
        tokenizer: the one that the model was trained with.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @property
    @abstractmethod
    def max_length(self) -> int | None:
        """The most tokens that the model can read, bos among them; None where there is no limit."""

    @abstractmethod
    def write(self, rows: Sequence[Row], max_tokens: int, sampling: SamplingConfig | None) -> list[tuple[int, ...]]:
        """Return for every row, in order, the `max_tokens` tokens that follow its prompt.

        Raises:
            RunFolderError: the model's scores are not numbers.
        """

    def room(self, prompts: Sequence[str]) -> int | None:
        """Return how many tokens the model can still write behind the longest prompt; None where there is no limit.

        Raises:
            InputError: a prompt is not Unicode text.
        """
        if self.max_length is None:
            return None
        longest = max((len(self._encode(prompt)) for prompt in prompts), default=0)
        return max(self.max_length - 1 - longest, 0)

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int, sampling: SamplingConfig | None = None, count: int = 1
    ) -> list[list[str]]:
        """Return for every prompt, in order, `count` texts that follow it; an empty prompt is the beginning of a text.

        Without `sampling` the most probable token is taken each time, and all texts of a prompt are one. What is drawn
        depends on the seed, the number of the draw and the prompt, not on the other prompts. A text has `max_tokens`
        tokens.

        Raises:
            InputError: `prompts` is a single string, a prompt is not Unicode text, or the model cannot read so many
                tokens.
            RunFolderError: the model's scores are not numbers.
        """
        if isinstance(prompts, str):
            raise InputError("generate takes a list of prompts; put a single one into brackets: generate([prompt])")
        rows = [
            Row(place, tuple(self._encode(prompt)), draw)
            for place, prompt in enumerate(prompts)
            for draw in range(count)
        ]
        self._check_length(rows, max_tokens)
        texts: list[list[str]] = [[] for _ in prompts]
        for row, ids in zip(rows, self.write(rows, max_tokens, sampling), strict=True):
            texts[row.place].append(self._behind(row.prompt, ids))
        return texts

    def _encode(self, text: str) -> list[int]:
        # In one piece: an imported vocabulary may have pieces that span two lines.
        return self.tokenizer.encode(text)

    def _behind(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of ids as it stands behind a prompt: a first piece may be written without its space."""
        return self.tokenizer.decode([*prompt, *ids])[len(self.tokenizer.decode(prompt)) :]

    def _check_length(self, rows: Sequence[Row], max_tokens: int) -> None:
        if max_tokens < 1:
            raise InputError(f"`max_tokens` must be at least 1, but got {max_tokens}")
        longest = max((len(row.prompt) for row in rows), default=0)
        limit = self.max_length
        if limit is not None and 1 + longest + max_tokens > limit:
            raise InputError(
                f"a prompt of {longest} tokens and {max_tokens} more, with the begin of text, are more than the "
                f"{limit} tokens that the model can read; ask for fewer tokens, or train with a larger "
                "`model.max_positions` or other `model.positions`"
            )
