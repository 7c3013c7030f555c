"""Beam search against enumeration, against a beam search in plain Python, and against greedy search."""

import math

import pytest
import torch

from attento.decoding.beam import beam_search
from attento.decoding.greedy import greedy_search
from attento.errors import ConfigError

BOS, EOS = 2, 3


def search(model, sentences, caps, **options):
    return beam_search(
        model.step,
        model.start(sentences),
        bos_id=BOS,
        eos_id=EOS,
        max_lengths=torch.tensor(caps, dtype=torch.long),
        **options,
    )


def penalty(pieces, alpha):
    # Wu et al. 2016, eq. 14, as printed; |Y| is the pieces and eos.
    return (5 + len(pieces) + 1) ** alpha / (5 + 1) ** alpha


def reference(model, sentence, cap, beam_size, alpha):
    """The search as its docstring says it, in lists, and without stopping early: all that ended, best first."""
    live, finished = [(0.0, ())], []
    for length in range(cap + 1):
        allowed = [EOS] if length == cap else range(model.vocab_size)
        extended = [
            (total + model.log_prob(sentence, pieces, token), pieces, token)
            for total, pieces in live
            for token in allowed
        ]
        extended.sort(key=lambda item: -item[0])
        live = []
        for total, pieces, token in extended[:beam_size]:
            if token == EOS:
                finished.append((total / penalty(pieces, alpha), pieces))
            else:
                live.append((total, (*pieces, token)))
    return sorted(finished, key=lambda item: -item[0])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.7])
@pytest.mark.parametrize("seed", range(3))
def test_wide_enough_is_exhaustive(table_model, seed, alpha):
    model = table_model(vocab_size=5, seed=seed)
    caps = [3, 0, 2]
    found = search(model, range(3), caps, beam_size=5**3, length_penalty=alpha, n_best=5**3)
    for sentence, cap in enumerate(caps):
        outputs = list(model.all_outputs(cap))
        scores = {ids: model.log_probability(sentence, ids) / penalty(ids, alpha) for ids in outputs}
        ranked = sorted(outputs, key=lambda ids: -scores[ids])
        assert [h.ids for h in found[sentence]] == ranked
        for hypothesis in found[sentence]:
            assert hypothesis.score == pytest.approx(scores[hypothesis.ids], rel=1e-5)
            log_probability = model.log_probability(sentence, hypothesis.ids)
            assert hypothesis.log_probability == pytest.approx(log_probability, rel=1e-5)
            assert hypothesis.finished == (len(hypothesis.ids) < cap)
    for n_best in (1, 2, 7):
        fewer = search(model, range(3), caps, beam_size=5**3, length_penalty=alpha, n_best=n_best)
        assert fewer == [hypotheses[:n_best] for hypotheses in found]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0])
@pytest.mark.parametrize("beam_size", [1, 2, 3, 5, 13])
def test_is_the_search_that_the_docstring_describes(table_model, beam_size, alpha):
    caps = [7, 5, 0, 11, 3]
    for seed in range(5):
        model = table_model(vocab_size=7, seed=seed)
        found = search(model, range(5), caps, beam_size=beam_size, length_penalty=alpha, n_best=beam_size)
        for sentence, cap in enumerate(caps):
            expected = reference(model, sentence, cap, beam_size, alpha)[:beam_size]
            assert [h.ids for h in found[sentence]] == [ids for _, ids in expected]
            assert [h.score for h in found[sentence]] == pytest.approx([score for score, _ in expected], rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_beam_of_one_is_greedy_search(table_model, seed, alpha):
    model = table_model(vocab_size=11, seed=seed)
    caps = [13, 0, 5, 17, 2]
    greedy = greedy_search(
        model.step,
        model.start(range(5)),
        bos_id=BOS,
        eos_id=EOS,
        max_lengths=torch.tensor(caps),
        length_penalty=alpha,
    )
    beam = search(model, range(5), caps, beam_size=1, length_penalty=alpha)
    assert [[(h.ids, h.log_probability, h.finished) for h in hypotheses] for hypotheses in beam] == [
        [(h.ids, h.log_probability, h.finished)] for h in greedy
    ]
    assert [hypotheses[0].score for hypotheses in beam] == pytest.approx([h.score for h in greedy], rel=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0])
def test_n_best_is_sorted_distinct_and_a_prefix_of_more(table_model, alpha):
    model = table_model(vocab_size=11, seed=2)
    caps = [13, 1, 7]
    most = search(model, range(3), caps, beam_size=7, length_penalty=alpha, n_best=7)
    for hypotheses in most:
        scores = [h.score for h in hypotheses]
        assert len(scores) == 7
        assert scores == sorted(scores, reverse=True)
        assert len({h.ids for h in hypotheses}) == 7
    for n_best in range(1, 7):
        fewer = search(model, range(3), caps, beam_size=7, length_penalty=alpha, n_best=n_best)
        assert fewer == [hypotheses[:n_best] for hypotheses in most]


@pytest.mark.parametrize("n_best", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_sentences_do_not_depend_on_their_neighbours(table_model, seed, n_best):
    model = table_model(vocab_size=11, seed=seed)
    caps = [3, 17, 0, 7, 13]
    options = {"beam_size": 3, "length_penalty": 0.6, "n_best": n_best}
    together = search(model, range(5), caps, **options)
    assert together == [search(model, [i], [caps[i]], **options)[0] for i in range(5)]
    order = [4, 2, 0, 3, 1]
    assert [together[i] for i in order] == search(model, order, [caps[i] for i in order], **options)


def test_ended_sentences_leave_the_batch(table_model):
    model = table_model(vocab_size=11, seed=4)
    caps = [2, 3, 5, 7, 11]
    search(model, range(5), caps, beam_size=3)
    together, model.rows_seen = model.rows_seen, []
    assert together[0] == [0, 1, 2, 3, 4]
    assert all(rows.count(sentence) <= 3 for rows in together for sentence in rows)
    for sentence in range(5):
        model.rows_seen = []
        search(model, [sentence], [caps[sentence]], beam_size=3)
        alone = [len(rows) for rows in model.rows_seen]
        counts = [rows.count(sentence) for rows in together]
        assert counts == alone + [0] * (len(counts) - len(alone))


def certain_to_end(table_model):
    # P(eos) = 0.97, and 0.01 each for three others, after any prefix.
    model = table_model(vocab_size=4, seed=0)
    for ids in model.all_outputs(5):
        model.tables[0, BOS, *ids] = [math.log(0.01)] * 3 + [math.log(0.97)]
    return model


@pytest.mark.parametrize("n_best, steps", [(1, 1), (2, 2), (3, 2)])
def test_stops_as_soon_as_nothing_better_can_come(table_model, n_best, steps):
    # After one step: () ended with 0.97, and (0), (1) live with 0.01, which no penalty below ln 0.01 / ln 0.97 = 151
    # can bring near. After two: (0), (1) ended with 0.0097, and (0, 0), at most 0.0001, is too late for a place.
    model = certain_to_end(table_model)
    found = search(model, [0], [5], beam_size=3, length_penalty=0.6, n_best=n_best)[0]
    assert [h.ids for h in found] == [(), (0,), (1,)][:n_best]
    assert len(model.rows_seen) == steps


def test_a_longer_output_wins_only_by_the_length_penalty(table_model):
    # P(()) = 0.4 and P((0, 0, 0)) = 0.6 * 0.6 = 0.36 with |Y| = 4.
    # ln 0.4 = -0.916; ln 0.36 = -1.022, divided by 9/6: -0.681.
    model = table_model(vocab_size=4, seed=0)
    never = -math.inf
    model.tables |= {
        (0, BOS): [math.log(0.6), never, never, math.log(0.4)],
        (0, BOS, 0): [0.0, never, never, -40.0],
        (0, BOS, 0, 0): [0.0, never, never, -40.0],
        (0, BOS, 0, 0, 0): [never, never, math.log(0.4), math.log(0.6)],
        (0, BOS, 0, 0, 0, 2): [0.0, never, never, -40.0],
    }
    plain = search(model, [0], [5], beam_size=2, length_penalty=0.0)[0][0]
    assert (plain.ids, plain.finished) == ((), True)
    assert plain.score == pytest.approx(math.log(0.4))
    penalised = search(model, [0], [5], beam_size=2, length_penalty=1.0)[0][0]
    assert (penalised.ids, penalised.finished) == ((0, 0, 0), True)
    assert penalised.log_probability == pytest.approx(math.log(0.36))
    assert penalised.score == pytest.approx(math.log(0.36) / 1.5)


def test_ties_go_to_the_lower_token_and_the_better_row(table_model):
    # Every token has 1/101. Step 1 keeps 0, 1, 2 and eos (3); step 2, of all extensions of 0, 1, 2, those of 0.
    model = table_model(vocab_size=101, seed=0, spread=0.0)
    found = search(model, [0], [1], beam_size=4, n_best=4, length_penalty=0.0)[0]
    assert [h.ids for h in found] == [(), (0,), (1,), (2,)]
    found = search(model, [0], [2], beam_size=4, n_best=4, length_penalty=0.0)[0]
    assert [h.ids for h in found] == [(), (0,), (0, 0), (0, 1)]


def test_ties_at_the_edge_of_the_beam_go_to_the_lower_token(table_model):
    # 1009 tokens, of which 613 and above are equal best: `topk` alone may return any of them.
    model = table_model(vocab_size=1009, seed=0)
    model.tables[0, BOS] = [float(token >= 613) for token in range(1009)]
    found = search(model, [0], [1], beam_size=3, n_best=3, length_penalty=0.0)[0]
    assert {h.ids for h in found} == {(613,), (614,), (615,)}


def test_fewer_hypotheses_than_asked_for_where_there_are_fewer(table_model):
    model = table_model(vocab_size=5, seed=0)
    found = search(model, [0, 1], [0, 2], beam_size=3, n_best=3)
    assert [h.ids for h in found[0]] == [()]
    assert not found[0][0].finished
    assert len(found[1]) == 3


def test_no_sentences_no_hypotheses(table_model):
    assert search(table_model(vocab_size=5, seed=0), [], [], beam_size=3) == []


@pytest.mark.parametrize(
    "options, named",
    [
        ({"beam_size": 3, "n_best": 5}, "n_best=5 and beam_size=3"),
        ({"beam_size": 3, "n_best": 0}, "n_best=0"),
        ({"beam_size": 3, "length_penalty": -0.5}, "length_penalty.*-0.5"),
        ({"beam_size": 3, "length_penalty": math.nan}, "length_penalty.*nan"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(table_model, options, named):
    with pytest.raises(ConfigError, match=named):
        search(table_model(vocab_size=5, seed=0), [0], [3], **options)
