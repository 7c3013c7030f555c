"""One hypothesis a sentence, one token after the other: what greedy search and sampling have in common."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attento.decoding.constraints import Constraints
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.penalties import gnmt_length_penalty
from attento.decoding.step import Step, next_log_probabilities
from attento.nn.state import DecoderState

Choice: TypeAlias = Callable[[Float[Tensor, "N V"], Int[Tensor, " N"], int], Int[Tensor, " N"]]
"""Choose the next token of each row, given the log-probabilities (-inf where none may follow), the sentence it belongs
to, and how many pieces the hypotheses have. Row i of the answer may depend on row i of what is given only.
"""


def follow(
    step: Step,
    state: DecoderState,
    choose: Choice,
    *,
    bos_id: int,
    eos_id: int,
    max_lengths: Int[Tensor, " B"],
    length_penalty: float,
    constraints: Constraints | None = None,
) -> list[Hypothesis]:
    """Extend every sentence by the token that is chosen for it until that is eos.

    After `max_lengths[i]` pieces nothing but eos may follow, and its true log-probability is counted; such a hypothesis
    has `finished=False`. Log-probabilities are the model's, summed in float32. A sentence that has ended leaves the
    batch.
    """
    count = max_lengths.numel()
    rows = torch.arange(count, device=max_lengths.device)
    token = torch.full_like(rows, bos_id)
    log_probability = torch.zeros(count, device=max_lengths.device)
    columns: list[Tensor] = []
    while rows.numel():
        logits, state = step(token[:, None], state)
        log_probs = next_log_probabilities(logits)
        at_cap = max_lengths[rows] == len(columns)
        if constraints is not None:
            pieces = torch.stack(columns, dim=1)[rows] if columns else rows[:, None][:, :0]
            log_probs = constraints.apply(log_probs, pieces, rows, at_cap, eos_id)
        token = choose(log_probs, rows, len(columns)).masked_fill(at_cap, eos_id)
        log_probability[rows] += log_probs.gather(1, token[:, None]).squeeze(1)
        columns.append(torch.full_like(max_lengths, eos_id).index_put((rows,), token.to(max_lengths.dtype)))
        alive = (token != eos_id).nonzero().squeeze(1)
        if alive.numel() < rows.numel():
            rows, token, state = rows[alive], token[alive], state.select(alive)
    return _records(columns, log_probability, max_lengths, eos_id, length_penalty)


def _records(
    columns: list[Tensor], log_probability: Tensor, max_lengths: Tensor, eos_id: int, length_penalty: float
) -> list[Hypothesis]:
    if not columns:
        return []
    outputs = torch.stack(columns, dim=1).tolist()
    hypotheses = []
    for output, total, cap in zip(outputs, log_probability.tolist(), max_lengths.tolist(), strict=True):
        length = output.index(eos_id)
        score = total / gnmt_length_penalty(length + 1, length_penalty)
        hypotheses.append(Hypothesis(tuple(output[:length]), total, score, finished=length < cap))
    return hypotheses
