"""A sentence model that is the Transformer's encoder: read, take the mean, choose a class.

Two sentences are read as one, told apart by segment vectors, as in BERT (Devlin et al. 2019, arXiv:1810.04805, section
3). The sentence's vector is the mean of its tokens'
and not that of a CLS token put before them: without pretraining a CLS token has to learn to gather from nothing, while
the mean hands the loss to every token from the first step on.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.models.base import Classifier, Sentences
from attento.models.classification.config import EncoderOnlyConfig
from attento.models.layers import draw_linear
from attento.models.sentence_reader import SentenceReader, mean_of_real
from attento.nn.dropout import Dropout
from attento.shapes import TokenIds, TokenMask


class EncoderOnly(Classifier):
    """A stack of self-attention over the sentence or the pair, its mean, and a linear map to the classes."""

    def __init__(self, config: EncoderOnlyConfig, vocab_size: int, num_classes: int) -> None:
        """Make the model with freshly drawn weights."""
        super().__init__()
        self.d_model, self.vocab_size, self.num_classes = config.d_model, vocab_size, num_classes
        self.num_sentences: int = config.num_sentences
        self.reader = SentenceReader(config, config.layers, vocab_size, config.num_sentences)
        limit = self.reader.max_length
        self.max_length = None if limit is None else limit // config.num_sentences
        self.dropout = Dropout(config.dropout)
        self.classes = nn.Linear(config.d_model, num_classes)
        draw_linear(self.classes)
        self.recompute = False
        """Whether training forgets what each layer computes inside, and computes it again in the backward pass."""

    def score(self, sentences: Sequence[Sentences]) -> tuple[Float[Tensor, "B C"], Float[Tensor, " B"]]:
        """Return the logits of the classes; nothing is added to the loss."""
        ids, segments, real = join(sentences)
        hidden = self.reader(ids, real, segments, recompute=self.recompute)
        logits = self.classes(self.dropout(mean_of_real(hidden, real)))
        return logits, logits.new_zeros(len(logits))


def join(sentences: Sequence[Sentences]) -> tuple[TokenIds, Int[Tensor, "B L"], TokenMask]:
    """Put the sentences of each example one after the other, all padding at the end.

    So positions go on from one sentence to the next, whatever the padding between was.

    Returns:
        The tokens, which sentence each is of (counted from 0), and which are real.
    """
    ids, real = torch.cat([each.ids for each in sentences], 1), torch.cat([each.mask for each in sentences], 1)
    segments = torch.cat([torch.full_like(each.ids, index) for index, each in enumerate(sentences)], 1)
    if len(sentences) == 1:
        return ids, segments, real
    length = int(real.sum(1).max())
    places = (~real).int().argsort(dim=1, stable=True)[:, :length]
    return ids.gather(1, places), segments.gather(1, places), real.gather(1, places)
