"""Greedy search against a loop in plain Python."""

import pytest
import torch

from attento.decoding.greedy import greedy_search

BOS, EOS = 2, 3


def search(model, sentences, caps, **options):
    return greedy_search(
        model.step,
        model.start(sentences),
        bos_id=BOS,
        eos_id=EOS,
        max_lengths=torch.tensor(caps, dtype=torch.long),
        **options,
    )


def reference(model, sentence, cap):
    pieces = []
    while len(pieces) < cap:
        logits = model.logits(sentence, (BOS, *pieces))
        token = logits.index(max(logits))
        if token == EOS:
            break
        pieces.append(token)
    return tuple(pieces)


@pytest.mark.parametrize("seed", range(11))
def test_is_the_most_probable_token_again_and_again(table_model, seed):
    model = table_model(vocab_size=7, seed=seed)
    caps = [5, 0, 13, 2, 11]
    hypotheses = search(model, range(5), caps)
    for sentence, (hypothesis, cap) in enumerate(zip(hypotheses, caps, strict=True)):
        assert hypothesis.ids == reference(model, sentence, cap)
        assert hypothesis.log_probability == pytest.approx(model.log_probability(sentence, hypothesis.ids), rel=1e-5)
        assert hypothesis.score == hypothesis.log_probability
        assert hypothesis.finished == (len(hypothesis.ids) < cap)


def test_both_endings_occur(table_model):
    """The test above would prove little if every sentence ended alike."""
    hypotheses = [h for seed in range(11) for h in search(table_model(vocab_size=7, seed=seed), [0, 1], [5, 13])]
    assert {h.finished for h in hypotheses} == {True, False}


def test_length_penalty_divides_the_score_and_nothing_else(table_model):
    model = table_model(vocab_size=7, seed=1)
    plain, penalised = search(model, [0, 1], [5, 7]), search(model, [0, 1], [5, 7], length_penalty=0.6)
    for one, other in zip(plain, penalised, strict=True):
        assert (one.ids, one.log_probability, one.finished) == (other.ids, other.log_probability, other.finished)
        # |Y| counts eos: ((5 + pieces + 1) / 6) ** 0.6.
        assert other.score == pytest.approx(one.score / ((6 + len(one.ids)) / 6) ** 0.6)


def test_sentences_do_not_depend_on_their_neighbours(table_model):
    model = table_model(vocab_size=11, seed=5)
    caps = [3, 17, 0, 7, 13]
    together = search(model, range(5), caps)
    assert together == [search(model, [i], [caps[i]])[0] for i in range(5)]
    order = [4, 2, 0, 3, 1]
    assert [together[i] for i in order] == search(model, order, [caps[i] for i in order])


def test_ended_sentences_leave_the_batch(table_model):
    model = table_model(vocab_size=7, seed=3)
    hypotheses = search(model, range(5), [2, 3, 5, 7, 11])
    # A sentence of n pieces is asked for n + 1 tokens: the pieces and eos.
    steps = [sum(sentence in rows for rows in model.rows_seen) for sentence in range(5)]
    assert steps == [len(hypothesis.ids) + 1 for hypothesis in hypotheses]


def test_of_equal_tokens_the_lowest_id_is_taken(table_model):
    model = table_model(vocab_size=101, seed=0, spread=0.0)
    assert search(model, [0], [3])[0].ids == (0, 0, 0)
    for prefix in ((BOS,), (BOS, 47), (BOS, 47, 47)):
        model.tables[0, *prefix] = [0.0 if token < 47 else 1.0 for token in range(101)]
    assert search(model, [0], [3])[0].ids == (47, 47, 47)


def test_forbidden_tokens_are_never_taken(table_model):
    model = table_model(vocab_size=5, seed=0)
    never = float("-inf")
    model.tables[0, BOS] = [never, never, never, 0.0, 1.0]
    model.tables[0, BOS, 4] = [0.0, never, never, -1.0, never]
    hypothesis = search(model, [0], [1])[0]
    assert hypothesis.ids == (4,)
    # log softmax of (0, 1) at 1, then of (0, -1) at -1.
    assert hypothesis.log_probability == pytest.approx(-0.3132617 - 1.3132617)


def test_half_precision_logits_are_summed_in_float32(table_model):
    model = table_model(vocab_size=7, seed=2)

    def step(tokens, state):
        logits, state = model.step(tokens, state)
        return logits.bfloat16(), state

    hypothesis = greedy_search(step, model.start([0]), bos_id=BOS, eos_id=EOS, max_lengths=torch.tensor([13]))[0]
    assert len(hypothesis.ids) > 1
    for key, row in model.tables.items():
        model.tables[key] = torch.tensor(row).bfloat16().tolist()
    assert hypothesis.log_probability == pytest.approx(model.log_probability(0, hypothesis.ids), rel=1e-6)


def test_no_sentences_no_hypotheses(table_model):
    assert search(table_model(vocab_size=5, seed=0), [], []) == []
