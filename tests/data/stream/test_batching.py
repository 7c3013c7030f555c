from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attento.data.batches import Position
from attento.data.stream.batching import TextBatch, TextWindows, evaluation_windows
from attento.errors import ConfigError, DataError
from attento.text.special import BOS_ID, PAD_ID


def text(num_tokens: int) -> np.ndarray:
    """Bos, then ids that are all different, so that a token tells its place."""
    return np.concatenate(([BOS_ID], np.arange(4, 3 + num_tokens))).astype(np.int32)


def epoch(windows: TextWindows, number: int = 0) -> list[TextBatch]:
    batches = []
    for position, batch in windows.from_position(Position(number)):
        batches.append(batch)
        if position.epoch > number:
            return batches
    raise AssertionError("the batches have no end")


def rows(batch: TextBatch) -> list[tuple[list[int], list[int]]]:
    """Each row's inputs and outputs without padding, the padding looked at."""
    assert torch.equal(batch.mask, batch.output != PAD_ID)
    assert not batch.input[~batch.mask].any()
    assert batch.num_target_tokens == int(batch.mask.sum())
    assert batch.num_source_tokens == 0
    assert (batch.num_rows, batch.num_places) == (len(batch.input), batch.output.numel())
    kept = zip(batch.input, batch.output, batch.mask, strict=True)
    return [(inputs[mask].tolist(), outputs[mask].tolist()) for inputs, outputs, mask in kept]


@given(st.integers(2, 71), st.integers(1, 13), st.integers(1, 41), st.integers(0, 7))
def test_an_epoch_predicts_every_token_but_the_first_once(n: int, context: int, tokens: int, number: int) -> None:
    ids = text(n)
    batches = epoch(TextWindows(ids, context, tokens, seed=5), number)
    windows = [window for batch in batches for window in rows(batch)]
    assert sorted(token for _, outputs in windows for token in outputs) == ids[1:].tolist()
    successor = dict(zip(ids.tolist(), ids[1:].tolist(), strict=False))
    for inputs, outputs in windows:
        assert [successor[token] for token in inputs] == outputs
        assert inputs[1:] == outputs[:-1]
        assert len(outputs) <= context
    # Only what stands at the two ends may be shorter.
    assert sum(len(outputs) < context for _, outputs in windows) <= 2
    assert all(batch.num_target_tokens <= tokens or len(batch.input) == 1 for batch in batches)
    if n - 1 <= context:
        assert len(windows) == 1


def test_batches_are_as_few_as_can_be_and_alike() -> None:
    batches = epoch(TextWindows(text(1 + 7 * 100), 7, 7 * 11 + 3, seed=3))
    sizes = {len(batch.input) for batch in batches}
    windows = sum(len(batch.input) for batch in batches)
    assert len(batches) == -(-windows // 11)
    assert max(sizes) - min(sizes) <= 1


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    ids = text(211)
    one, two = (TextWindows(ids, 7, 29, seed=seed) for seed in (3, 3))
    for number in (0, 2):
        assert [rows(batch) for batch in epoch(one, number)] == [rows(batch) for batch in epoch(two, number)]
    orders = [str([rows(batch) for batch in epoch(one, number)]) for number in range(5)]
    orders.append(str([rows(batch) for batch in epoch(TextWindows(ids, 7, 29, seed=4))]))
    assert len(set(orders)) == 6


def test_offsets_and_order_vary() -> None:
    ids = text(211)
    windows = [rows(batch) for number in range(53) for batch in epoch(TextWindows(ids, 7, 29, seed=3), number)]
    starts = {inputs[0] for batch in windows for inputs, outputs in batch if len(outputs) == 7}
    assert {ids.tolist().index(start) % 7 for start in starts} == set(range(7))
    assert len({str(batch[0]) for batch in windows}) > 53


@given(st.integers(0, 40))
def test_a_row_of_batches_can_be_entered_anywhere(skipped: int) -> None:
    windows = TextWindows(text(97), 5, 23, seed=11)
    whole = list(islice(windows.from_position(), skipped + 7))
    position = whole[skipped - 1][0] if skipped else Position()
    later = list(islice(windows.from_position(position), 7))
    assert [place for place, _ in later] == [place for place, _ in whole[skipped:]]
    assert [rows(batch) for _, batch in later] == [rows(batch) for _, batch in whole[skipped:]]


@pytest.mark.parametrize(
    ("position", "message"),
    [(Position(0, 1), "pool 1 of epoch 0, which has 1 pools"), (Position(3, 0, 99), "batch 99 of epoch 3")],
)
def test_places_that_do_not_exist_are_refused(position: Position, message: str) -> None:
    with pytest.raises(DataError, match=message):
        next(TextWindows(text(97), 5, 23, seed=11).from_position(position))


@given(st.integers(2, 71), st.integers(1, 13), st.integers(1, 41))
def test_evaluation_predicts_all_in_order_from_the_token_before(n: int, context: int, tokens: int) -> None:
    ids = text(n)
    batches = list(evaluation_windows(ids, context, tokens))
    windows = [window for batch in batches for window in rows(batch)]
    assert [token for _, outputs in windows for token in outputs] == ids[1:].tolist()
    assert [token for inputs, _ in windows for token in inputs] == ids[:-1].tolist()
    assert [len(outputs) for _, outputs in windows[:-1]] == [context] * (len(windows) - 1)
    assert all(batch.num_target_tokens <= tokens or len(batch.input) == 1 for batch in batches)


@given(st.integers(1, 9))
def test_split_gives_the_same_rows_without_needless_padding(parts: int) -> None:
    (batch,) = evaluation_windows(text(41), 7, 100)
    shares = batch.split(parts)
    assert len(shares) == min(parts, 6)
    assert [row for share in shares for row in rows(share)] == rows(batch)
    assert max(map(len, shares_rows := [share.input for share in shares])) - min(map(len, shares_rows)) <= 1
    assert all(share.input.shape[1] == max(len(outputs) for _, outputs in rows(share)) for share in shares)


def test_a_batch_moves_whole() -> None:
    (batch,) = evaluation_windows(text(11), 7, 100)
    moved = batch.to("meta")
    assert {moved.input.device.type, moved.output.device.type, moved.mask.device.type} == {"meta"}
    assert moved.num_target_tokens == 10


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="`tokens_per_step` must be at least 1, but got 0"):
        TextWindows(text(11), 7, 0, seed=1)
    with pytest.raises(ConfigError, match="`context` must be at least 1, but got 0"):
        TextWindows(text(11), 0, 7, seed=1)
    with pytest.raises(DataError, match="no token to predict"):
        next(evaluation_windows(text(1), 7, 7))
