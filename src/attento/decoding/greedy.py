"""Greedy search: the most probable token, again and again. Knows no model and no text."""

import torch
from jaxtyping import Int
from torch import Tensor

from attento.decoding.hypothesis import Hypothesis
from attento.decoding.penalties import gnmt_length_penalty
from attento.decoding.step import Step, next_log_probabilities
from attento.nn.state import DecoderState


def greedy_search(
    step: Step,
    state: DecoderState,
    *,
    bos_id: int,
    eos_id: int,
    max_lengths: Int[Tensor, " B"],
    length_penalty: float = 0.0,
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
    """
    count = max_lengths.numel()
    rows = torch.arange(count, device=max_lengths.device)
    token = torch.full_like(rows, bos_id)
    log_probability = torch.zeros(count, device=max_lengths.device)
    columns: list[Tensor] = []
    while rows.numel():
        logits, state = step(token[:, None], state)
        log_probs = next_log_probabilities(logits)
        best, token = log_probs.max(dim=-1)
        at_cap = max_lengths[rows] == len(columns)
        token = token.masked_fill(at_cap, eos_id)
        log_probability[rows] += torch.where(at_cap, log_probs[:, eos_id], best)
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
