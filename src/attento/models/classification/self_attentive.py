"""A structured self-attentive sentence embedding (Lin et al. 2017, arXiv:1703.03130): several looks at one sentence.

A bidirectional LSTM reads the sentence, each of r rows of weights takes a weighted average of what it read, and a
penalty keeps the rows from all looking at the same words.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attento.models.base import Classifier, Sentences
from attento.models.classification.config import SelfAttentiveConfig
from attento.nn.dropout import Dropout
from attento.nn.embedding import TokenEmbedding
from attento.nn.recurrent import Recurrent
from attento.shapes import Hidden, TokenMask


class SelfAttentive(Classifier):
    """Tells the class of a sentence from a matrix of r weighted averages of an LSTM's hidden vectors."""

    num_sentences = 1
    max_length = None

    def __init__(self, config: SelfAttentiveConfig, vocab_size: int, num_classes: int) -> None:
        """Make the model with freshly drawn weights."""
        super().__init__()
        self.d_model, self.vocab_size, self.num_classes = config.d_model, vocab_size, num_classes
        self.penalty = config.penalty
        self.embedding = TokenEmbedding(vocab_size, config.d_model)
        self.dropout = Dropout(config.dropout)
        self.recurrent = Recurrent("lstm", config.d_model, config.d_hidden, layers=1, dropout=0.0, bidirectional=True)
        self.annotation = Annotation(2 * config.d_hidden, config.d_attention, config.rows)
        self.hidden = nn.Linear(config.rows * 2 * config.d_hidden, config.d_output)
        self.classes = nn.Linear(config.d_output, num_classes)

    def score(self, sentences: Sequence[Sentences]) -> tuple[Float[Tensor, "B C"], Float[Tensor, " B"]]:
        """Read, annotate and classify (section 2.1); the penalty of the annotation is what training adds."""
        (sentence,) = sentences
        read, _ = self.recurrent(self.dropout(self.embedding(sentence.ids)), mask=sentence.mask)
        weights = self.annotation(read, sentence.mask)
        embedded = weights.to(read.dtype) @ read  # M = A H, (B, R, L) @ (B, L, D) -> (B, R, D)
        hidden = torch.relu(self.hidden(self.dropout(embedded.flatten(1))))
        return self.classes(self.dropout(hidden)), self.penalty * redundancy(weights)


class Annotation(nn.Module):
    """Weighs the words of a sentence in r ways: A = softmax(W_s2 tanh(W_s1 H^T)) (eq. 6)."""

    def __init__(self, d_model: int, d_attention: int, rows: int) -> None:
        super().__init__()
        self.first = nn.Linear(d_model, d_attention, bias=False)
        self.second = nn.Linear(d_attention, rows, bias=False)

    def forward(self, hidden: Hidden, mask: TokenMask) -> Float[Tensor, "B R L"]:
        """Return rows of weights that sum to 1 over the real words, in float32 at least; zeros where there is none."""
        scores = self.second(torch.tanh(self.first(hidden))).transpose(1, 2)  # (B, L, D) -> (B, L, R) -> (B, R, L)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        # The lowest finite score, not -inf: a sentence without a word must not become 0/0.
        weights: Tensor = scores.masked_fill(~mask[:, None, :], torch.finfo(scores.dtype).min).softmax(dim=-1)
        return weights * mask.any(dim=-1)[:, None, None]


def redundancy(weights: Float[Tensor, "B R L"]) -> Float[Tensor, " B"]:
    """Compute P = ||A A^T - I||_F^2 (section 2.2, eq. 8): zero where each row looks at one word that is its own."""
    overlap = weights @ weights.transpose(1, 2)  # (B, R, R)
    apart = torch.eye(weights.size(1), dtype=weights.dtype, device=weights.device)
    return (overlap - apart).square().sum(dim=(1, 2))
