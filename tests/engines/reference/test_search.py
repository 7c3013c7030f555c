"""The searches in numpy find what `attento.decoding` finds."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attento.decoding.beam import beam_search
from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.constraints import Constraints
from attento.decoding.greedy import greedy_search
from attento.decoding.sampling import next_token_probabilities, sample
from attento.engines.reference import search as ours
from attento.errors import RunFolderError

BOS, EOS = 2, 3
FORBIDDEN = -np.inf


@dataclass(frozen=True)
class Prefixes:
    """What each row has read so far, for either library."""

    rows: tuple[tuple[int, ...], ...]

    def select(self, indices):
        return Prefixes(tuple(self.rows[index] for index in indices.tolist()))


@dataclass(frozen=True)
class TableModel:
    """Logits drawn once for every row of tokens; all from few values, so that many are equal, if `tied`."""

    vocab_size: int
    seed: int
    tied: bool = False
    forbidden: tuple[int, ...] = ()

    def logits(self, prefix):
        drawn = np.random.default_rng([self.seed, *prefix]).normal(size=self.vocab_size)
        logits = np.asarray(np.rint(drawn) if self.tied else drawn * 2, dtype=np.float32)
        logits[list(self.forbidden)] = FORBIDDEN
        return logits

    def step(self, tokens, state):
        read = Prefixes(tuple((*row, *new) for row, new in zip(state.rows, tokens.tolist(), strict=True)))
        return np.stack([self.logits(row) for row in read.rows])[:, None], read

    def torch_step(self, tokens, state):
        logits, read = self.step(tokens, state)
        return torch.from_numpy(logits), read


def found_by_torch(model, search, cap, prefix, source):
    state = Prefixes(((),))
    common = {"bos_id": BOS, "eos_id": EOS, "length_penalty": search.length_penalty}
    constraints = Constraints.of(search, [prefix])
    caps = torch.tensor([cap])
    drawn = search.sampling
    if drawn is not None:
        each = [
            sample(
                model.torch_step, state, max_lengths=caps, seeds=[(drawn.seed, number, *source)],
                temperature=drawn.temperature, top_k=drawn.top_k, top_p=drawn.top_p, constraints=constraints, **common,
            )[0]
            for number in range(search.n_best)
        ]  # fmt: skip
        return sorted(each, key=lambda hypothesis: hypothesis.score, reverse=True)
    if search.beam_size == 1:
        return greedy_search(model.torch_step, state, max_lengths=caps, constraints=constraints, **common)
    return beam_search(
        model.torch_step, state, max_lengths=caps, beam_size=search.beam_size, n_best=search.n_best,
        constraints=constraints, **common,
    )[0]  # fmt: skip


def check(model, search, cap, prefix=()):
    source = (5, 7)
    wanted = ours.Wanted(BOS, EOS, cap, search, prefix)
    found = ours.search_one(model.step, Prefixes(((),)), wanted, source)
    theirs = found_by_torch(model, search, cap, prefix, source)
    assert [each.ids for each in found] == [each.ids for each in theirs]
    assert [each.finished for each in found] == [each.finished for each in theirs]
    for one, other in zip(found, theirs, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)
        assert one.score == pytest.approx(other.score, abs=1e-5)


SAMPLED = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.1, 0.7, 1.0, 2.5]),
    top_k=st.sampled_from([None, 1, 3, 50]),
    top_p=st.sampled_from([None, 0.2, 0.8, 1.0]),
    seed=st.integers(0, 99),
)
SEARCHES = st.integers(1, 7).flatmap(
    lambda beam_size: st.builds(
        SearchConfig,
        beam_size=st.just(beam_size),
        n_best=st.integers(1, beam_size),
        length_penalty=st.sampled_from([0.0, 0.6, 2.0]),
        min_length=st.sampled_from([0, 0, 2, 9]),
        no_repeat_ngram=st.sampled_from([0, 0, 1, 2, 3]),
        sampling=st.one_of(st.none(), SAMPLED),
    )
)
# Pieces alone: neither bos nor eos.
PREFIXES = st.lists(st.integers(4, 6), max_size=3).map(tuple)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), search=SEARCHES, cap=st.integers(0, 7), prefix=PREFIXES, forbids=st.booleans())
def test_every_search_finds_what_the_torch_one_finds(seed, search, cap, prefix, forbids):
    model = TableModel(7, seed, forbidden=(0, 1, BOS, 5) if forbids else ())
    check(model, search, cap, prefix[:cap])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), cap=st.integers(0, 5))
def test_of_equal_tokens_the_first_is_taken(seed, cap):
    check(TableModel(11, seed, tied=True), SearchConfig(beam_size=1), cap)


@settings(max_examples=100, deadline=None)
@given(
    # Sums that float32 holds exactly, many of them equal.
    live=st.lists(st.integers(-4, 0), min_size=1, max_size=5),
    data=st.data(),
    beam_size=st.integers(1, 7),
)
def test_the_best_candidates_are_the_first_of_all_in_order(live, data, beam_size):
    number = st.sampled_from([-3.0, -2.0, -1.0, FORBIDDEN])
    table = data.draw(st.lists(st.lists(number, min_size=5, max_size=5), min_size=len(live), max_size=len(live)))
    parent, token, total = ours.best_candidates(
        np.array(live, dtype=np.float32), np.array(table, dtype=np.float32), beam_size
    )
    # Of equals the better parent goes first, then the more probable token, then the lower id.
    ranked = sorted(
        (-(live[row] + value), row, -value, column)
        for row, values in enumerate(table)
        for column, value in enumerate(values)
        if value > FORBIDDEN
    )[:beam_size]
    assert list(zip(parent, token, total, strict=True)) == [(row, column, -less) for less, row, _, column in ranked]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), sampling=SAMPLED, tied=st.booleans())
def test_the_distribution_is_cut_where_the_torch_one_is(seed, sampling, tied):
    log_probs = ours.log_softmax(TableModel(53, seed, tied, forbidden=(0, 1)).logits(())[None])[0]
    theirs = next_token_probabilities(
        torch.from_numpy(log_probs)[None], sampling.temperature, sampling.top_k, sampling.top_p
    )[0].numpy()
    np.testing.assert_allclose(ours.next_token_probabilities(log_probs, sampling), theirs, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("search", [SearchConfig(beam_size=1), SearchConfig(beam_size=3)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_told(search, value):
    def step(tokens, state):
        return np.array([[[0, 0, 0, 0, value]]], dtype=np.float32), state

    with pytest.raises(RunFolderError, match="not numbers"):
        ours.search_one(step, Prefixes(((),)), ours.Wanted(BOS, EOS, 5, search), ())
