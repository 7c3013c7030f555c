"""The searches of `attento.decoding` for one sentence, in numpy: the same candidates, ties, cap, stopping and draws.

What exactly is searched for is told there, in `beam`, `greedy`, `sampling` and `constraints`. Knows no model and no
text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.penalties import gnmt_length_penalty
from attento.engines.packed.panels import Floats
from attento.engines.reference.linear import Ids
from attento.errors import RunFolderError


@runtime_checkable
class Rows(Protocol):
    """A state, one row a hypothesis."""

    def select(self, rows: Ids) -> Self:
        """Return a state whose row i is row `rows[i]` of this one."""
        ...


StateT = TypeVar("StateT", bound=Rows)
Step: TypeAlias = Callable[[Ids, StateT], tuple[Floats, StateT]]
"""Feed every row some tokens, (N, T); return the logits of the token after each, (N, T, V), and the state after all."""
Choice: TypeAlias = Callable[[Floats, int], int]
"""Choose a token, given the log-probabilities of what may follow, (V,), and how many pieces there are."""


@dataclass(frozen=True)
class Wanted:
    """What an output of one sentence is.

    Attributes:
        bos_id: the token that it follows.
        eos_id: the token that ends it.
        cap: the most pieces that it has.
        search: how to look for it.
        prefix: the pieces that it begins with.
    """

    bos_id: int
    eos_id: int
    cap: int
    search: SearchConfig
    prefix: tuple[int, ...] = ()

    def allowed(self, log_probs: Floats, pieces: tuple[int, ...]) -> Floats:
        """Return the log-probabilities of the next token, (V,), with -inf at all that may not follow these pieces."""
        length, may_follow = len(pieces), np.zeros(len(log_probs), dtype=np.bool_)
        if length == self.cap:
            may_follow[self.eos_id] = True
        elif length < len(self.prefix):
            may_follow[self.prefix[length]] = True
        else:
            may_follow[:] = True
            may_follow[_repeating(pieces, self.search.no_repeat_ngram)] = False
            may_follow[self.eos_id] = length >= self.search.min_length
        if not (log_probs[may_follow] > -np.inf).any():
            may_follow[self.eos_id] = True
        return np.where(may_follow, log_probs, np.float32(-np.inf))


def search_one(step: Step[StateT], state: StateT, wanted: Wanted, source: Sequence[int]) -> list[Hypothesis]:
    """Return the hypotheses of a source, best first, by the search that its settings name.

    Raises:
        RunFolderError: the model's scores are not numbers.
    """
    search = wanted.search
    if search.sampling is not None:
        drawn = [
            sample(step, state, wanted, search.sampling, (search.sampling.seed, number, *source))
            for number in range(search.n_best)
        ]
        return sorted(drawn, key=lambda each: each.score, reverse=True)
    if search.beam_size == 1:
        return [greedy_search(step, state, wanted)]
    return beam_search(step, state, wanted)


def greedy_search(step: Step[StateT], state: StateT, wanted: Wanted) -> Hypothesis:
    """Take the most probable token each time, of equals the lowest id."""
    return follow(step, state, wanted, lambda log_probs, length: int(log_probs.argmax()))


def sample(
    step: Step[StateT], state: StateT, wanted: Wanted, sampling: SamplingConfig, seed: tuple[int, ...]
) -> Hypothesis:
    """Draw each token from what the model expects after those before."""
    uniform = np.random.default_rng(list(seed)).random(wanted.cap + 1)

    def draw(log_probs: Floats, length: int) -> int:
        probabilities = next_token_probabilities(log_probs, sampling)
        cumulative = probabilities.cumsum()
        # Rounding must not carry a number past the last token that can be drawn.
        point = min(uniform[length] * cumulative[-1], np.nextafter(cumulative[-1], 0))
        return int(((cumulative > point) & (probabilities > 0)).argmax())

    return follow(step, state, wanted, draw)


def next_token_probabilities(log_probs: Floats, sampling: SamplingConfig) -> NDArray[np.float64]:
    """Return the distribution that is drawn from: sharpened, then cut to the `top_k`, then to the nucleus."""
    fine = log_probs.astype(np.float64)
    probabilities: NDArray[np.float64] = np.exp((fine - fine.max()) / sampling.temperature)
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")
    if sampling.top_k is not None:
        probabilities[order[sampling.top_k :]] = 0
    # A nucleus of 1 is all of them, however the sum of their shares is rounded.
    if sampling.top_p is not None and sampling.top_p < 1:
        ranked = probabilities[order] / probabilities.sum()
        before = ranked.cumsum() - ranked
        # The most probable always stays.
        probabilities[order[1:][before[1:] >= sampling.top_p]] = 0
    probabilities /= probabilities.sum()
    return probabilities


def follow(step: Step[StateT], state: StateT, wanted: Wanted, choose: Choice) -> Hypothesis:
    """Extend one hypothesis by the token that is chosen until that is eos; log-probabilities are summed in float32."""
    pieces: tuple[int, ...] = ()
    tokens, total = np.array([[wanted.bos_id]]), np.float32(0)
    while True:
        log_probs, state = next_log_probabilities(step, tokens, state, wanted, [pieces])
        token = choose(log_probs[0], len(pieces))
        total += log_probs[0, token]
        if token == wanted.eos_id:
            break
        pieces, tokens = (*pieces, token), np.array([[token]])
    score = float(total) / gnmt_length_penalty(len(pieces) + 1, wanted.search.length_penalty)
    return Hypothesis(pieces, float(total), score, finished=len(pieces) < wanted.cap)


def beam_search(step: Step[StateT], state: StateT, wanted: Wanted) -> list[Hypothesis]:
    """Find the `n_best` hypotheses of highest score among the `beam_size` best continuations of every step."""
    search = wanted.search
    lowest = np.float32(gnmt_length_penalty(wanted.cap + 1, search.length_penalty))
    live: list[tuple[int, ...]] = [()]
    log_probability, tokens = np.zeros(1, dtype=np.float32), np.array([[wanted.bos_id]])
    finished: list[Hypothesis] = []
    for length in range(wanted.cap + 1):
        log_probs, state = next_log_probabilities(step, tokens, state, wanted, live)
        parent, token, total = best_candidates(log_probability, log_probs, search.beam_size)
        ended = token == wanted.eos_id
        score = total / np.float32(gnmt_length_penalty(length + 1, search.length_penalty))
        finished += [
            Hypothesis(live[parent[i]], float(total[i]), float(score[i]), finished=length < wanted.cap)
            for i in ended.nonzero()[0]
        ]
        # Stable: of equals the one found earlier stays.
        finished = sorted(finished, key=lambda each: each.score, reverse=True)[: search.n_best]
        parent, token, total = parent[~ended], token[~ended], total[~ended]
        if not len(token):
            break
        full = len(finished) == search.n_best
        if full and total.max() / lowest <= finished[-1].score:
            break
        live = [(*live[i], int(piece)) for i, piece in zip(parent, token, strict=True)]
        log_probability, tokens, state = total, token[:, None], state.select(parent)
    return finished


def best_candidates(log_probability: Floats, log_probs: Floats, beam_size: int) -> tuple[Ids, Ids, Floats]:
    """Return parent, token and log-probability of the `beam_size` best continuations, (W,), best first.

    Of equals the one of the better parent goes first, then the more probable token, then the lower id.
    """
    best_tokens = np.argsort(-log_probs, axis=1, kind="stable")[:, :beam_size]  # (N, V) -> (N, k)
    totals = log_probability[:, None] + np.take_along_axis(log_probs, best_tokens, axis=1)
    order = np.argsort(-totals, axis=None, kind="stable")[:beam_size]
    order = order[totals.flat[order] > -np.inf]
    return order // best_tokens.shape[1], best_tokens.flat[order], totals.flat[order]


def next_log_probabilities(
    step: Step[StateT], tokens: Ids, state: StateT, wanted: Wanted, hypotheses: Sequence[tuple[int, ...]]
) -> tuple[Floats, StateT]:
    """Read the next tokens; return the model's log-probabilities of what may follow each hypothesis, (N, V).

    Raises:
        RunFolderError: the model's scores are not numbers.
    """
    logits, state = step(tokens, state)
    log_probs = log_softmax(logits[:, -1])
    rows = zip(log_probs, hypotheses, strict=True)
    return np.stack([wanted.allowed(row, pieces) for row, pieces in rows]), state


def log_softmax(logits: Floats) -> Floats:
    """Return x - log sum exp(x) over the last axis.

    Raises:
        RunFolderError: something is no number.
    """
    largest = logits.max(axis=-1, keepdims=True)
    if not np.isfinite(largest).all():
        raise RunFolderError("the model's scores are not numbers: its weights are damaged or its training diverged")
    log_probs: Floats = logits - largest
    log_probs -= np.log(np.exp(log_probs).sum(axis=-1, keepdims=True))
    return log_probs


def _repeating(pieces: tuple[int, ...], n: int) -> list[int]:
    """Return the pieces that would complete a run of n pieces that is there already; none where n is 0."""
    if n == 0:
        return []
    opening = pieces[len(pieces) - (n - 1) :]
    runs = (pieces[i : i + n] for i in range(len(pieces) - n + 1))
    return [run[-1] for run in runs if run[:-1] == opening]
