"""Pairs of what is left of a window and what was cut out, the same whenever they are made again."""

from itertools import islice

import numpy as np
import pytest
import torch

from attento.data.batches import Position
from attento.data.denoising.batching import DenoisingWindows, evaluation_pairs
from attento.data.denoising.config import DenoisingDataConfig
from attento.data.denoising.spans import Noise
from attento.data.pairs.batching import Batch
from attento.data.stream.config import TextCorpusConfig
from attento.errors import ConfigError, DataError
from attento.text.special import BOS_ID, EOS_ID

CONTEXT, NOISE = 13, Noise(0.3, 2.0)
FIRST_TOKEN = 50
SENTINELS = range(4, FIRST_TOKEN)


def text(tokens: int) -> np.ndarray:
    """Bos, then ids that are all different, so that a token tells its place."""
    return np.concatenate(([BOS_ID], np.arange(FIRST_TOKEN, FIRST_TOKEN + tokens))).astype(np.int32)


def make(tokens: int = 211, tokens_per_step: int = 97, seed: int = 5) -> DenoisingWindows:
    return DenoisingWindows(text(tokens), CONTEXT, tokens_per_step, seed, noise=NOISE, sentinels=SENTINELS)


def epoch(windows: DenoisingWindows, number: int = 0) -> list[Batch]:
    batches = []
    for position, batch in windows.from_position(Position(number)):
        batches.append(batch)
        if position.epoch > number:
            return batches
    raise AssertionError("the batches have no end")


def windows_of(batch: Batch) -> list[list[int]]:
    """Each row put together again, the ends looked at."""
    rows = []
    for number in range(batch.num_rows):
        source = batch.source[number][batch.source_mask[number]].tolist()
        target = batch.target_output[number][batch.target_mask[number]].tolist()
        assert source[-1] == target[-1] == EOS_ID
        spans: dict[int, list[int]] = {}
        for token in target[:-1]:
            if token in SENTINELS:
                spans[token] = span = []
            else:
                span.append(token)
        *_, last = spans
        assert spans.pop(last) == []
        rows.append([each for token in source[:-1] for each in spans.get(token, [token])])
    return rows


def test_an_epoch_holds_every_token_once() -> None:
    for number in range(3):
        batches = epoch(make(), number)
        found = [token for batch in batches for row in windows_of(batch) for token in row]
        assert sorted(found) == text(211)[1:].tolist()
        assert all(batch.num_source_tokens + batch.num_target_tokens <= 97 for batch in batches)
        rows = [row for batch in batches for row in windows_of(batch)]
        assert all(row == list(range(row[0], row[0] + len(row))) for row in rows)


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.source, other.source) and torch.equal(one.target_output, other.target_output)


def test_any_place_can_be_entered_and_each_epoch_cuts_anew() -> None:
    whole = list(islice(make().from_position(), 23))
    for number in (1, 7, 15):
        position, _ = whole[number - 1]
        rest = make().from_position(position)
        assert all(same(batch, again) for (_, batch), (_, again) in zip(whole[number:], rest, strict=False))
    # One window, so that nothing but what is cut out can differ.
    sources = [epoch(make(tokens=CONTEXT), number)[0].source.tolist() for number in range(5)]
    assert len({str(source) for source in sources}) > 3
    assert not same(epoch(make(tokens=CONTEXT))[0], epoch(make(tokens=CONTEXT, seed=6))[0])


def test_what_is_cut_out_does_not_depend_on_the_size_of_a_batch() -> None:
    def cut(tokens_per_step: int) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
        return {
            (tuple(source[mask].tolist()), tuple(target[target != 0].tolist()))
            for batch in epoch(make(tokens_per_step=tokens_per_step))
            for source, mask, target in zip(batch.source, batch.source_mask, batch.target_output, strict=True)
        }

    assert cut(23) == cut(97) == cut(5000)


def test_evaluation_cuts_the_same_each_time() -> None:
    ids = text(71)
    pairs = evaluation_pairs(ids, CONTEXT, NOISE, SENTINELS)
    again = evaluation_pairs(ids, CONTEXT, NOISE, SENTINELS)
    assert [len(pairs), *map(len, pairs[0])] == [6, *NOISE.lengths(CONTEXT)]
    for pair, other in zip(pairs, again, strict=True):
        assert all(np.array_equal(side, same) for side, same in zip(pair, other, strict=True))
    # The same windows of another text, cut at the same places.
    shifted = evaluation_pairs(np.where(ids >= FIRST_TOKEN, ids + 100, ids), CONTEXT, NOISE, SENTINELS)
    assert np.array_equal(np.where(pairs[2][0] >= FIRST_TOKEN, pairs[2][0] + 100, pairs[2][0]), shifted[2][0])


def test_a_text_without_a_token_and_settings_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="no token to predict"):
        make(tokens=0)
    with pytest.raises(ConfigError, match="tokens_per_step"):
        make(tokens_per_step=0)


@pytest.mark.parametrize(("context", "count"), [(256, 14), (512, 27), (3, 2)])
def test_the_vocabulary_holds_as_many_sentinels_as_a_window_can_need(context: int, count: int) -> None:
    corpus = TextCorpusConfig(text="text")
    config = DenoisingDataConfig(language="en", train=(corpus,), validation=corpus, context=context)
    assert config.special_pieces == tuple(f"<extra_id_{number}>" for number in range(count))
    assert config.noise == Noise(0.15, 3.0)
