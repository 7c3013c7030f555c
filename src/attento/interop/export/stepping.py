"""A written model that is read token by token with a cache: what its runner does, whoever computes the steps."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from attento.text.special import BOS_ID, EOS_ID
from attento.text.tokenizer import Tokenizer

StateT = TypeVar("StateT")


class StepRunner(ABC, Generic[StateT]):
    """A `Runner` made of two things: how a source is read, and how some more tokens are."""

    def __init__(self, tokenizer: Tokenizer, never_written: Sequence[int], *, translates: bool) -> None:
        """Take the source's tokenizer, the ids that no search may write, and whether there is a source at all."""
        self._tokenizer, self._never_written, self._translates = tokenizer, list(never_written), translates

    def encode(self, text: str) -> list[int]:
        """Return the ids of a source text or a prompt."""
        return self._tokenizer.encode(text)

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the logits after each token: of the first alone, then of all others at once, to try the cache."""
        read = [*self._prompt(source), *target]
        state, found = self._start(source), []
        for tokens in (read[:1], read[1:]):
            if tokens:
                logits, state = self._step(tokens, state)
                found.append(logits)
        return torch.from_numpy(np.concatenate(found))

    def greedy(self, source: Sequence[int], max_length: int) -> list[int]:
        """Return the most probable tokens behind bos (and a prompt)."""
        state, unread = self._start(source), self._prompt(source)
        written: list[int] = []
        while len(written) < max_length:
            logits, state = self._step(unread, state)
            logits[-1, self._never_written] = -np.inf
            token = int(logits[-1].argmax())
            if token == EOS_ID:
                break
            written.append(token)
            unread = [token]
        return written

    def _prompt(self, source: Sequence[int]) -> list[int]:
        return [BOS_ID, *([] if self._translates else source)]

    @abstractmethod
    def _start(self, source: Sequence[int]) -> StateT:
        """Return the state before bos; a model that translates has read the source."""

    @abstractmethod
    def _step(self, tokens: Sequence[int], state: StateT) -> tuple[NDArray[np.float32], StateT]:
        """Read some tokens; return the logits after each, (T, V), one's own to change, and the state after them."""
