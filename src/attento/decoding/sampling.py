"""Ancestral sampling: each token is drawn from what the model expects after the ones drawn before.

The tail of a model's distribution is where it is least to be trusted, and long samples fall into it sooner or later:
so the distribution can be sharpened (temperature), or its tail be cut off before the draw (top-k, nucleus). Knows no
model and no text.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from attento.decoding.constraints import Constraints
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.path import follow
from attento.decoding.step import Step
from attento.errors import ConfigError
from attento.nn.state import DecoderState


def sample(
    step: Step,
    state: DecoderState,
    *,
    bos_id: int,
    eos_id: int,
    max_lengths: Int[Tensor, " B"],
    seeds: Sequence[Sequence[int]],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    length_penalty: float = 0.0,
    constraints: Constraints | None = None,
) -> list[Hypothesis]:
    """Draw one hypothesis a row.

    What a row draws depends on its own seed and its own logits alone: a row alone draws what it draws among many.
    After `max_lengths[i]` pieces nothing but eos may follow; such a hypothesis has `finished=False`. The
    `log_probability` of a hypothesis is the model's own, at temperature 1 and with nothing cut off, the forced eos
    included: not the probability with which it was drawn.

    Args:
        step: the model, as a function of tokens and state.
        state: one row a hypothesis, nothing decoded yet.
        bos_id: the token that every output follows.
        eos_id: the token that ends an output.
        max_lengths: the cap of each row, in pieces (eos not counted).
        seeds: for each row, the numbers (0 or more) that its generator starts from; rows of equal seeds and equal
            logits draw the same.
        temperature: what log-probabilities are divided by; towards 0 sampling becomes greedy search.
        top_k: draw from so many of the most probable tokens; see `next_token_probabilities`.
        top_p: draw from the most probable tokens that together have this probability; the same.
        length_penalty: GNMT alpha; it changes the reported `score`, never the draw.
        constraints: what the outputs must hold and must not; the draw is from what they leave.

    Raises:
        ConfigError: a value is out of its range.
    """
    _check(temperature, top_k, top_p)
    uniform = _uniform_numbers(seeds, int(max_lengths.max()) + 1 if len(seeds) else 0).to(max_lengths.device)

    def draw(log_probs: Float[Tensor, "N V"], rows: Int[Tensor, " N"], length: int) -> Int[Tensor, " N"]:
        return _draw(next_token_probabilities(log_probs, temperature, top_k, top_p), uniform[rows, length])

    return follow(
        step,
        state,
        draw,
        bos_id=bos_id,
        eos_id=eos_id,
        max_lengths=max_lengths,
        length_penalty=length_penalty,
        constraints=constraints,
    )


def next_token_probabilities(
    log_probs: Float[Tensor, "N V"], temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Float[Tensor, "N V"]:
    """Return the distribution that the next token is drawn from, in float64.

    First the temperature; then only the `top_k` most probable tokens stay (Fan et al. 2018, section 3.3); then, of
    these, the smallest number of most probable ones whose share of what is left is `top_p` or more (the nucleus:
    Holtzman et al. 2020, section 3.1, eq. 2). Of equals the lowest ids stay. What stays is scaled to a sum of 1.
    """
    # The greatest becomes 0 first, so that no temperature is too low.
    scaled = (log_probs.double() - log_probs.double().amax(dim=-1, keepdim=True)) / temperature
    probabilities = scaled.softmax(dim=-1)
    if top_k is None and top_p in (None, 1):
        return probabilities
    ranked, order = probabilities.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ranked[:, top_k:] = 0
    # A nucleus of 1 is all of them, however the sum of their shares is rounded.
    if top_p is not None and top_p < 1:
        ranked /= ranked.sum(dim=-1, keepdim=True)
        # What more probable ones have together; the most probable has nothing before it and always stays.
        before = ranked.cumsum(dim=-1) - ranked
        ranked[(before >= top_p) & (torch.arange(ranked.size(1), device=ranked.device) > 0)] = 0
    kept = torch.zeros_like(ranked).scatter(1, order, ranked)
    return kept / kept.sum(dim=-1, keepdim=True)


def _check(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"`temperature` must be greater than 0, but got {temperature}; greedy search is a beam of 1")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"`top_k` must be at least 1, but got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ConfigError(f"`top_p` must be greater than 0 and at most 1, but got {top_p}")


def _uniform_numbers(seeds: Sequence[Sequence[int]], count: int) -> Float[Tensor, "B L"]:
    """Return numbers in [0, 1), one row a seed; more columns leave the first ones as they are."""
    rows = [np.random.default_rng(list(seed)).random(count) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, count, dtype=torch.float64)


def _draw(probabilities: Float[Tensor, "N V"], uniform: Float[Tensor, " N"]) -> Int[Tensor, " N"]:
    """Return the token under which each uniform number falls when the probabilities are laid end to end."""
    cumulative = probabilities.cumsum(dim=-1)
    total = cumulative[:, -1]
    # Rounding must not carry a number past the last token that can be drawn.
    point = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    # Of several equal ones argmax takes the first.
    return ((cumulative > point[:, None]) & (probabilities > 0)).byte().argmax(dim=-1)
