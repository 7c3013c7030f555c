"""Windows with hidden tokens: whole again by what is to be told, and the same whenever they are made again."""

from itertools import islice

import numpy as np
import pytest
import torch

from attento.data.batches import Position
from attento.data.masked.batching import MaskedBatch, MaskedWindows, masked_evaluation_windows
from attento.data.masked.hiding import Hiding
from attento.errors import ConfigError, DataError
from attento.text.special import BOS_ID, EOS_ID, PAD_ID

CONTEXT, MASK = 13, 4
HIDING = Hiding(0.3, MASK, 400)


def text(tokens: int) -> np.ndarray:
    """Bos, then ids that are all different, so that a token tells its place."""
    return np.concatenate(([BOS_ID], np.arange(5, 5 + tokens))).astype(np.int32)


def make(tokens: int = 211, tokens_per_step: int = 97, seed: int = 5) -> MaskedWindows:
    return MaskedWindows(text(tokens), CONTEXT, tokens_per_step, seed, HIDING)


def epoch(windows: MaskedWindows, number: int = 0) -> list[MaskedBatch]:
    batches = []
    for position, batch in windows.from_position(Position(number)):
        batches.append(batch)
        if position.epoch > number:
            return batches
    raise AssertionError("the batches have no end")


def rows(batch: MaskedBatch) -> list[tuple[list[int], list[int], list[bool]]]:
    """What is read, what stands there and what is hidden, of each row, the ends and the padding looked at."""
    assert torch.equal(batch.mask, batch.ids != PAD_ID)
    assert torch.equal(batch.mask, batch.whole != PAD_ID)
    assert not batch.hidden[~batch.mask].any()
    assert batch.num_target_tokens == int(batch.hidden.sum())
    assert batch.num_source_tokens + batch.num_target_tokens == int(batch.mask.sum())
    assert (batch.num_rows, batch.num_places) == (len(batch.ids), batch.ids.numel())
    kept = zip(batch.ids, batch.whole, batch.hidden, batch.mask, strict=True)
    found = [(ids[mask].tolist(), whole[mask].tolist(), hidden[mask].tolist()) for ids, whole, hidden, mask in kept]
    for ids, whole, hidden in found:
        assert (ids[0], ids[-1], whole[0], whole[-1]) == (BOS_ID, EOS_ID, BOS_ID, EOS_ID)
        assert not hidden[0]
        assert not hidden[-1]
        assert all(one == other for one, other, told in zip(ids, whole, hidden, strict=True) if not told)
        assert sum(hidden) == max(1, round(0.3 * (len(ids) - 2)))
    return found


def test_an_epoch_holds_every_token_once() -> None:
    for number in range(3):
        batches = epoch(make(), number)
        windows = [whole[1:-1] for batch in batches for _, whole, _ in rows(batch)]
        assert sorted(token for window in windows for token in window) == text(211)[1:].tolist()
        assert all(window == list(range(window[0], window[0] + len(window))) for window in windows)
        assert all(int(batch.mask.sum()) <= 97 for batch in batches)


def same(one: MaskedBatch, other: MaskedBatch) -> bool:
    pairs = ((one.ids, other.ids), (one.whole, other.whole), (one.hidden, other.hidden), (one.mask, other.mask))
    return all(torch.equal(*pair) for pair in pairs)


def test_any_place_can_be_entered_and_each_epoch_hides_anew() -> None:
    whole = list(islice(make().from_position(), 23))
    for number in (1, 7, 15):
        position, _ = whole[number - 1]
        rest = make().from_position(position)
        assert all(same(batch, again) for (_, batch), (_, again) in zip(whole[number:], rest, strict=False))
    # One window, so that nothing but what is hidden can differ.
    hidden = [str(epoch(make(tokens=CONTEXT), number)[0].hidden.tolist()) for number in range(5)]
    assert len(set(hidden)) > 3
    assert not same(epoch(make(tokens=CONTEXT))[0], epoch(make(tokens=CONTEXT, seed=6))[0])


def test_what_is_hidden_does_not_depend_on_the_size_of_a_batch() -> None:
    def hidden(tokens_per_step: int) -> set[str]:
        return {str(row) for batch in epoch(make(tokens_per_step=tokens_per_step)) for row in rows(batch)}

    assert hidden(15) == hidden(97) == hidden(5000)


@pytest.mark.parametrize("max_tokens", [1, 47, 5000])
def test_evaluation_hides_the_same_each_time(max_tokens: int) -> None:
    batches = list(masked_evaluation_windows(text(71), CONTEXT, max_tokens, HIDING))
    found = [row for batch in batches for row in rows(batch)]
    assert [token for _, whole, _ in found for token in whole[1:-1]] == text(71)[1:].tolist()
    assert all(int(batch.mask.sum()) <= max_tokens or batch.num_rows == 1 for batch in batches)
    (all_at_once,) = masked_evaluation_windows(text(71), CONTEXT, 10_000, HIDING)
    assert found == rows(all_at_once)


def test_a_batch_splits_into_rows_of_their_own_padding() -> None:
    batch = next(batch for batch in epoch(make()) if not batch.mask.all())
    for parts in (1, 2, 3, 50):
        split = batch.split(parts)
        assert len(split) == min(parts, batch.num_rows)
        assert [row for part in split for row in rows(part)] == rows(batch)
        assert all(part.mask.any(dim=0).all() for part in split)
    moved = batch.to("cpu")
    assert same(moved, batch)
    assert moved.num_target_tokens == batch.num_target_tokens


def test_a_text_without_a_token_and_settings_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="no token to predict"):
        make(tokens=0)
    with pytest.raises(ConfigError, match="tokens_per_step"):
        make(tokens_per_step=0)
