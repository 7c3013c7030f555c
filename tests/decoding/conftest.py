"""A model without a network: a random table of logits over (sentence, whole prefix)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import pytest
import torch
from torch import Tensor

BOS, EOS = 2, 3


@dataclass(frozen=True)
class PrefixState:
    """Which sentence a row belongs to, and all tokens it was fed."""

    sentence: Tensor
    prefix: Tensor

    def select(self, indices: Tensor) -> "PrefixState":
        return PrefixState(self.sentence[indices], self.prefix[indices])


@dataclass
class TableModel:
    """Logits drawn once for every sentence and prefix; `rows_seen` records which sentences each step was asked for."""

    vocab_size: int
    seed: int
    spread: float = 2.0
    bos: int = BOS
    eos: int = EOS
    tables: dict[tuple[int, ...], list[float]] = field(default_factory=dict)
    rows_seen: list[list[int]] = field(default_factory=list)

    def logits(self, sentence: int, prefix: Sequence[int]) -> list[float]:
        key = (sentence, *prefix)
        if key not in self.tables:
            number = self.seed
            for part in key:
                number = (number * 1_000_003 + part + 1) % (2**61 - 1)
            generator = torch.Generator().manual_seed(number)
            self.tables[key] = (torch.randn(self.vocab_size, generator=generator) * self.spread).tolist()
        return self.tables[key]

    def start(self, sentences: Sequence[int]) -> PrefixState:
        return PrefixState(torch.tensor(sentences), torch.zeros(len(sentences), 0, dtype=torch.long))

    def step(self, tokens: Tensor, state: PrefixState) -> tuple[Tensor, PrefixState]:
        assert tokens.shape == (len(state.sentence), 1)
        prefix = torch.cat((state.prefix, tokens), dim=1)
        self.rows_seen.append(state.sentence.tolist())
        rows = zip(state.sentence.tolist(), prefix.tolist(), strict=True)
        logits = torch.tensor([self.logits(sentence, row) for sentence, row in rows])
        return logits[:, None], PrefixState(state.sentence, prefix)

    def log_prob(self, sentence: int, prefix: Sequence[int], token: int) -> float:
        """Float64, in plain Python."""
        logits = self.logits(sentence, (self.bos, *prefix))
        return logits[token] - math.log(sum(map(math.exp, logits)))

    def log_probability(self, sentence: int, pieces: Sequence[int]) -> float:
        whole = (*pieces, self.eos)
        return sum(self.log_prob(sentence, whole[:i], token) for i, token in enumerate(whole))

    def all_outputs(self, cap: int) -> Iterator[tuple[int, ...]]:
        pieces = [token for token in range(self.vocab_size) if token != self.eos]
        for length in range(cap + 1):
            yield from product(pieces, repeat=length)


@pytest.fixture
def table_model() -> Callable[..., TableModel]:
    return TableModel
