"""N-grams with interpolated modified Kneser-Ney smoothing: nothing is trained, the probabilities are counted.

Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling", Computer Speech and Language
13. The counting stands in `kneser_ney.py`; here are the tables that it fills, and the looking up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from attento.models.base import LanguageModel
from attento.models.language.config import NGramConfig
from attento.models.language.kneser_ney import Smoothed, kneser_ney
from attento.nn.state import DecoderState, expect_state, select_rows
from attento.shapes import Logits, TargetIds


@dataclass(frozen=True)
class NGramState:
    """The last tokens read: n - 2, which are one context with the token to come, or all while there are fewer."""

    tokens: Int[Tensor, "N P"]

    def select(self, indices: Int[Tensor, " N"]) -> "NGramState":
        """Return a state whose row i is this state's row `indices[i]`."""
        return select_rows(self, indices)


class NGramModel(LanguageModel):
    """Predicts from the last n - 1 tokens as often as it saw them; from fewer where it never saw so many together.

    A fresh model has counted nothing and holds every token for equally probable.
    """

    unigrams: Tensor

    def __init__(self, config: NGramConfig, vocab_size: int) -> None:
        """Make a model that has counted nothing."""
        super().__init__()
        self.vocab_size, self.max_length = vocab_size, None
        self.order = config.order
        self.register_buffer("unigrams", torch.full((vocab_size,), 1 / vocab_size))
        self.longer = nn.ModuleList(Order(vocab_size) for _ in range(2, config.order + 1))

    def fit(self, ids: NDArray[np.integer]) -> None:
        """Count a text, which may lie in a memory-mapped file; what was counted before is forgotten.

        Args:
            ids: one text, or several one after the other, each begun by bos.

        Raises:
            ValueError: the text does not begin with bos, holds ids outside the vocabulary, or is too long to count.
        """
        unigrams, longer = kneser_ney(ids, self.order, self.vocab_size)
        self.unigrams = torch.from_numpy(unigrams).to(self.unigrams)
        for order, smoothed in zip(self.longer, longer, strict=True):
            _order(order).fill(smoothed)

    @property
    def num_ngrams(self) -> int:
        """How many different n-grams of two tokens and more were counted."""
        return sum(len(_order(order).keys) for order in self.longer)

    def start(self, rows: int) -> NGramState:
        """Return the state of texts of which nothing is read: no tokens."""
        return NGramState(torch.empty(rows, 0, dtype=torch.long, device=self.unigrams.device))

    def decode(self, target: TargetIds, state: DecoderState) -> tuple[Logits, NGramState]:
        """Read some more tokens; return the logarithms of the probabilities of the token after each.

        p(w|c) = u(w|c) + weight(c) p(w|c'), from p(w) up to the longest context seen (section 3).
        """
        state = expect_state(state, NGramState)
        tokens = torch.cat((state.tokens, target), dim=1)
        new = slice(state.tokens.size(1), None)
        probabilities = self.unigrams.repeat(target.numel(), 1)
        contexts = tokens  # a single word's number is its id
        for order in map(_order, self.longer):
            order.interpolate(probabilities, contexts[:, new].flatten())
            contexts = order.extend(contexts, tokens)
        logits = probabilities.log().view(*target.shape, self.vocab_size)
        return logits, NGramState(tokens[:, max(tokens.size(1) - max(self.order - 2, 0), 0) :])


class Order(nn.Module):
    """The n-grams of one length: flat tables in sorted order, in which an n-gram's place is its number.

    An n-gram that goes on from context c, an (n-1)-gram by its number, with the word w, has the key c * V + w: all that
    was seen after a context stands together, and any n-gram is found by bisection.
    """

    keys: Tensor
    probabilities: Tensor
    weights: Tensor

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.register_buffer("keys", torch.empty(0, dtype=torch.long))
        self.register_buffer("probabilities", torch.empty(0))
        self.register_buffer("weights", torch.empty(0))

    def fill(self, smoothed: Smoothed) -> None:
        """Take what was counted."""
        self.keys = torch.from_numpy(smoothed.keys).to(self.keys)
        self.probabilities = torch.from_numpy(smoothed.probabilities).to(self.probabilities)
        self.weights = torch.from_numpy(smoothed.weights).to(self.weights)

    def extend(self, contexts: Int[Tensor, "B L"], tokens: Int[Tensor, "B L"]) -> Int[Tensor, "B L"]:
        """Return the number of the n-gram that ends at each token; -1 where there was no such n-gram.

        Args:
            contexts: the number of the (n-1)-gram that ends at each token, or -1.
            tokens: the words.
        """
        before = nn.functional.pad(contexts[:, :-1], (1, 0), value=-1)
        keys = torch.where(before >= 0, before * self.vocab_size + tokens, -1).contiguous()
        places = torch.searchsorted(self.keys, keys)
        return torch.where(torch.searchsorted(self.keys, keys, right=True) > places, places, -1)

    def interpolate(self, probabilities: Float[Tensor, "N V"], contexts: Int[Tensor, " N"]) -> None:
        """Turn p(w|c') into p(w|c) in place, in the rows whose context was seen.

        Args:
            probabilities: what the shorter contexts predict.
            contexts: the number of each row's context, or -1.
        """
        rows = torch.nonzero((contexts >= 0) & (contexts < len(self.weights)))[:, 0]
        contexts = contexts[rows]
        probabilities[rows] *= self.weights[contexts, None]
        first, end = torch.searchsorted(self.keys, torch.stack((contexts, contexts + 1)) * self.vocab_size)
        followers = end - first
        # One place in the tables for each word seen after each row's context.
        rows = rows.repeat_interleave(followers)
        offsets = (first - followers.cumsum(0) + followers).repeat_interleave(followers)
        places = offsets + torch.arange(len(rows), device=rows.device)
        probabilities[rows, self.keys[places] % self.vocab_size] += self.probabilities[places]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *others: Any) -> None:
        # How long the tables are is known to the file alone.
        for name, table in self.named_buffers():
            if (saved := state_dict.get(prefix + name)) is not None:
                setattr(self, name, table.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *others)


def _order(module: nn.Module) -> Order:
    assert isinstance(module, Order)
    return module
