"""Batching against a fake corpus in memory: contents, order, budget, weights, resuming and padding."""

import tracemalloc
from collections import Counter
from collections.abc import Sequence
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attento.data.batches import Position, inference_batches
from attento.data.pairs.batching import BLOCK_PAIRS, Batch, Pair, TokenBatches, make_batch
from attento.errors import ConfigError, DataError


class FakePairs:
    """Pairs in memory; the first piece of a source and of a target is 100 plus the index of the pair."""

    def __init__(self, source: Sequence[int], target: Sequence[int], sizes: list[int] | None = None) -> None:
        self._lengths = np.array(source, np.int32), np.array(target, np.int32)
        self._sizes = [len(source)] * bool(source) if sizes is None else sizes

    def __len__(self) -> int:
        return sum(self._sizes)

    def corpus_sizes(self) -> list[int]:
        return self._sizes

    def lengths(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        assert 0 <= start < stop <= len(self)
        source, target = self._lengths
        return source[start:stop], target[start:stop]

    def take(self, indices: np.ndarray) -> list[Pair]:
        source, target = self._lengths
        return [(np.full(source[i], 100 + i, np.int32), np.full(target[i], 100 + i, np.int32)) for i in indices]


def random_pairs(count: int, mean: float = 13, deviation: float = 4, seed: int = 5) -> FakePairs:
    random = np.random.default_rng(seed)
    source = np.clip(random.normal(mean, deviation, count).round(), 1, None).astype(int)
    target = np.clip((source + random.normal(0, 2, count)).round(), 1, None).astype(int)
    return FakePairs(source.tolist(), target.tolist())


def epoch_of(batches: TokenBatches, epoch: int) -> list[Batch]:
    result = []
    for position, batch in batches.from_position(Position(epoch)):
        result.append(batch)
        if position.epoch != epoch:
            return result
    raise AssertionError("the batches ended")


def pairs_in(batch: Batch) -> list[int]:
    return (batch.source[:, 0] - 100).tolist()


def same(first: Batch, second: Batch) -> bool:
    return torch.equal(first.source, second.source) and torch.equal(first.target_output, second.target_output)


def test_make_batch_by_hand() -> None:
    batch = make_batch(
        [
            (np.array([7, 8, 9], np.int32), np.array([5], np.int32)),
            (np.array([4], np.int32), np.array([6, 7], np.int32)),
        ]
    )
    assert batch.source.tolist() == [[7, 8, 9, 3], [4, 3, 0, 0]]
    assert batch.source_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.target_input.tolist() == [[2, 5, 0], [2, 6, 7]]
    assert batch.target_output.tolist() == [[5, 3, 0], [6, 7, 3]]
    assert batch.target_mask.tolist() == [[True, True, False], [True] * 3]
    assert (batch.num_source_tokens, batch.num_target_tokens) == (6, 5)
    assert batch.source.dtype == torch.int64


def test_a_sentence_without_pieces_is_eos_alone() -> None:
    batch = make_batch([(np.array([], np.int32), np.array([], np.int32))])
    assert batch.source.tolist() == batch.target_output.tolist() == [[3]]
    assert batch.target_input.tolist() == [[2]]


def test_to_device_moves_every_tensor() -> None:
    batch = make_batch([(np.array([7], np.int32), np.array([5], np.int32))]).to("meta")
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 5


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 11])
def test_split_equals_batching_the_rows_apart(parts: int) -> None:
    pairs = FakePairs([5, 2, 11, 3, 3, 7, 1], [4, 9, 1, 2, 8, 6, 3]).take(np.arange(7))
    pieces = make_batch(pairs).split(parts)
    sizes = [len(piece.source) for piece in pieces]
    assert sum(sizes) == 7 and len(pieces) == min(parts, 7) and max(sizes) - min(sizes) <= 1
    for piece, stop in zip(pieces, np.cumsum(sizes), strict=True):
        expected = make_batch(pairs[stop - len(piece.source) : stop])
        for name, value in vars(expected).items():
            assert torch.equal(torch.as_tensor(getattr(piece, name)), torch.as_tensor(value)), name


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60),
    budget=st.integers(1, 150),
    pool_size=st.integers(1, 70),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 9),
)
def test_every_pair_once_and_no_budget_broken(
    lengths: list[tuple[int, int]], budget: int, pool_size: int, seed: int, epoch: int
) -> None:
    # One piece more each, so that every row names its pair.
    pairs = FakePairs([source + 1 for source, _ in lengths], [target + 1 for _, target in lengths])
    batches = epoch_of(TokenBatches(pairs, budget, seed, pool_size=pool_size), epoch)
    assert sorted(index for batch in batches for index in pairs_in(batch)) == list(range(len(lengths)))
    for batch in batches:
        assert batch.num_source_tokens + batch.num_target_tokens <= budget or len(batch.source) == 1
        assert batch.num_source_tokens == sum(lengths[index][0] + 2 for index in pairs_in(batch))


def test_order_is_a_pure_function_of_seed_and_epoch() -> None:
    pairs = random_pairs(211)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [pairs_in(batch) for batch in epoch_of(TokenBatches(pairs, 307, seed, pool_size=101), epoch)]

    assert order(3, 1) == order(3, 1)
    assert len({str(order(seed, epoch)) for seed in (3, 4) for epoch in (0, 1, 2)}) == 6


def test_pairs_of_equal_length_are_mixed_anew_each_epoch() -> None:
    batches = TokenBatches(FakePairs([4] * 60, [4] * 60), 100, seed=1)
    groups = [{frozenset(pairs_in(batch)) for batch in epoch_of(batches, epoch)} for epoch in (0, 1)]
    assert all(len(group) == 6 for group in groups) and not groups[0] & groups[1]


def test_long_and_short_batches_come_mixed() -> None:
    totals = [batch.source.shape[1] for batch in epoch_of(TokenBatches(random_pairs(2003), 499, seed=1), 0)]
    rising = sum(first < second for first, second in pairwise(totals))
    assert 0.3 < rising / len(totals) < 0.7


def test_going_on_from_each_position_gives_the_same_batches() -> None:
    batches = TokenBatches(random_pairs(97), 211, seed=2, pool_size=41)
    straight = list(islice(batches.from_position(), 40))
    assert straight[-1][0].epoch >= 2
    for number, (position, _) in enumerate(straight[:-3]):
        again = list(islice(batches.from_position(position), 3))
        expected = straight[number + 1 : number + 4]
        assert [after for after, _ in again] == [after for after, _ in expected]
        assert all(same(one, other) for (_, one), (_, other) in zip(again, expected, strict=True))


def test_position_after_the_last_batch_is_the_next_pool_or_epoch() -> None:
    batches = TokenBatches(FakePairs([4] * 3, [4] * 3), 10, seed=0, pool_size=2)
    assert [position for position, _ in islice(batches.from_position(), 4)] == [
        Position(0, 1, 0),
        Position(0, 1, 1),
        Position(1, 0, 0),
        Position(1, 1, 0),
    ]
    assert next(batches.from_position(Position(0, 1, 1)))[0] == Position(1)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (Position(5, 1, 2), "batch 2 of pool 1 of epoch 5, which has 2 batches"),
        (Position(5, 2, 0), "pool 2 of epoch 5, which has 2 pools"),
    ],
)
def test_position_beyond_the_end_is_refused(position: Position, message: str) -> None:
    batches = TokenBatches(FakePairs([4] * 3, [4] * 3), 10, seed=0, pool_size=2)
    with pytest.raises(DataError, match=message):
        next(batches.from_position(position))


class EndlessPairs:
    """A thousand million pairs that nobody could hold; counts the pairs whose lengths were asked for."""

    SIZE = 1_000_000_007

    def __init__(self) -> None:
        self.seen = 0

    def __len__(self) -> int:
        return self.SIZE

    def corpus_sizes(self) -> list[int]:
        return [self.SIZE]

    def lengths(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        assert 0 <= start < stop <= self.SIZE
        self.seen += stop - start
        numbers = np.arange(start, stop)
        return (numbers % 13 + 1).astype(np.int32), (numbers % 11 + 1).astype(np.int32)

    def take(self, indices: np.ndarray) -> list[Pair]:
        return [(np.full(i % 13 + 1, 7, np.int32), np.full(i % 11 + 1, 7, np.int32)) for i in indices.tolist()]


@pytest.mark.parametrize("position", [Position(), Position(3, 71_003, 29)])
def test_starting_and_resuming_look_at_one_pool_only(position: Position) -> None:
    pairs = EndlessPairs()
    batches = TokenBatches(pairs, 499, seed=2, weights=[1.5], pool_size=9001)
    tracemalloc.start()
    try:
        after, batch = next(batches.from_position(position))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert after == Position(position.epoch, position.pool, position.index + 1)
    assert 400 < batch.num_source_tokens + batch.num_target_tokens <= 499
    # The blocks that a pool of 9,001 pairs is made of, some of them half used.
    assert pairs.seen <= 9001 * 2 + 2 * BLOCK_PAIRS
    # The blocks of the epoch, 366,000 of them, and nothing for each pair.
    assert peak < len(pairs) // 10


def test_a_pool_is_made_of_few_blocks() -> None:
    pairs = FakePairs([3] * 50_021, [3] * 50_021)
    batches = TokenBatches(pairs, 80, seed=2, pool_size=10_007)
    pool = [
        index
        for position, batch in islice(batches.from_position(Position(0, 1)), 1001)
        if position == Position(0, 2) or position.pool == 1
        for index in pairs_in(batch)
    ]
    assert 9000 < len(pool) <= 10_007
    assert len({index // BLOCK_PAIRS for index in pool}) <= 5
    assert max(pool) - min(pool) > len(pool)  # they do not stand side by side


def test_weights_pass_and_sample_corpora() -> None:
    pairs = FakePairs([3] * 75, [3] * 75, [20, 40, 10, 5])
    batches = TokenBatches(pairs, 80, seed=9, weights=[2.5, 0.25, 1.0, 0.0], pool_size=31)
    counts = [Counter(i for batch in epoch_of(batches, epoch) for i in pairs_in(batch)) for epoch in (0, 1)]
    for count in counts:
        assert sorted(count[i] for i in range(20)) == [2] * 10 + [3] * 10
        assert sorted(count[i] for i in range(20, 60)) == [0] * 30 + [1] * 10
        assert [count[i] for i in range(60, 75)] == [1] * 10 + [0] * 5
    assert counts[0] != counts[1]


def test_a_fraction_is_drawn_from_all_blocks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attento.data.pairs.batching.BLOCK_PAIRS", 7)
    # The last block has two pairs; of all 23, five are drawn.
    batches = TokenBatches(FakePairs([3] * 23, [3] * 23), 80, seed=4, weights=[5 / 23], pool_size=3)
    count = Counter[int]()
    for epoch in range(2003):
        drawn = [i for batch in epoch_of(batches, epoch) for i in pairs_in(batch)]
        assert len(drawn) == len(set(drawn)) == 5
        count.update(drawn)
    # Binomial with n = 2003 and p = 5/23: mean 435.4, standard deviation 18.5; the bounds are four of them away.
    assert min(count[i] for i in range(23)) > 361
    assert max(count.values()) < 510


def test_a_weight_may_belong_to_a_corpus_of_which_nothing_is_left() -> None:
    batches = TokenBatches(FakePairs([3, 3], [3, 3], [0, 2]), 80, seed=9, weights=[3.0, 1.0, 2.0])
    assert sorted(pairs_in(epoch_of(batches, 0)[0])) == [0, 1]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "got 1 for 2 corpora"),
        ([1.0, -0.5], "but got -0.5"),
        ([1.0, float("nan")], "but got nan"),
    ],
)
def test_wrong_weights_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenBatches(FakePairs([3, 3], [3, 3], [1, 1]), 80, seed=9, weights=weights)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="no sentence pair"):
        TokenBatches(FakePairs([3, 3], [3, 3]), 80, seed=9, weights=[0.0])
    with pytest.raises(DataError, match="no sentence pair"):
        TokenBatches(FakePairs([], []), 80, seed=9)
    with pytest.raises(ConfigError, match="tokens_per_step"):
        TokenBatches(FakePairs([3], [3]), 0, seed=9)


@pytest.mark.parametrize(("budget", "padding"), [(4096, 0.03), (25_000, 0.09)])
def test_batches_are_full_and_little_padded(budget: int, padding: float) -> None:
    batches = epoch_of(TokenBatches(random_pairs(29_000), budget, seed=1), 0)
    tokens = [batch.num_source_tokens + batch.num_target_tokens for batch in batches]
    area = sum(batch.source.numel() + batch.target_output.numel() for batch in batches)
    assert np.mean(tokens) / budget > 0.97
    assert min(tokens) / budget > 0.85
    assert 1 - sum(tokens) / area < padding


@given(lengths=st.lists(st.integers(0, 40)), max_tokens=st.integers(1, 120))
def test_inference_batches_are_whole_sorted_and_bounded(lengths: list[int], max_tokens: int) -> None:
    batches = inference_batches(lengths, max_tokens)
    flat = [index for batch in batches for index in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[index] for index in flat] == sorted(lengths, reverse=True)
    assert all(len(batch) * lengths[batch[0]] <= max_tokens or len(batch) == 1 for batch in batches)


def test_inference_batches_by_hand() -> None:
    assert inference_batches([2, 9, 4, 4, 1], 8) == [[1], [2, 3], [0, 4]]
    assert inference_batches([], 8) == []
