"""Where a torch model looks in its source while it writes a translation that is given: recorded, for alignments."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from attento.engines.loading import evaluating
from attento.inspection.probes.tracing import trace_pair
from attento.inspection.record import available
from attento.inspection.trace import Attention, Trace, as_numpy
from attento.models.base import EncoderDecoder


def looks_at_source(trace: Trace) -> list[Attention]:
    """Return the attentions of a translation model to its source, a layer each."""
    cross = [each for each in trace.attentions if each.kind == "cross"]
    # One stack that reads both looks at the source as a part of its own text.
    return cross or [each for each in trace.attentions if each.rows == each.columns == "source and target"]


def source_weights(trace: Trace, source: Sequence[int], output: Sequence[int]) -> list[NDArray[Any]]:
    """Return for each layer the weights of each head when it writes each token of the output: (H, T, S), float32.

    Args:
        trace: of source and translation, read at once.
        source: the source's tokens with its marks.
        output: what is written at each step, the end of sentence at the last.
    """
    looks = looks_at_source(trace)
    return [as_numpy(each.weights[0].float())[:, -len(output) :, : len(source)] for each in looks]


class RecordedEngine:
    """Tells of a model in torch what the engines without torch tell of theirs; see `alignment.LooksAtSource`."""

    def __init__(self, model: EncoderDecoder) -> None:
        self._model = model

    @property
    def max_source_length(self) -> int | None:
        """The most tokens a source may have, eos among them; None where there is no limit."""
        return self._model.max_source_length

    @property
    def max_length(self) -> int | None:
        """The most tokens of a target that the model can read, bos among them; None where there is no limit."""
        return self._model.max_target_length

    @torch.inference_mode()
    def source_attention(self, source: Sequence[int], target: Sequence[int]) -> list[NDArray[Any]]:
        """Return where each layer looks in the source while it writes a given target; no layer where none does."""
        if "weights" not in available(self._model):
            return []
        with evaluating(self._model):
            trace = trace_pair(self._model, source, target, "weights")
        # Both have one mark more: the end of sentence.
        return source_weights(trace, (*source, 0), (*target, 0))
