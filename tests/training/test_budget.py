"""What memory there is, and the largest step that fits into it."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from attento.data.pairs.batching import Batch
from attento.errors import TrainingError
from attento.training import budget
from attento.training.budget import TakenMemory, free_memory, largest_step
from attento.training.tasks.translation import count_longer, longest_batch

CPU = torch.device("cpu")
MIB = 1 << 20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 7 GiB available and no control group."""
    (tmp_path / "meminfo").write_text("MemTotal: 9437184 kB\nMemFree: 1024 kB\nMemAvailable: 7340032 kB\n")
    monkeypatch.setattr(budget, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(budget, "_OWN_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(budget, "_CGROUPS", tmp_path / "groups")
    return tmp_path


def write_group(folder: Path, inactive: int, **values: int | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\nactive_file 3\n")


def test_memory_without_control_groups_is_what_the_machine_has(system: Path) -> None:
    assert free_memory(CPU) == 7 << 30


def test_memory_is_unknown_where_the_system_does_not_tell(system: Path) -> None:
    (system / "meminfo").unlink()
    assert free_memory(CPU) is None


@pytest.mark.parametrize("place", ["groups/a/b", "groups/a", "groups"])
def test_a_control_group_around_the_process_limits_it(system: Path, place: str) -> None:
    (system / "cgroup").write_text("0::/a/b\n")
    write_group(system / place, 17 * MIB, memory__max=1009 * MIB, memory__current=503 * MIB)
    # Cached files give way.
    assert free_memory(CPU) == (1009 - 503 + 17) * MIB


def test_the_tightest_group_counts_and_the_machine_too(system: Path) -> None:
    (system / "cgroup").write_text("0::/a/b\n")
    write_group(system / "groups/a", 0, memory__max=1009 * MIB, memory__current=503 * MIB)
    write_group(system / "groups/a/b", 0, memory__max=907 * MIB, memory__current=499 * MIB)
    assert free_memory(CPU) == 408 * MIB
    write_group(system / "groups/a/b", 0, memory__max=1 << 50, memory__current=0)
    write_group(system / "groups/a", 0, memory__max="max", memory__current=503 * MIB)
    assert free_memory(CPU) == 7 << 30


def test_a_group_of_the_first_version_limits_too(system: Path) -> None:
    (system / "cgroup").write_text("9:cpu,cpuacct:/else\n4:memory:/c\n0::/\n")
    write_group(system / "groups/memory/c", 7 * MIB, memory__limit_in_bytes=251 * MIB, memory__usage_in_bytes=101 * MIB)
    write_group(system / "groups/cpu/else", 0, memory__max=3, memory__current=1)
    assert free_memory(CPU) == (251 - 101 + 7) * MIB


def test_on_a_gpu_what_torch_holds_in_reserve_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (503, 1009))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 211)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 97)
    assert free_memory(torch.device("cuda")) == 503 + 211 - 97


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what is taken")
def test_memory_that_is_taken_and_given_back_is_seen() -> None:
    memory = TakenMemory(CPU)
    kept: list[torch.Tensor] = []

    def take(size: int) -> None:
        kept.append(torch.ones(3 * MIB, dtype=torch.uint8))
        torch.ones(size, dtype=torch.uint8)

    assert 79 * MIB < memory.peak_of(partial(take, 97 * MIB)) < 149 * MIB
    # The peak before is forgotten.
    assert 5 * MIB < memory.peak_of(partial(take, 17 * MIB)) < 61 * MIB
    assert memory.held() < 31 * MIB


def test_a_system_that_does_not_tell_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(budget, "_STATUS", tmp_path / "missing")
    with pytest.raises(TrainingError, match=r"does not tell how much memory.*`training\.tokens_per_step` as a number"):
        TakenMemory(CPU)
    with pytest.raises(TrainingError, match="does not tell how much memory"):
        largest_step(FakeTrainer, CPU, partial(longest_batch, (3, 5)), free=None)


def test_the_longest_batch_is_full_of_tokens() -> None:
    batch = longest_batch((7, 5), 3)
    assert (batch.source.shape, batch.target_input.shape) == ((3, 8), (3, 6))
    assert (batch.num_source_tokens, batch.num_target_tokens) == (24, 18)
    assert batch.source_mask.all()


class FakeTrainer:
    """Takes `by_token` bytes for each token beside `static` ones, and says so when it steps."""

    by_token, static, chunk, fits = 1000, 50_000, 11, 10**9
    taken = 0

    def __init__(self) -> None:
        self.config = SimpleNamespace(loss_chunk_tokens=self.chunk)
        self.state = SimpleNamespace(parts=1)

    def step(self, batch: Batch, say: Callable[[str], None]) -> None:
        tokens = batch.num_source_tokens + batch.num_target_tokens
        if tokens > self.fits:
            self.state.parts = 2
        # Of the logits, a chunk is the most that is there.
        logits = 700 * min(batch.num_target_tokens, self.chunk)
        FakeTrainer.taken = self.static + self.by_token * tokens + logits


class FakeMemory:
    def __init__(self, device: torch.device) -> None: ...

    def held(self) -> int:
        return 43_000

    def peak_of(self, action: Callable[[], object]) -> int:
        action()
        return FakeTrainer.taken


def find(monkeypatch: pytest.MonkeyPatch, free: int, **changes: Any) -> int:
    monkeypatch.setattr(budget, "TakenMemory", FakeMemory)
    trainer: Any = type("Changed", (FakeTrainer,), changes)
    return largest_step(trainer, CPU, partial(longest_batch, (9, 6)), free)


@pytest.mark.parametrize(("limit", "expected"), [(1_234_567, 1100), (9_876_543, 9800), (512_345, 450)])
def test_the_largest_step_is_where_the_line_meets_the_limit(
    monkeypatch: pytest.MonkeyPatch, limit: int, expected: int
) -> None:
    # (limit - static - logits of a chunk) / bytes a token, rounded down to two digits.
    assert int(f"{(limit - 50_000 - 7700) // 1000:.0f}"[:2]) == expected // 10 ** (len(str(expected)) - 2)
    assert find(monkeypatch, round(limit / 0.8)) == expected


def test_no_more_than_the_papers_step_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, 1 << 40) == 25_000


def test_no_step_is_tried_that_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Watched(FakeTrainer):
        def step(self, batch: Batch, say: Callable[[str], None]) -> None:
            super().step(batch, say)
            seen.append(FakeTrainer.taken)

    monkeypatch.setattr(budget, "TakenMemory", FakeMemory)
    trainer: Any = Watched
    for free in range(90_000, 400_000, 7_919):
        seen.clear()
        found = largest_step(trainer, CPU, partial(longest_batch, (9, 6)), free)
        assert max(seen) <= 0.8 * free
        assert found >= 17


def test_memory_that_runs_out_early_ends_the_search_with_what_did_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    # 17 tokens fit; the next try, of 51, is computed in two parts.
    assert find(monkeypatch, 10**6, fits=40) == 25


def test_not_even_one_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    for changes in ({"fits": 16}, {"static": 10**7}):
        with pytest.raises(
            TrainingError, match=r"one pair of the longest sentences \(17 tokens\) fits in the 0\.0 GiB"
        ):
            find(monkeypatch, 10**6, **changes)


def test_longer_pairs_are_counted_in_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attento.training.tasks.translation.POOL_PAIRS", 3)
    lengths = np.array([[1, 9, 4, 4, 8, 2, 5], [2, 9, 4, 5, 1, 2, 6]], dtype=np.int32)

    class Pairs:
        def __len__(self) -> int:
            return 7

        def corpus_sizes(self) -> list[int]:
            return [7]

        def take(self, indices: Any) -> list[Any]:
            return []

        def lengths(self, start: int, stop: int) -> tuple[Any, Any]:
            assert stop - start <= 3
            return lengths[0, start:stop], lengths[1, start:stop]

    pairs: Any = Pairs()
    # With an end each: 5, 20, 10, 11, 11, 6, 13.
    assert [count_longer(pairs, tokens) for tokens in (4, 10, 11, 19, 20)] == [7, 4, 2, 1, 0]
