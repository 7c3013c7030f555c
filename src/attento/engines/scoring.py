"""How well a model tells tokens that it does not see: what training judges it by, and what a user is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from attento.data.batches import inference_batches
from attento.data.masked.batching import MaskedBatch
from attento.data.pairs.batching import Pair, make_batch
from attento.models.base import EncoderDecoder, MaskedLanguageModel, Sentences
from attento.text.special import UNK_ID


@dataclass(frozen=True)
class TokenScore:
    """What a model makes of some tokens that it has to tell.

    Attributes:
        total_nats: minus the natural logarithm of the probability that it gives them.
        tokens: how many they are.
        right: of how many it holds the right one for the likeliest.
        unknown: how many of them stand for something that the vocabulary lacks.
    """

    total_nats: float
    tokens: int
    right: int
    unknown: int


class _Tally:
    """Adds up what a model makes of batch after batch."""

    def __init__(self) -> None:
        self._total, self._tokens, self._right, self._unknown = 0.0, 0, 0, 0

    def add(self, logits: Float[Tensor, "N V"], wanted: Int[Tensor, " N"]) -> None:
        """Count some more tokens."""
        # In float64 only when summed: a text has many tokens.
        self._total += F.cross_entropy(logits.float(), wanted, reduction="none").double().sum().item()
        self._tokens += len(wanted)
        self._right += int((logits.argmax(dim=-1) == wanted).sum())
        self._unknown += int((wanted == UNK_ID).sum())

    @property
    def score(self) -> TokenScore:
        return TokenScore(self._total, self._tokens, self._right, self._unknown)


@torch.inference_mode()
def score_hidden(model: MaskedLanguageModel, batches: Iterable[MaskedBatch], device: torch.device) -> TokenScore:
    """Score the hidden tokens of some windows with a model in evaluation mode."""
    tally = _Tally()
    for batch in batches:
        batch = batch.to(device)
        # Of the hidden places alone: a vocabulary's logits at all of them may not fit in memory.
        features = model.features(Sentences(batch.ids, batch.mask))[batch.hidden]
        tally.add(F.linear(features, *model.output_layer()), batch.whole[batch.hidden])
    return tally.score


@torch.inference_mode()
def score_pairs(model: EncoderDecoder, pairs: Sequence[Pair], device: torch.device, max_tokens: int) -> TokenScore:
    """Score the targets of some pairs, eos included, under teacher forcing, with a model in evaluation mode."""
    tally = _Tally()
    for rows in inference_batches([len(source) + len(target) for source, target in pairs], max_tokens):
        batch = make_batch([pairs[row] for row in rows]).to(device)
        logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
        tally.add(logits[batch.target_mask], batch.target_output[batch.target_mask])
    return tally.score
