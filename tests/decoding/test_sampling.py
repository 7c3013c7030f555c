"""Sampling against the probabilities of every output, computed in plain Python and numpy."""

from collections import Counter
from math import sqrt

import numpy as np
import pytest
import torch

from attento.decoding.greedy import greedy_search
from attento.decoding.sampling import next_token_probabilities, sample
from attento.errors import ConfigError

BOS, EOS = 2, 3


def draw(model, sentences, caps, seeds, **options):
    return sample(
        model.step,
        model.start(sentences),
        bos_id=BOS,
        eos_id=EOS,
        max_lengths=torch.tensor(caps, dtype=torch.long),
        seeds=seeds,
        **options,
    )


def expected_distribution(logits, temperature=1.0, top_k=None, top_p=None):
    """Cut token by token, in float64 and numpy: the most probable first, of equals the lowest id."""
    weights = np.exp(np.array(logits, dtype=np.float64) / temperature)
    probabilities = weights / weights.sum()
    ranking = sorted(range(len(logits)), key=lambda token: (-probabilities[token], token))
    candidates = ranking[: top_k or len(ranking)]
    if top_p is not None:
        mass = probabilities[candidates].sum()
        kept = []
        for token in candidates:
            kept.append(token)
            if probabilities[kept].sum() / mass >= top_p:
                break
        candidates = kept
    cut = np.zeros_like(probabilities)
    cut[candidates] = probabilities[candidates]
    return cut / cut.sum()


def probability_of_output(model, pieces, cap, settings):
    total = 1.0
    for position, token in enumerate((*pieces, EOS)):
        if position < cap:
            total *= expected_distribution(model.logits(0, (BOS, *pieces[:position])), **settings)[token]
    return total


CUTS = [
    {},
    {"temperature": 0.6},
    {"temperature": 1.7},
    {"top_k": 4},
    {"top_p": 0.7},
    {"temperature": 1.3, "top_k": 5, "top_p": 0.8},
]


@pytest.mark.parametrize("settings", CUTS)
def test_outputs_are_as_frequent_as_they_are_probable(table_model, settings):
    model, cap, draws = table_model(vocab_size=7, seed=7, spread=0.7), 2, 5003
    found = draw(model, [0] * draws, [cap] * draws, [(11, row) for row in range(draws)], **settings)
    counts = Counter(hypothesis.ids for hypothesis in found)
    expected = {pieces: probability_of_output(model, pieces, cap, settings) for pieces in model.all_outputs(cap)}
    assert sum(expected.values()) == pytest.approx(1)
    assert all(expected[pieces] > 0 for pieces in counts)
    # Pearson's statistic over the outputs that are expected five times or more, and all others as one.
    common = {pieces for pieces, probability in expected.items() if probability * draws >= 5}
    cells = [(counts[pieces], expected[pieces] * draws) for pieces in common]
    rest = (1 - sum(expected[pieces] for pieces in common)) * draws
    if rest > 5:
        cells.append((draws - sum(counts[pieces] for pieces in common), rest))
    statistic = sum((found - wanted) ** 2 / wanted for found, wanted in cells)
    freedom = len(cells) - 1
    assert freedom >= 5
    # Mean and standard deviation of a chi-square variable; four deviations are passed once in many thousand.
    assert statistic < freedom + 4 * sqrt(2 * freedom)


@pytest.mark.parametrize("settings", CUTS)
def test_distribution_is_that_of_an_independent_computation(settings):
    logits = torch.randn(7, 101) * 3
    found = next_token_probabilities(logits.log_softmax(-1), **settings)
    expected = np.stack([expected_distribution(row, **settings) for row in logits.tolist()])
    assert ((found > 0).numpy() == (expected > 0)).all()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_top_k_and_top_p_keep_no_more_and_no_less():
    log_probs = torch.tensor([0.4, 0.05, 0.3, 0.15, 0.1], dtype=torch.float64).log()[None]
    assert next_token_probabilities(log_probs, top_k=2)[0].tolist() == pytest.approx([4 / 7, 0, 3 / 7, 0, 0])
    assert next_token_probabilities(log_probs, top_p=0.69)[0].tolist() == pytest.approx([4 / 7, 0, 3 / 7, 0, 0])
    assert next_token_probabilities(log_probs, top_p=0.71)[0].nonzero().flatten().tolist() == [0, 2, 3]
    # The nucleus is taken of what top-k has left: 0.4 is 4/7 of that.
    assert next_token_probabilities(log_probs, top_k=2, top_p=0.5)[0].tolist() == [1, 0, 0, 0, 0]
    assert next_token_probabilities(log_probs, top_k=11, top_p=1.0)[0].tolist() == pytest.approx(log_probs[0].exp())


def test_a_nucleus_of_one_cuts_nothing_off_the_tail():
    # Beyond the first the shares are too small to change the sum in float64.
    log_probs = torch.tensor([0.0, -40.0, -90.0, -300.0], dtype=torch.float64)[None]
    found = next_token_probabilities(log_probs, top_p=1.0)[0]
    assert found.tolist() == pytest.approx(log_probs[0].exp(), rel=1e-12)


def test_of_equal_tokens_the_lowest_ids_stay():
    log_probs = torch.zeros(1, 101).log_softmax(-1)
    assert next_token_probabilities(log_probs, top_k=3)[0].nonzero().flatten().tolist() == [0, 1, 2]
    assert next_token_probabilities(log_probs, top_p=2.5 / 101)[0].nonzero().flatten().tolist() == [0, 1, 2]


def test_the_most_probable_token_always_stays():
    log_probs = torch.tensor([[0.2, 0.5, 0.3]]).log()
    assert next_token_probabilities(log_probs, top_p=1e-300)[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("options", [{"temperature": 1e-300}, {"temperature": 1e-4}, {"top_k": 1}, {"top_p": 1e-9}])
@pytest.mark.parametrize("seed", range(5))
def test_in_the_limit_it_is_greedy_search(table_model, seed, options):
    model, caps = table_model(vocab_size=7, seed=seed), [5, 0, 13, 2, 11]
    greedy = greedy_search(
        model.step, model.start(range(5)), bos_id=BOS, eos_id=EOS, max_lengths=torch.tensor(caps), length_penalty=0.6
    )
    found = draw(model, range(5), caps, [(row, 1) for row in range(5)], length_penalty=0.6, **options)
    assert found == greedy


@pytest.mark.parametrize("settings", CUTS)
def test_a_row_draws_the_same_alone_and_among_others(table_model, settings):
    model = table_model(vocab_size=11, seed=5)
    caps, seeds = [3, 17, 0, 7, 13], [(1, 0), (1, 1), (4,), (1, 3), (9, 2, 2)]
    together = draw(model, range(5), caps, seeds, **settings)
    assert together == [draw(model, [i], [caps[i]], [seeds[i]], **settings)[0] for i in range(5)]
    order = [4, 2, 0, 3, 1]
    shuffled = draw(model, order, [caps[i] for i in order], [seeds[i] for i in order], **settings)
    assert shuffled == [together[i] for i in order]


def test_seeds_reproduce_and_differ(table_model):
    model = table_model(vocab_size=11, seed=2)
    seeds = [(1, number) for number in range(13)]
    first = draw(model, [0] * 13, [7] * 13, seeds)
    assert draw(model, [0] * 13, [7] * 13, seeds) == first
    assert len({hypothesis.ids for hypothesis in first}) > 5
    other = draw(model, [0] * 13, [7] * 13, [(2, number) for number in range(13)])
    assert [hypothesis.ids for hypothesis in other] != [hypothesis.ids for hypothesis in first]
    assert len({h.ids for h in draw(model, [0] * 3, [7] * 3, [(5, 5)] * 3)}) == 1


@pytest.mark.parametrize("settings", CUTS)
def test_log_probability_is_the_models_own(table_model, settings):
    model, caps = table_model(vocab_size=7, seed=3), [5, 0, 13, 2, 11]
    found = draw(model, range(5), caps, [(8, row) for row in range(5)], length_penalty=0.6, **settings)
    for sentence, (hypothesis, cap) in enumerate(zip(found, caps, strict=True)):
        assert hypothesis.log_probability == pytest.approx(model.log_probability(sentence, hypothesis.ids), rel=1e-5)
        penalty = ((6 + len(hypothesis.ids)) / 6) ** 0.6
        assert hypothesis.score == pytest.approx(hypothesis.log_probability / penalty)
        assert len(hypothesis.ids) <= cap
        assert hypothesis.finished == (len(hypothesis.ids) < cap)


def test_a_larger_cap_changes_only_what_comes_after(table_model):
    model = table_model(vocab_size=11, seed=1)
    seeds = [(3, row) for row in range(7)]
    short, long = (draw(model, [0] * 7, [cap] * 7, seeds) for cap in (3, 17))
    assert [hypothesis.ids for hypothesis in short] == [hypothesis.ids[:3] for hypothesis in long]
    assert any(len(hypothesis.ids) > 3 for hypothesis in long)


def test_forbidden_tokens_are_never_drawn(table_model):
    model, never = table_model(vocab_size=5, seed=0), float("-inf")
    model.tables[0, BOS] = [never, 0.0, never, 0.0, never]
    model.tables[0, BOS, 1] = [never, never, never, 0.0, never]
    found = draw(model, [0] * 101, [5] * 101, [(row,) for row in range(101)])
    assert {hypothesis.ids for hypothesis in found} == {(), (1,)}


def test_no_rows_no_hypotheses(table_model):
    assert draw(table_model(vocab_size=5, seed=0), [], [], []) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": 0.0}, "`temperature` must be greater than 0"),
        ({"temperature": float("nan")}, "`temperature`"),
        ({"temperature": float("inf")}, "`temperature`"),
        ({"top_k": 0}, "`top_k` must be at least 1"),
        ({"top_p": 0.0}, "`top_p` must be greater than 0"),
        ({"top_p": 1.1}, "`top_p`"),
    ],
)
def test_values_out_of_range_are_refused_by_name(table_model, options, named):
    with pytest.raises(ConfigError, match=named):
        draw(table_model(vocab_size=5, seed=0), [0], [3], [(1,)], **options)
