from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attento.data.batches import Position
from attento.data.labels.batching import LabelBatch, LabelBatches, label_batches, make_label_batch
from attento.data.labels.examples import Examples
from attento.errors import ConfigError, DataError
from attento.text.special import EOS_ID, PAD_ID


def make(lengths: list[tuple[int, ...]]) -> Examples:
    """Examples whose ids are all different, so that a sentence tells its place; the label is the first length."""
    ends = np.cumsum(lengths, dtype=np.int64).reshape(len(lengths), -1)
    ids = np.arange(4, 4 + ends[-1, -1], dtype=np.int32)
    return Examples(ids, ends, np.array([each[0] for each in lengths], np.int64))


def random_lengths(count: int, num_sentences: int = 1) -> list[tuple[int, ...]]:
    draws = np.random.default_rng(3).integers(0, 17, (count, num_sentences))
    return [tuple(row) for row in draws.tolist()]


Row = tuple[int, tuple[tuple[int, ...], ...]]


def rows(batch: LabelBatch) -> list[Row]:
    """Each row's label and sentences without eos and padding, both looked at."""
    columns = []
    for ids, mask in batch.sentences:
        assert torch.equal(mask, ids != PAD_ID)
        assert mask.any(dim=0).all()  # no column of padding alone
        kept = [row[is_real].tolist() for row, is_real in zip(ids, mask, strict=True)]
        assert all(row[-1] == EOS_ID for row in kept)
        columns.append([tuple(row[:-1]) for row in kept])
    assert batch.num_source_tokens == sum(int(mask.sum()) for _, mask in batch.sentences)
    assert batch.num_places == sum(mask.numel() for _, mask in batch.sentences)
    assert batch.num_target_tokens == batch.num_rows == len(batch.labels)
    return list(zip(batch.labels.tolist(), zip(*columns, strict=True), strict=True))


def expected(examples: Examples) -> list[Row]:
    return [
        (label, tuple(tuple(ids.tolist()) for ids in sentences))
        for label, sentences in examples.take(range(len(examples)))
    ]


def epoch(batches: LabelBatches, number: int = 0) -> list[LabelBatch]:
    found = []
    for position, batch in batches.from_position(Position(number)):
        found.append(batch)
        if position.epoch > number:
            return found
    raise AssertionError("the batches have no end")


LENGTHS = st.sampled_from([1, 2]).flatmap(
    lambda num: st.lists(st.tuples(*[st.integers(0, 11)] * num), min_size=1, max_size=31)
)


@given(LENGTHS, st.integers(1, 53), st.integers(0, 5))
def test_an_epoch_holds_every_example_once_within_the_budget(
    lengths: list[tuple[int, ...]], tokens: int, number: int
) -> None:
    examples = make(lengths)
    batches = epoch(LabelBatches(examples, tokens, seed=5), number)
    assert sorted(row for batch in batches for row in rows(batch)) == sorted(expected(examples))
    assert all(batch.num_source_tokens <= tokens or batch.num_rows == 1 for batch in batches)


def test_sentences_of_like_length_stand_together_and_no_batch_is_small() -> None:
    examples = make(random_lengths(1009))
    batches = epoch(LabelBatches(examples, 211, seed=3))
    tokens = sum(batch.num_source_tokens for batch in batches)
    assert sum(batch.num_places for batch in batches) < 1.05 * tokens
    assert min(batch.num_source_tokens for batch in batches) > 211 / 2
    widths = [batch.sentences[0][0].shape[1] for batch in batches]
    assert widths != sorted(widths)


def test_pairs_are_sorted_by_both_lengths() -> None:
    examples = make(random_lengths(1009, 2))
    batches = epoch(LabelBatches(examples, 211, seed=3))
    places = sum(batch.num_places for batch in batches)
    unsorted = sum(batch.num_places for batch in label_batches(examples, 211))
    tokens = sum(batch.num_source_tokens for batch in batches)
    assert places - tokens < (unsorted - tokens) / 3


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    examples = make(random_lengths(211))
    one, two = (LabelBatches(examples, 97, seed=seed) for seed in (3, 3))
    for number in (0, 2):
        assert [rows(batch) for batch in epoch(one, number)] == [rows(batch) for batch in epoch(two, number)]
    orders = [str([rows(batch) for batch in epoch(one, number)]) for number in range(5)]
    orders.append(str([rows(batch) for batch in epoch(LabelBatches(examples, 97, seed=4))]))
    assert len(set(orders)) == 6


@given(st.integers(0, 40))
def test_a_row_of_batches_can_be_entered_anywhere(skipped: int) -> None:
    batches = LabelBatches(make(random_lengths(101)), 97, seed=11)
    whole = list(islice(batches.from_position(), skipped + 7))
    position = whole[skipped - 1][0] if skipped else Position()
    later = list(islice(batches.from_position(position), 7))
    assert [place for place, _ in later] == [place for place, _ in whole[skipped:]]
    assert [rows(batch) for _, batch in later] == [rows(batch) for _, batch in whole[skipped:]]


@pytest.mark.parametrize(
    ("position", "message"),
    [(Position(0, 1), "pool 1 of epoch 0, which has 1 pools"), (Position(3, 0, 99), "batch 99 of epoch 3")],
)
def test_places_that_do_not_exist_are_refused(position: Position, message: str) -> None:
    with pytest.raises(DataError, match=message):
        next(LabelBatches(make(random_lengths(101)), 97, seed=11).from_position(position))


@given(LENGTHS, st.integers(1, 53))
def test_evaluation_goes_through_all_in_order(lengths: list[tuple[int, ...]], tokens: int) -> None:
    examples = make(lengths)
    batches = list(label_batches(examples, tokens))
    assert [row for batch in batches for row in rows(batch)] == expected(examples)
    assert all(batch.num_places <= tokens or batch.num_rows == 1 for batch in batches)
    for batch, after in pairwise(batches):
        together = make_label_batch(
            [(label, tuple(np.array(ids, np.int32) for ids in s)) for label, s in [*rows(batch), rows(after)[0]]]
        )
        assert together.num_places > tokens  # one more would not have gone in


@given(st.integers(1, 13), LENGTHS)
def test_split_gives_the_same_rows_without_needless_padding(parts: int, lengths: list[tuple[int, ...]]) -> None:
    (batch,) = label_batches(make(lengths), 10_007)
    shares = batch.split(parts)
    assert len(shares) == min(parts, len(lengths))
    assert [row for share in shares for row in rows(share)] == rows(batch)
    assert max(share.num_rows for share in shares) - min(share.num_rows for share in shares) <= 1


def test_a_batch_moves_whole() -> None:
    (batch,) = label_batches(make([(3, 5), (2, 7)]), 101)
    moved = batch.to("meta")
    tensors = [moved.labels, *(tensor for pair in moved.sentences for tensor in pair)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.num_source_tokens == batch.num_source_tokens == 21


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="`tokens_per_step` must be at least 1, but got 0"):
        LabelBatches(make([(3,)]), 0, seed=1)
    empty = Examples(np.zeros(0, np.int32), np.zeros((0, 1), np.int64), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="no example to train on"):
        LabelBatches(empty, 7, seed=1)
