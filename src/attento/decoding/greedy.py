"""Greedy search: the most probable token, again and again. Knows no model and no text."""

from jaxtyping import Float, Int
from torch import Tensor

from attento.decoding.constraints import Constraints
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.path import follow
from attento.decoding.step import Step
from attento.nn.state import DecoderState


def greedy_search(
    step: Step,
    state: DecoderState,
    *,
    bos_id: int,
    eos_id: int,
    max_lengths: Int[Tensor, " B"],
    length_penalty: float = 0.0,
    constraints: Constraints | None = None,
) -> list[Hypothesis]:
    """Extend every sentence by its most probable token until that is eos.

    Of equally probable tokens the lowest id is taken. After `max_lengths[i]` pieces nothing but eos may follow, and its
    true log-probability is counted; such a hypothesis has `finished=False`. Log-probabilities are summed in float32.
    A sentence that has ended leaves the batch. No sentence's result depends on its neighbours.

    Args:
        step: the model, as a function of tokens and state.
        state: one row a sentence, nothing decoded yet.
        bos_id: the token that every output follows.
        eos_id: the token that ends an output.
        max_lengths: the cap of each sentence, in pieces (eos not counted).
        length_penalty: GNMT alpha; it changes the reported `score`, never the choice.
        constraints: what the outputs must hold and must not.
    """
    return follow(
        step,
        state,
        _most_probable,
        bos_id=bos_id,
        eos_id=eos_id,
        max_lengths=max_lengths,
        length_penalty=length_penalty,
        constraints=constraints,
    )


def _most_probable(log_probs: Float[Tensor, "N V"], rows: Int[Tensor, " N"], length: int) -> Int[Tensor, " N"]:
    return log_probs.max(dim=-1).indices
