"""Decomposable attention for pairs of sentences (Parikh et al. 2016, arXiv:1606.01933): attend, compare, aggregate.

No recurrence and no positions: each word of one sentence is compared with what it is aligned to in the other, and the
comparisons are summed.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attento.models.base import Classifier, Sentences
from attento.models.classification.config import DecomposableAttentionConfig
from attento.nn.dropout import Dropout
from attento.nn.embedding import TokenEmbedding
from attento.shapes import Hidden, TokenMask

_FARTHEST = 10


class DecomposableAttention(Classifier):
    """Tells how two sentences stand to each other by comparing their words pairwise."""

    num_sentences = 2
    max_length = None

    def __init__(self, config: DecomposableAttentionConfig, vocab_size: int, num_classes: int) -> None:
        """Make the model with freshly drawn weights."""
        super().__init__()
        self.d_model, self.vocab_size, self.num_classes = config.d_model, vocab_size, num_classes
        d_model, dropout = config.d_model, config.dropout
        self.embedding = TokenEmbedding(vocab_size, d_model)
        self.null = nn.Parameter(torch.randn(d_model))
        """Stands before every sentence, so that a word may be aligned to nothing (section 2)."""
        self.intra_sentence = IntraSentenceAttention(d_model, dropout) if config.intra_sentence else None
        d_word = 2 * d_model if config.intra_sentence else d_model
        self.attend = feed_forward(d_word, d_model, dropout)
        self.align = SoftAlignment()
        self.compare = feed_forward(2 * d_word, d_model, dropout)
        self.aggregate = feed_forward(2 * d_model, d_model, dropout)
        self.classes = nn.Linear(d_model, num_classes)

    def score(self, sentences: Sequence[Sentences]) -> tuple[Float[Tensor, "B C"], Float[Tensor, " B"]]:
        """Attend, compare and aggregate (sections 3.1 to 3.3, eq. 1 to 5)."""
        (first, first_mask), (second, second_mask) = (self._read(each) for each in sentences)
        scores = self.attend(first) @ self.attend(second).transpose(1, 2)  # e of eq. 1, (B, L1, L2)
        aligned_to_first = self.align(scores, second, second_mask)
        aligned_to_second = self.align(scores.transpose(1, 2), first, first_mask)
        totals = torch.cat(
            (
                self._compare(first, aligned_to_first, first_mask),
                self._compare(second, aligned_to_second, second_mask),
            ),
            dim=-1,
        )
        logits = self.classes(self.aggregate(totals))
        return logits, logits.new_zeros(logits.size(0))

    def _read(self, sentences: Sentences) -> tuple[Hidden, TokenMask]:
        words, rows = self.embedding(sentences.ids), sentences.ids.size(0)
        words = torch.cat((self.null.expand(rows, 1, -1), words), dim=1)
        mask = torch.cat((sentences.mask.new_ones(rows, 1), sentences.mask), dim=1)
        if self.intra_sentence is not None:
            words = torch.cat((words, self.intra_sentence(words, mask)), dim=-1)
        return words, mask

    def _compare(self, words: Hidden, aligned: Hidden, mask: TokenMask) -> Float[Tensor, "B E"]:
        """Compare each word with what it is aligned to (eq. 3) and add the comparisons up (eq. 4)."""
        compared: Tensor = self.compare(torch.cat((words, aligned), dim=-1))
        return compared.masked_fill(~mask[:, :, None], 0.0).sum(dim=1)


class IntraSentenceAttention(nn.Module):
    """Aligns each word with its own sentence, nearer and farther words by a learned bias (section 3.4).

    A distance of up to 10 words, to the left or to the right, has a bias of its own; all greater ones share one.
    """

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.attend = feed_forward(d_model, d_model, dropout)
        self.align = SoftAlignment()
        self.distance_bias = nn.Parameter(torch.zeros(2 * _FARTHEST + 2))

    def forward(self, words: Hidden, mask: TokenMask) -> Hidden:
        """Return for each word the sum of its sentence's words, weighted by softmax(f_ij + d_{i-j})."""
        projected = self.attend(words)
        scores = projected @ projected.transpose(1, 2) + self.distance_bias[distances(words.size(1), words.device)]
        aligned: Hidden = self.align(scores, words, mask)
        return aligned


def distances(length: int, device: torch.device | None = None) -> Int[Tensor, "L L"]:
    """Number the signed distances i - j from 0 for -10 to 20 for 10, and 21 for all that are farther."""
    positions = torch.arange(length, device=device)
    apart = positions[:, None] - positions
    return torch.where(apart.abs() <= _FARTHEST, apart + _FARTHEST, 2 * _FARTHEST + 1)


class SoftAlignment(nn.Module):
    """What each word is aligned to (section 3.1): a module of its own, so that it can be watched from outside."""

    def forward(
        self, scores: Float[Tensor, "B L M"], values: Float[Tensor, "B M E"], mask: Bool[Tensor, "B M"]
    ) -> Float[Tensor, "B L E"]:
        """Average the values by the softmax of the scores."""
        return soft_align(scores, values, mask)


def soft_align(
    scores: Float[Tensor, "B L M"], values: Float[Tensor, "B M E"], mask: Bool[Tensor, "B M"]
) -> Float[Tensor, "B L E"]:
    """Average the values by the softmax of the scores over what is real (eq. 2)."""
    return alignment_weights(scores, mask).to(values.dtype) @ values


def alignment_weights(scores: Float[Tensor, "B L M"], mask: Bool[Tensor, "B M"]) -> Float[Tensor, "B L M"]:
    """Compute the softmax of the scores over what is real, in float32 at least."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return scores.masked_fill(~mask[:, None, :], torch.finfo(scores.dtype).min).softmax(dim=-1)


def feed_forward(d_input: int, d_output: int, dropout: float) -> nn.Sequential:
    """Make two layers of rectified units, each behind dropout: the form of F, G and H in section 5."""
    return nn.Sequential(
        Dropout(dropout), nn.Linear(d_input, d_output), nn.ReLU(),
        Dropout(dropout), nn.Linear(d_output, d_output), nn.ReLU(),
    )  # fmt: skip
