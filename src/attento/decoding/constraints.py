"""What an output must hold and must not: a least length, no n-gram twice, given first pieces. Knows no model, no text.

A constraint changes which token may come next, never what the model thinks of it: a forbidden token has log-probability
-inf, the others keep the model's own, normalised over all tokens, and it is these that scores are made of. The same for
every search: each looks at log-probabilities only after `Constraints.apply`.

What goes before what, for a hypothesis of `length` pieces:

1. At the cap nothing but eos may follow, whatever the constraints say.
2. Within the prefix nothing but its next piece may follow, whatever the other two say.
3. Before `min_length` pieces eos may not follow. A piece may not follow where it would complete an n-gram that stands
   in the hypothesis already; bos is no part of it, the prefix is. Eos completes none.
4. Where that leaves no token at all, eos follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attento.decoding.config import SearchConfig

_NO_PIECE = -1


@dataclass(frozen=True)
class Constraints:
    """What restricts the outputs of a search.

    Attributes:
        min_length: pieces that come before eos at least.
        no_repeat_ngram: so many pieces in a row never stand twice in an output; 0 for no such rule.
        prefixes: the pieces that each sentence's outputs begin with, one row a sentence, -1 after the last.
    """

    min_length: int = 0
    no_repeat_ngram: int = 0
    prefixes: Int[Tensor, "B P"] | None = None

    @classmethod
    def of(
        cls, search: SearchConfig, prefixes: Sequence[Sequence[int]] = (), device: torch.device | None = None
    ) -> "Constraints | None":
        """Return what a search and the prefixes of its sentences ask for; None where that is nothing."""
        longest = max(map(len, prefixes), default=0)
        if not (search.min_length or search.no_repeat_ngram or longest):
            return None
        rows = [[*prefix, *[_NO_PIECE] * (longest - len(prefix))] for prefix in prefixes]
        table = torch.tensor(rows, dtype=torch.long, device=device) if longest else None
        return cls(search.min_length, search.no_repeat_ngram, table)

    def select(self, rows: Int[Tensor, " N"]) -> "Constraints":
        """Return the constraints of a search whose sentence i is this one's sentence `rows[i]`."""
        prefixes = None if self.prefixes is None else self.prefixes[rows]
        return Constraints(self.min_length, self.no_repeat_ngram, prefixes)

    def apply(
        self,
        log_probs: Float[Tensor, "N V"],
        pieces: Int[Tensor, "N L"],
        sentence: Int[Tensor, " N"],
        at_cap: Bool[Tensor, " N"],
        eos_id: int,
    ) -> Float[Tensor, "N V"]:
        """Return the log-probabilities of the next token with -inf at all that may not follow.

        Args:
            log_probs: the model's own.
            pieces: what each hypothesis consists of so far, without bos.
            sentence: which sentence each row belongs to.
            at_cap: which rows have grown to their cap; they are left as they are.
            eos_id: the token that ends an output.
        """
        length = pieces.size(1)
        forbidden = self._repeated(log_probs, pieces)
        if length < self.min_length:
            forbidden[:, eos_id] = True
        if self.prefixes is not None and length < self.prefixes.size(1):
            wanted = self.prefixes[sentence, length][:, None]
            others = torch.arange(log_probs.size(1), device=log_probs.device) != wanted
            forbidden = torch.where(wanted == _NO_PIECE, forbidden, others)
        forbidden &= ~at_cap[:, None]
        allowed = log_probs.masked_fill(forbidden, -torch.inf)
        nothing_left = (allowed == -torch.inf).all(dim=1)
        allowed[:, eos_id] = torch.where(nothing_left, log_probs[:, eos_id], allowed[:, eos_id])
        return allowed

    def _repeated(self, log_probs: Float[Tensor, "N V"], pieces: Int[Tensor, "N L"]) -> Bool[Tensor, "N V"]:
        """Return which tokens would complete an n-gram that a row already has."""
        n = self.no_repeat_ngram
        forbidden = torch.zeros_like(log_probs, dtype=torch.bool)
        if not 0 < n <= pieces.size(1):
            return forbidden
        # (N, L) -> (N, L - n + 1, n): every n-gram of every row.
        ngrams = pieces.unfold(1, n, 1)
        opening = pieces[:, pieces.size(1) - (n - 1) :]
        row, place = (ngrams[:, :, :-1] == opening[:, None]).all(dim=2).nonzero(as_tuple=True)
        forbidden[row, ngrams[row, place, -1]] = True
        return forbidden
