"""Constrained searches against all outputs that the constraints leave, found token by token in plain Python."""

import math
from collections import Counter

import pytest
import torch

from attento.decoding.beam import beam_search
from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.constraints import Constraints
from attento.decoding.greedy import greedy_search
from attento.decoding.sampling import sample

BOS, EOS = 2, 3
CASES = [
    {"min_length": 2},
    {"min_length": 7},
    {"no_repeat_ngram": 1},
    {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 3},
    {"prefix": (4, 0)},
    {"prefix": (1,), "min_length": 2, "no_repeat_ngram": 1},
    {"prefix": (0, 0, 0), "no_repeat_ngram": 2},
    {"min_length": 3, "no_repeat_ngram": 2},
]


def allowed(model, pieces, cap, min_length=0, no_repeat_ngram=0, prefix=()):
    """The tokens that may follow, by the words of the rules."""
    if len(pieces) == cap:
        return [EOS]
    if len(pieces) < len(prefix):
        return [prefix[len(pieces)]]
    n = no_repeat_ngram
    seen = {pieces[start : start + n] for start in range(len(pieces) - n + 1)} if n else set()
    tokens = []
    for token in range(model.vocab_size):
        if token == EOS:
            if len(pieces) >= min_length:
                tokens.append(token)
        elif (*pieces, token)[-n:] not in seen or not n:
            tokens.append(token)
    return tokens or [EOS]


def all_outputs(model, cap, **case):
    """Every output that the rules let through."""
    ended, live = [], [()]
    while live:
        pieces = live.pop()
        for token in allowed(model, pieces, cap, **case):
            (ended if token == EOS else live).append(pieces if token == EOS else (*pieces, token))
    return ended


def constraints(case, sentences):
    search = SearchConfig(min_length=case.get("min_length", 0), no_repeat_ngram=case.get("no_repeat_ngram", 0))
    return Constraints.of(search, [case.get("prefix", ())] * sentences)


def run(search, model, sentences, caps, **options):
    return search(
        model.step,
        model.start(sentences),
        bos_id=BOS,
        eos_id=EOS,
        max_lengths=torch.tensor(caps, dtype=torch.long),
        **options,
    )


@pytest.mark.parametrize("case", CASES)
def test_a_wide_beam_finds_all_that_is_left_in_its_order(table_model, case):
    model = table_model(vocab_size=5, seed=3)
    caps = [4, 3, 5] if "prefix" in case else [4, 0, 3]
    found = run(
        beam_search, model, range(3), caps, beam_size=5**4, n_best=5**4, constraints=constraints(case, len(caps))
    )
    for sentence, cap in enumerate(caps):
        scores = {
            ids: model.log_probability(sentence, ids) / ((6 + len(ids)) / 6) ** 0.6
            for ids in all_outputs(model, cap, **case)
        }
        ranked = sorted(scores, key=lambda ids: -scores[ids])[: 5**4]
        assert [h.ids for h in found[sentence]] == ranked
        assert [h.score for h in found[sentence]] == pytest.approx([scores[ids] for ids in ranked], rel=1e-5)
        assert [h.finished for h in found[sentence]] == [len(ids) < cap for ids in ranked]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("beam_size", [2, 3])
def test_a_narrow_beam_keeps_the_best_of_what_is_left(table_model, case, beam_size):
    for seed in range(5):
        model = table_model(vocab_size=7, seed=seed)
        caps = [5, 11, 3]
        options = {"beam_size": beam_size, "n_best": beam_size, "length_penalty": 0.0}
        found = run(beam_search, model, range(3), caps, constraints=constraints(case, 3), **options)
        for sentence, cap in enumerate(caps):
            live, finished = [(0.0, ())], []
            while live:
                extended = [
                    (total + model.log_prob(sentence, pieces, token), pieces, token)
                    for total, pieces in live
                    for token in allowed(model, pieces, cap, **case)
                ]
                best = sorted(extended, key=lambda item: -item[0])[:beam_size]
                finished += [(total, pieces) for total, pieces, token in best if token == EOS]
                live = [(total, (*pieces, token)) for total, pieces, token in best if token != EOS]
            expected = sorted(finished, key=lambda item: -item[0])[:beam_size]
            assert [h.ids for h in found[sentence]] == [ids for _, ids in expected]
            assert [h.log_probability for h in found[sentence]] == pytest.approx([p for p, _ in expected], rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_greedy_takes_the_best_of_what_is_left(table_model, case):
    for seed in range(7):
        model = table_model(vocab_size=7, seed=seed)
        caps = [5, 13, 3]
        found = run(greedy_search, model, range(3), caps, constraints=constraints(case, 3))
        beams = run(
            beam_search, model, range(3), caps, beam_size=1, length_penalty=0.0, constraints=constraints(case, 3)
        )
        assert found == [hypotheses[0] for hypotheses in beams]
        for sentence, cap in enumerate(caps):
            pieces, token = (), None
            while token != EOS:
                logits = model.logits(sentence, (BOS, *pieces))
                token = max(allowed(model, pieces, cap, **case), key=lambda each: logits[each])
                pieces += () if token == EOS else (token,)
            assert found[sentence].ids == pieces
            assert found[sentence].log_probability == pytest.approx(model.log_probability(sentence, pieces), rel=1e-5)
            assert found[sentence].finished == (len(pieces) < cap)


@pytest.mark.parametrize("case", CASES)
def test_draws_are_spread_as_what_is_left(table_model, case):
    model, cap, count = table_model(vocab_size=5, seed=1, spread=1.0), 3, 1009
    chances = Counter()
    for ids in all_outputs(model, cap, **case):
        chance = 1.0
        for position, token in enumerate((*ids, EOS)):
            tokens = allowed(model, ids[:position], cap, **case)
            weights = {each: math.exp(model.logits(0, (BOS, *ids[:position]))[each]) for each in tokens}
            chance *= weights[token] / sum(weights.values())
        chances[ids] = chance
    assert sum(chances.values()) == pytest.approx(1)
    seeds = [(17, number) for number in range(count)]
    drawn = run(sample, model, [0] * count, [cap] * count, seeds=seeds, constraints=constraints(case, count))
    counts = Counter(hypothesis.ids for hypothesis in drawn)
    assert counts.keys() <= chances.keys()
    for ids, chance in chances.items():
        assert abs(counts[ids] - count * chance) <= 5 * math.sqrt(count * chance * (1 - chance)) + 1e-9
    for hypothesis in drawn[:101]:
        # The model's own, not that of the draw.
        assert hypothesis.log_probability == pytest.approx(model.log_probability(0, hypothesis.ids), rel=1e-5)


def test_each_sentence_has_its_own_prefix(table_model):
    model = table_model(vocab_size=11, seed=5)
    prefixes, caps = [(7, 1, 4), (), (9,), (5, 5)], [5, 7, 3, 2]
    together = Constraints.of(SearchConfig(), prefixes)
    found = run(beam_search, model, range(4), caps, beam_size=3, n_best=3, constraints=together)
    greedy = run(greedy_search, model, range(4), caps, constraints=together)
    for row, (prefix, cap) in enumerate(zip(prefixes, caps, strict=True)):
        alone = Constraints.of(SearchConfig(), [prefix])
        assert found[row] == run(beam_search, model, [row], [cap], beam_size=3, n_best=3, constraints=alone)[0]
        assert all(hypothesis.ids[: len(prefix)] == prefix for hypothesis in (*found[row], greedy[row]))
        assert len({hypothesis.ids for hypothesis in found[row]}) == len(found[row])
    assert found[3][0].ids == (5, 5)


def test_an_output_ends_where_nothing_else_is_left(table_model):
    # Without bos and eos as pieces, 5 tokens leave 4 that may stand once each.
    model = table_model(vocab_size=5, seed=0)
    (found,) = run(greedy_search, model, [0], [13], constraints=Constraints(min_length=11, no_repeat_ngram=1))
    assert sorted(found.ids) == [0, 1, 2, 4]
    assert found.finished
    assert found.log_probability == pytest.approx(model.log_probability(0, found.ids), rel=1e-5)


def test_no_ngram_stands_twice_in_long_outputs(table_model):
    for n in (2, 3, 5):
        model = table_model(vocab_size=5, seed=n, spread=0.1)
        case = Constraints(min_length=31, no_repeat_ngram=n)
        for hypotheses in run(beam_search, model, [0, 1], [37, 41], beam_size=3, n_best=3, constraints=case):
            for ids in (hypothesis.ids for hypothesis in hypotheses):
                ngrams = [ids[start : start + n] for start in range(len(ids) - n + 1)]
                assert len(ngrams) == len(set(ngrams))


def test_settings_that_ask_for_nothing_make_no_constraints():
    assert Constraints.of(SearchConfig()) is None
    assert Constraints.of(SearchConfig(sampling=SamplingConfig()), [(), ()]) is None
    assert Constraints.of(SearchConfig(min_length=1)) == Constraints(min_length=1)


@pytest.mark.parametrize("idle", [Constraints(), Constraints(prefixes=torch.full((3, 2), -1))])
def test_constraints_that_forbid_nothing_change_no_bit(table_model, idle):
    model, caps = table_model(vocab_size=11, seed=2), [13, 2, 7]
    options = {"beam_size": 5, "n_best": 5}
    assert run(beam_search, model, range(3), caps, **options) == run(
        beam_search, model, range(3), caps, constraints=idle, **options
    )
    assert run(greedy_search, model, range(3), caps) == run(greedy_search, model, range(3), caps, constraints=idle)
    seeds = [(1,), (2,), (3,)]
    plain = run(sample, model, range(3), caps, seeds=seeds)
    assert plain == run(sample, model, range(3), caps, seeds=seeds, constraints=idle)
