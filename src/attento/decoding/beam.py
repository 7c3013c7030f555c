"""Beam search: the few best hypotheses side by side. Knows no model and no text.

Every sentence has its own beam; all are advanced in the same tensor operations, and no sentence's result depends on its
neighbours. What is exactly searched for:

- **Live and finished.** A live hypothesis is pieces without eos; all live ones of a step have the same length. A
  finished one ends in eos and is never touched again. They are kept apart.
- **Candidates.** At each step every live hypothesis is extended by every token, and the `beam_size` most probable of
  all these continuations are kept. Those that end in eos become finished, the others are live at the next step.
- **Ties.** Of equal candidates the one from the better live hypothesis goes first, then the one of lower token id; of
  equal finished ones the one found earlier. A live hypothesis has its rank from the step before, by the same rule.
- **The cap.** After `max_lengths[i]` pieces nothing but eos may follow. Its true log-probability is counted, so every
  hypothesis returned is complete and scores can be compared; those at the cap have `finished=False`.
- **Score.** log P(Y) / lp(Y) with the length penalty of Wu et al. 2016, eq. 14, over pieces and eos.
- **Stopping.** A sentence ends when nothing is live, or when no descendant of its live hypotheses can enter its
  `n_best` finished ones: log-probabilities only fall and the penalty is greatest at the cap, so the log-probability of
  the best live one, divided by the penalty at the cap, bounds all that can come. Stopping so never changes the result.

A beam of one is greedy search for every length penalty, and a beam as wide as there are hypotheses is exhaustive.
"""

from dataclasses import dataclass
from itertools import count

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attento.decoding.constraints import Constraints
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.penalties import gnmt_length_penalty
from attento.decoding.step import Step, next_log_probabilities
from attento.errors import ConfigError
from attento.nn.state import DecoderState


def beam_search(
    step: Step,
    state: DecoderState,
    *,
    beam_size: int,
    bos_id: int,
    eos_id: int,
    max_lengths: Int[Tensor, " B"],
    length_penalty: float = 0.6,
    n_best: int = 1,
    constraints: Constraints | None = None,
) -> list[list[Hypothesis]]:
    """Find the `n_best` hypotheses of highest score for every sentence, best first (see the module for what exactly).

    A sentence gets fewer than `n_best` only where fewer were found before its beam ran empty.

    Args:
        step: the model, as a function of tokens and state.
        state: one row a sentence, nothing decoded yet; the search makes rows for the beams by `state.select`.
        beam_size: continuations kept at every step.
        bos_id: the token that every output follows.
        eos_id: the token that ends an output.
        max_lengths: the cap of each sentence, in pieces (eos not counted).
        length_penalty: GNMT alpha.
        n_best: hypotheses returned for a sentence. A larger number leaves the first ones as they are.
        constraints: what the outputs must hold and must not.

    Raises:
        ConfigError: `n_best` is not within 1 to `beam_size`, or `length_penalty` is negative.
    """
    _check(beam_size, n_best, length_penalty)
    caps = max_lengths.tolist()
    penalty_at_cap = torch.tensor([gnmt_length_penalty(cap + 1, length_penalty) for cap in caps]).to(max_lengths.device)
    live = _Live.start(max_lengths, bos_id)
    finished = _Finished.none(len(caps), n_best, max_lengths.device)
    for length in count():
        if not live.sentence.numel():
            break
        logits, state = step(live.tokens[:, -1:], state)
        at_cap = max_lengths[live.sentence] == length
        log_probs = next_log_probabilities(logits)
        if constraints is not None:
            log_probs = constraints.apply(log_probs, live.tokens[:, 1:], live.sentence, at_cap, eos_id)
        extensions = _extensions(log_probs, at_cap, beam_size, eos_id)
        best = _best_candidates(live, extensions, len(caps), beam_size)
        ended = best.exists & (best.token == eos_id)
        if ended.any():
            finished = finished.add(best, ended, live, gnmt_length_penalty(length + 1, length_penalty))
        alive = best.exists & ~ended
        bound = best.log_probability.masked_fill(~alive, -torch.inf).amax(dim=1) / penalty_at_cap
        alive &= (bound > finished.score[:, -1])[:, None]
        state = state.select(best.parent[alive])
        live = live.extend(best, alive)
    return finished.records(caps)


def _check(beam_size: int, n_best: int, length_penalty: float) -> None:
    if not 1 <= n_best <= beam_size:
        raise ConfigError(
            f"`n_best` must be at least 1 and at most `beam_size`, but got n_best={n_best} and beam_size={beam_size}"
        )
    if not length_penalty >= 0:
        raise ConfigError(f"`length_penalty` must be 0 or more, but got {length_penalty}")


@dataclass(frozen=True)
class _Extensions:
    """The tokens that may follow each live hypothesis, most probable first, and how probable they are."""

    token: Int[Tensor, "N k"]
    log_probability: Float[Tensor, "N k"]


@dataclass(frozen=True)
class _Candidates:
    """The `beam_size` best continuations of every sentence, best first.

    `parent` is a row of the live hypotheses. Where `exists` is False there were fewer, and nothing else there counts.
    """

    parent: Int[Tensor, "B W"]
    token: Int[Tensor, "B W"]
    log_probability: Float[Tensor, "B W"]
    exists: Bool[Tensor, "B W"]


@dataclass(frozen=True)
class _Live:
    """Hypotheses that still grow, one a row: by sentence, and within a sentence by `rank`, best first (with gaps)."""

    sentence: Int[Tensor, " N"]
    rank: Int[Tensor, " N"]
    tokens: Int[Tensor, "N L"]
    log_probability: Float[Tensor, " N"]

    @classmethod
    def start(cls, max_lengths: Int[Tensor, " B"], bos_id: int) -> "_Live":
        """One hypothesis a sentence: bos alone."""
        sentence = torch.arange(max_lengths.numel(), device=max_lengths.device)
        probability_one = torch.zeros(sentence.shape, device=sentence.device)
        return cls(sentence, torch.zeros_like(sentence), torch.full_like(sentence, bos_id)[:, None], probability_one)

    def extend(self, best: _Candidates, alive: Bool[Tensor, "B W"]) -> "_Live":
        """Those of the candidates that live on."""
        sentence, rank = alive.nonzero(as_tuple=True)
        tokens = torch.cat((self.tokens[best.parent[alive]], best.token[alive][:, None]), dim=1)
        return _Live(sentence, rank, tokens, best.log_probability[alive])


@dataclass(frozen=True)
class _Finished:
    """The best hypotheses of each sentence that have ended, best first; an empty place has a score of -inf."""

    tokens: Int[Tensor, "B n L"]
    length: Int[Tensor, "B n"]
    log_probability: Float[Tensor, "B n"]
    score: Float[Tensor, "B n"]

    @classmethod
    def none(cls, sentences: int, n_best: int, device: torch.device) -> "_Finished":
        """Places for `n_best` hypotheses a sentence, all empty."""
        empty = torch.full((sentences, n_best), -torch.inf, device=device)
        length = torch.zeros((sentences, n_best), dtype=torch.long, device=device)
        return cls(length[:, :, None][:, :, :0], length, empty, empty)

    def add(self, best: _Candidates, ended: Bool[Tensor, "B W"], live: _Live, penalty: float) -> "_Finished":
        """Keep the best of these and of the candidates that have ended."""
        pieces = live.tokens[:, 1:]
        length = pieces.size(1)
        tokens = torch.nn.functional.pad(self.tokens, (0, length - self.tokens.size(2)))
        score = (best.log_probability / penalty).masked_fill(~ended, -torch.inf)
        # Stable, and the old ones stand first: of equals the one found earlier stays.
        order = torch.cat((self.score, score), dim=1).sort(dim=1, descending=True, stable=True).indices
        order = order[:, : self.score.size(1)]

        def merge(old: Tensor, new: Tensor) -> Tensor:
            return torch.cat((old, new), dim=1).gather(1, order)

        return _Finished(
            torch.cat((tokens, pieces[best.parent]), dim=1).gather(1, order[:, :, None].expand(-1, -1, length)),
            merge(self.length, torch.full_like(best.token, length)),
            merge(self.log_probability, best.log_probability),
            merge(self.score, score),
        )

    def records(self, caps: list[int]) -> list[list[Hypothesis]]:
        """Return the hypotheses as plain records."""
        columns = (self.tokens, self.length, self.log_probability, self.score)
        sentences = zip(*(column.tolist() for column in columns), caps, strict=True)
        return [
            [
                Hypothesis(tuple(tokens[:length]), log_probability, score, finished=length < cap)
                for tokens, length, log_probability, score in zip(*rows, strict=True)
                if score > -torch.inf
            ]
            for *rows, cap in sentences
        ]


def _extensions(
    log_probs: Float[Tensor, "N V"], at_cap: Bool[Tensor, " N"], beam_size: int, eos_id: int
) -> _Extensions:
    """Pick what can be among the best of a sentence: the `beam_size` best tokens of a row, or eos alone at the cap."""
    token = _best_tokens(log_probs, min(beam_size, log_probs.size(1)))
    only_eos = at_cap[:, None] & (torch.arange(token.size(1), device=token.device) == 0)
    token = token.masked_fill(only_eos, eos_id)
    forbidden = at_cap[:, None] & ~only_eos
    return _Extensions(token, log_probs.gather(1, token).masked_fill(forbidden, -torch.inf))


def _best_tokens(log_probs: Float[Tensor, "N V"], number: int) -> Int[Tensor, "N k"]:
    """Return the most probable tokens of every row, best first, of equals the lowest id first."""
    if number == log_probs.size(1):
        return log_probs.sort(dim=1, descending=True, stable=True).indices
    # `topk` picks among equals as it likes. Where the last one taken equals the first one left out, sort the whole row;
    # it is rare, and sorting every row would cost many times the rest. Of forbidden ones any will do.
    values, tokens = log_probs.topk(number + 1, dim=1)
    tied = (values[:, number - 1] == values[:, number]) & (values[:, number] > -torch.inf)
    if tied.any():
        order = log_probs[tied].sort(dim=1, descending=True, stable=True).indices
        tokens[tied] = order[:, : number + 1]
    tokens = tokens[:, :number].sort(dim=1).values
    order = log_probs.gather(1, tokens).sort(dim=1, descending=True, stable=True).indices
    return tokens.gather(1, order)


def _best_candidates(live: _Live, extensions: _Extensions, sentences: int, beam_size: int) -> _Candidates:
    """Pick the best continuations of each sentence from those of its live hypotheses."""
    width = extensions.token.size(1)
    # Rows stand in a (B, W) table with gaps; a gap's extensions have log-probability -inf.
    place = live.sentence * beam_size + live.rank
    totals = torch.full((sentences * beam_size, width), -torch.inf, device=place.device)
    totals[place] = live.log_probability[:, None] + extensions.log_probability
    row = torch.zeros(sentences * beam_size, dtype=torch.long, device=place.device)
    row[place] = torch.arange(place.numel(), device=place.device)
    # (B * W, k) -> (B, W * k); stable: of equals the better hypothesis first, then the lower token id.
    log_probability, index = totals.view(sentences, -1).sort(dim=1, descending=True, stable=True)
    log_probability, index = log_probability[:, :beam_size], index[:, :beam_size]
    parent = row.view(sentences, beam_size).gather(1, index // width)
    token = extensions.token[parent, index % width]
    return _Candidates(parent, token, log_probability, log_probability > -torch.inf)
