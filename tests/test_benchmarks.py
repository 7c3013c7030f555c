"""The parts of the training benchmark that need no peer: counts, tables, and the talk with a worker."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)

    def load(name: str) -> ModuleType:
        return __import__(name)

    return load


class TestTrainingFlops:
    @pytest.mark.parametrize(("source", "target"), [(7, 1), (5, 11)])
    def test_counts_what_torch_counts(self, benchmark_module: Any, source: int, target: int) -> None:
        cost = benchmark_module("training_cost")
        vocab_size, d_model, encoder_layers, decoder_layers = 17, 6, 2, 3
        shape = cost.Shape(encoder_layers, decoder_layers, d_model, d_ff=13, num_heads=2)
        model = nn.Transformer(d_model, 2, encoder_layers, decoder_layers, 13, dropout=0.0, batch_first=True)
        embeddings = [torch.randn(1, length, d_model, requires_grad=True) for length in (source, target)]
        output = nn.Linear(d_model, vocab_size, bias=False)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            output(model(*embeddings)).sum().backward()
        # torch multiplies what comes after a target token too: two products of d_model each, thrice two operations.
        hidden = target * (target - 1) // 2
        assert (
            cost.training_flops(shape, vocab_size, [(source, target)])
            == counter.get_total_flops() - 3 * 2 * 2 * d_model * hidden * decoder_layers
        )

    def test_sentences_add_up(self, benchmark_module: Any) -> None:
        cost = benchmark_module("training_cost")
        shape = cost.Shape(encoder_layers=2, decoder_layers=3, d_model=4, d_ff=5, num_heads=2)
        pairs = [(3, 7), (11, 2)]
        assert cost.training_flops(shape, 13, pairs) == sum(cost.training_flops(shape, 13, [pair]) for pair in pairs)


class TestSpread:
    def test_tells_the_middle_and_both_ends(self, benchmark_module: Any) -> None:
        cost = benchmark_module("training_cost")
        assert cost.spread([5.0, 1.0, 2.0]) == {"median": 2.0, "least": 1.0, "most": 5.0, "timed": 3}

    def test_ratios_are_of_the_best_in_each_round(self, benchmark_module: Any) -> None:
        cost = benchmark_module("training_cost")
        ours, theirs = [[2.0, 9.0], [6.0, 3.0]], [[1.0, 3.0], [2.0, 2.0]]
        assert cost.round_ratios(ours, theirs) == [3.0, 3.0]


def _result() -> dict[str, Any]:
    rate = {"median": 12345.0, "least": 11000.0, "most": 13000.0, "timed": 3}
    ahead = {"median": 2.5, "least": 2.25, "most": 3.0, "timed": 3}
    row = {"versions": {"torch": "2.13.0", "attento": "0.1.0"}, "tokens_per_second": rate, "share_of_ceiling": 0.517}
    shape = {
        "shape": {"encoder_layers": 3, "decoder_layers": 2, "d_model": 256, "d_ff": 1024, "num_heads": 4},
        "flops_per_token": 25e6,
        "ceiling_flops": {"fp32": {"large": 150e9, "model": 125e9}},
        "floor_tokens_per_second": {"fp32": 6000.0},
        "systems": [row | {"name": "Other", "precision": "fp32", "attento_ahead": ahead}],
        "best_peer": ["Other", "fp32"],
        "ahead_of_best_peer_each_round": ahead,
        "absent": [{"name": "Third", "reason": "does not install: no wheel"}],
    }
    return {
        "threads": 2,
        "busy_cores": 0.04,
        "batches": {"tokens_each": 7009.5, "padding": 0.055},
        "settings": {"rounds": 5, "steps": 2, "tuned": {"MALLOC_MMAP_MAX_": "0"}},
        "shapes": {"tiny": shape},
    }


class TestTable:
    def test_has_a_row_for_what_ran_and_for_what_did_not(self, benchmark_module: Any) -> None:
        lines = benchmark_module("training_table").table(_result())
        assert "| Other | fp32 | 12,345 | 11,000 | 13,000 | 2.50x (2.25-3.00) | 52% |" in lines
        assert "| Third | - | does not install: no wheel | | | | |" in lines
        assert "## tiny: 3+2 layers, d 256, FFN 1024, 4 heads" in lines
        assert lines[-1] == "Versions: torch 2.13.0."

    def test_every_row_is_as_wide_as_its_head(self, benchmark_module: Any) -> None:
        rows = [line for line in benchmark_module("training_table").table(_result()) if line.startswith("|")]
        assert {row.count("|") for row in rows} == {8}


_SCRIPT = """
import os, sys
from worker import Step, Task, serve

class Fake:
    packages = ("numpy",)

    def __init__(self, task):
        print("noise on stdout")
        if task.threads == 0:
            raise ValueError("no threads")
        self.parameters = task.d_model

    def run(self, precision, first, steps):
        if precision == "die":
            print("last words", file=sys.stderr, flush=True)
            os._exit(3)
        return [Step(0.5, first, steps, 1.0)] * steps

serve(Fake)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="stops processes by POSIX signals")
class TestWorker:
    @pytest.fixture
    def start(self, benchmark_module: Any, tmp_path: Path) -> Any:
        peers = benchmark_module("peers")
        script = tmp_path / "fake.py"
        script.write_text(_SCRIPT, encoding="utf-8")

        def start(threads: int = 1) -> Any:
            task = dict.fromkeys(("encoder_layers", "decoder_layers", "d_ff", "num_heads", "vocab_size"), 1)
            task |= dict.fromkeys(("pad_id", "bos_id", "eos_id", "tokens_per_step", "beta1", "beta2", "epsilon"), 1)
            task |= dict.fromkeys(("dropout", "label_smoothing", "clip_norm", "learning_rate"), 1)
            given = task | {"d_model": 41, "threads": threads, "precisions": [], "batches": "", "corpus": ""}
            environment = {"PYTHONPATH": str(BENCHMARKS / "peer_scripts")}
            path = Path(sys.executable)
            return peers.Worker(path, script, given | {"folder": str(tmp_path / "worker")}, environment, limit=300)

        return start

    def test_answers_and_is_stopped_between_commands(self, start: Any) -> None:
        worker = start()
        try:
            assert worker.facts["parameters"] == 41
            answer = worker.ask({"precision": "fp32", "first": 7, "steps": 2})
            assert answer == {"steps": 2 * [{"seconds": 0.5, "source_tokens": 7, "target_tokens": 2, "loss": 1.0}]}
            assert len(worker.ask({"precision": "fp32", "first": 9, "steps": 1})["steps"]) == 1
        finally:
            worker.close()

    def test_a_failure_is_told_with_its_reason(self, start: Any, benchmark_module: Any) -> None:
        with pytest.raises(benchmark_module("peers").PeerError, match=r"^does not run: ValueError: no threads$"):
            start(threads=0)

    def test_a_sudden_end_is_told_with_the_last_words(self, start: Any, benchmark_module: Any) -> None:
        worker = start()
        with pytest.raises(benchmark_module("peers").PeerError, match=r"code 3 .* last words"):
            worker.ask({"precision": "die", "first": 0, "steps": 1})
        worker.close()


class TestInstalling:
    def test_the_reason_of_pip_is_told(
        self, benchmark_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        peers = benchmark_module("peers")
        python = tmp_path / "python"
        python.write_text("#!/bin/sh\necho 'ERROR: no wheel for you' >&2\nexit 1\n", encoding="utf-8")
        python.chmod(0o755)
        monkeypatch.setattr(peers, "VENVS", tmp_path)
        (tmp_path / "plots").mkdir()
        monkeypatch.setattr(peers.venv, "create", lambda folder, **_: None)
        monkeypatch.setattr(peers, "_python", lambda folder: python)
        with pytest.raises(peers.PeerError, match=r"^does not install: no wheel for you$"):
            peers.peer_python("plots")
