"""Let a trained model read one text and record its attention: what the probes that look, and do not ask, stand on."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from attento.inspection.record import record
from attento.inspection.sites import What
from attento.inspection.trace import Trace
from attento.models.base import Classifier, EncoderDecoder, LanguageModel, MaskedLanguageModel, Sentences
from attento.text.special import BOS_ID, EOS_ID


def trace_pair(
    model: EncoderDecoder, source: Sequence[int], target: Sequence[int], what: What | Sequence[What]
) -> Trace:
    """Record a model that reads a source and writes a target that is given; ids are without bos and eos."""
    ids = _row(model, [*source, EOS_ID])
    with record(model, what) as trace:
        model.decode(_row(model, [BOS_ID, *target]), model.start(model.encode(ids, _real(ids))))
    return trace


def trace_text(model: nn.Module, text: Sequence[int], what: What | Sequence[What]) -> Trace:
    """Record a model of one text that reads it; ids are without bos and eos. A model of pairs reads it twice."""
    with record(model, what) as trace:
        match model:
            case LanguageModel():
                model.decode(_row(model, [BOS_ID, *text]), model.start(1))
            case Classifier():
                ids = _row(model, [*text, EOS_ID])
                model([Sentences(ids, _real(ids))] * model.num_sentences)
            case MaskedLanguageModel():
                ids = _row(model, [BOS_ID, *text, EOS_ID])
                model.embed(Sentences(ids, _real(ids)))
            case _:
                raise TypeError(f"a {type(model).__name__} reads no text of its own")
    return trace


@torch.inference_mode()
def traces(
    model: nn.Module, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], what: What | Sequence[What]
) -> Iterator[Trace]:
    """Record a model on one text after the other, each alone and so without padding; targets are for those that write.

    Model in evaluation mode.
    """
    for source, target in pairs:
        yield (
            trace_pair(model, source, target, what)
            if isinstance(model, EncoderDecoder)
            else trace_text(model, source, what)
        )


def _row(model: nn.Module, ids: Sequence[int]) -> Tensor:
    return torch.tensor([ids], dtype=torch.long, device=next(model.parameters()).device)


def _real(ids: Tensor) -> Tensor:
    return torch.ones_like(ids, dtype=torch.bool)
