"""Several processes do what one would, decide alike, go on from each other's checkpoints, and end together."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed import TCPStore

from attento.config import check_settings
from attento.data.pairs.batching import make_batch
from attento.data.pairs.prepare import prepare
from attento.errors import ConfigError, TrainingError
from attento.training.config import RecipeConfig
from attento.training.parallel.alone import Alone, join
from attento.training.records.checkpoint import CheckpointStore
from attento.training.run import load_recipe, train

WriteRecipe = Callable[..., Path]

# Adam divides by the gradient's size: with an epsilon this large, rounding stays as small as it is.
CALM = ("model.dropout=0", "training.optimizer.epsilon=1e-3")
NARROW = ("training.tokens_per_step=11", "training.accumulation=2", "training.activation_checkpointing=true")
FSDP, BF16 = "training.parallel=fsdp", "training.precision=bf16"

# Each process trains one run after the other; what shall go wrong in a run goes wrong in rank 1.
CHILD = """
import json, os, signal, sys, time
from pathlib import Path
import torch
from attento.errors import AttentoError
from attento.training.loop import Trainer
from attento.training.update.objective import Objective
from attento.training.run import load_recipe, train

folder, runs = Path(sys.argv[1]), json.loads(sys.argv[2])
rank = os.environ["RANK"]
forward, gradients = Objective.forward, Trainer._gradients

def go(overrides, output, trouble=None, step=0):
    def troubled_forward(self, batch):
        if trouble == "memory" and rank == "1" and len(batch.source) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, batch) * (float("nan") if trouble == "nan" and at[0] == step and rank == "1" else 1.0)

    def troubled_gradients(self, batch, say):
        at[0] = self.state.step + 1
        if at[0] == step and rank == "1":
            if trouble == "stop":
                os.kill(os.getpid(), signal.SIGTERM)
            if trouble == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if trouble == "hang":
                time.sleep(600)
        return gradients(self, batch, say)

    at = [0]
    Objective.forward, Trainer._gradients = troubled_forward, troubled_gradients
    if trouble == "settings" and rank == "1":
        overrides = [*overrides, "training.seed=5"]
    recipe = load_recipe(folder / "recipe.yaml", folder, overrides, folder / "prepared")
    said = []
    try:
        ended = str(train(recipe, folder / output, said.append))
    except (AttentoError, SystemExit) as problem:
        if trouble != "settings":
            raise
        ended = f"{type(problem).__name__}: {problem}"
    (folder / f"{output}.{rank}.json").write_text(json.dumps([ended, said]))

for run in runs:
    go(**run)
"""


def torchrun(folder: Path, *runs: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Train runs in two processes."""
    script = folder / "child.py"
    script.write_text(CHILD)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, str(script), str(folder), json.dumps(runs)], capture_output=True, text=True, timeout=900, check=False
    )


def alone(folder: Path, output: str, *overrides: str) -> list[str]:
    said: list[str] = []
    recipe = load_recipe(folder / "recipe.yaml", folder, overrides, folder / "prepared")
    assert train(recipe, folder / output, said.append)
    return said


def ended(folder: Path, output: str) -> list[Any]:
    """Return what each process's `train` came to, and what it said."""
    return [json.loads((folder / f"{output}.{rank}.json").read_text()) for rank in (0, 1)]


def weights(folder: Path, output: str, step: int = 7) -> dict[str, Tensor]:
    return load_file(folder / output / f"checkpoints/step-{step:08d}/model.safetensors")


def losses(folder: Path, output: str) -> list[float]:
    records = [json.loads(line) for line in (folder / output / "metrics.jsonl").read_text().splitlines()]
    names = ("train/loss", "train/gradient_norm", "validation/loss", "final/loss")
    return [record[name] for record in records for name in names if name in record]


def assert_close(folder: Path, output: str, expected: str) -> None:
    found = weights(folder, output)
    for name, tensor in weights(folder, expected).items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=f"{output}: {name}")


def flat(weights: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in weights.values()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_recipe: WriteRecipe) -> Path:
    """A recipe and its text, prepared; and what a process alone makes of it in 7 steps."""
    folder = tmp_path_factory.mktemp("parallel")
    changes = {"max_steps": 7, "checkpoint_every": 3, "validate_every": 7, "report_every": 4}
    recipe = write_recipe(folder, **{f"training__{name}": value for name, value in changes.items()})
    prepare(load_recipe(recipe, folder).config.data, folder, folder / "prepared")
    alone(folder, "one", *CALM)
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """The folder after many runs of two processes each."""
    alone(folder, "one-then-two", *CALM, "training.max_steps=4")
    result = torchrun(
        folder,
        {"overrides": CALM, "output": "ddp"},
        {"overrides": (*CALM, FSDP), "output": "fsdp"},
        {"overrides": (*CALM, *NARROW), "output": "ddp-narrow"},
        {"overrides": (*CALM, *NARROW, FSDP), "output": "fsdp-narrow"},
        {"overrides": (*CALM, BF16), "output": "ddp-bf16"},
        {"overrides": (*CALM, BF16, FSDP), "output": "fsdp-bf16"},
        {"overrides": CALM, "output": "one-then-two"},
        {"overrides": CALM, "output": "two-then-one", "trouble": "stop", "step": 5},
        {"overrides": CALM, "output": "ddp-then-fsdp", "trouble": "stop", "step": 4},
        {"overrides": (*CALM, FSDP), "output": "ddp-then-fsdp"},
        {"overrides": CALM, "output": "ddp-memory", "trouble": "memory"},
        {"overrides": (*CALM, FSDP), "output": "fsdp-memory", "trouble": "memory"},
        {"overrides": CALM, "output": "nan", "trouble": "nan", "step": 5},
        {"overrides": (), "output": "dropout"},
        {"overrides": (), "output": "dropout-cut", "trouble": "stop", "step": 5},
        {"overrides": (), "output": "dropout-cut"},
        {"overrides": (), "output": "settings", "trouble": "settings"},
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_do_what_one_does(trained: Path, kind: str) -> None:
    assert_close(trained, kind, "one")
    assert losses(trained, kind) == pytest.approx(losses(trained, "one"), rel=1e-4)
    assert ended(trained, kind) == [["True", []], ["True", []]]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_process_without_rows_takes_part(trained: Path, kind: str) -> None:
    alone(trained, f"one-narrow-{kind}", *CALM, *NARROW)
    assert_close(trained, f"{kind}-narrow", f"one-narrow-{kind}")


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_in_bfloat16_they_differ_less_from_one_than_one_from_float32(trained: Path, kind: str) -> None:
    alone(trained, f"one-bf16-{kind}", *CALM, BF16)
    found, one, exact = (flat(weights(trained, name)) for name in (f"{kind}-bf16", f"one-bf16-{kind}", "one"))
    assert {each.dtype for each in weights(trained, f"{kind}-bf16").values()} == {torch.float32}
    assert 0 < (found - one).norm() < (one - exact).norm()


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_checkpoints_know_no_kind_of_run(trained: Path, kind: str) -> None:
    files = [trained / name / "checkpoints/step-00000007/training.safetensors" for name in (kind, "one")]
    found, expected = (load_file(file) for file in files)
    # The second process's random stream.
    assert found.keys() - expected.keys() == {"random_state/rank1/cpu"}
    for name in expected.keys() - {"random_state/cpu"}:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-6, msg=name)


def test_a_run_goes_on_in_another_number_of_processes_and_another_kind(trained: Path) -> None:
    assert ended(trained, "two-then-one") == [["False", []], ["False", []]]
    assert (trained / "two-then-one/checkpoints/step-00000005").is_dir()
    said = alone(trained, "two-then-one", *CALM)
    assert said[0] == (
        "the checkpoint is of a run in 2 processes, and this one has 1: the same batches follow, but dropout's random "
        "streams begin anew, from seed, step and rank"
    )
    [[_, (first, *_)], [_, second]] = ended(trained, "one-then-two")
    assert first.startswith("the checkpoint is of a run in 1 processes, and this one has 2")
    assert second == []
    for name in ("two-then-one", "one-then-two", "ddp-then-fsdp"):
        assert_close(trained, name, "one")
    assert ended(trained, "ddp-then-fsdp") == [["True", ["going on from step 4"]], ["True", []]]


def test_in_as_many_processes_dropout_goes_on_bit_for_bit(trained: Path) -> None:
    assert ended(trained, "dropout-cut") == [["True", ["going on from step 5"]], ["True", []]]
    found, expected = weights(trained, "dropout-cut"), weights(trained, "dropout")
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    streams = load_file(trained / "dropout/checkpoints/step-00000007/training.safetensors")
    assert not torch.equal(streams["random_state/cpu"], streams["random_state/rank1/cpu"])


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_where_memory_runs_out_in_one_all_compute_in_parts(trained: Path, kind: str) -> None:
    assert_close(trained, f"{kind}-memory", "one")
    snapshot = CheckpointStore(trained / f"{kind}-memory/checkpoints", 9).newest(print)
    assert snapshot is not None and snapshot.progress["parts"] == 4


def test_a_gradient_that_is_not_finite_in_one_is_skipped_by_all(trained: Path) -> None:
    snapshot = CheckpointStore(trained / "nan/checkpoints", 9).newest(print)
    assert snapshot is not None
    assert (snapshot.step, snapshot.progress["bad_steps"]) == (7, 1)
    assert not any(tensor.isnan().any() for tensor in snapshot.model.values())


def test_other_settings_in_one_process_are_told_at_once(trained: Path) -> None:
    (first, _), (second, _) = ended(trained, "settings")
    assert re.fullmatch(
        r"ConfigError: `training\.seed` is 1 for rank 0 \(host .+\) and 5 for rank 1 \(host .+\); start all processes "
        "with the same command",
        first,
    )
    assert second == "SystemExit: 2"
    assert not (trained / "settings").exists()


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (
            "kill",
            r"died when rank 0 was at step 5, computing the gradient; last seen at step \d, .+\. The run ends; the",
        ),
        ("hang", r"hangs at step 5, computing the gradient \(in `troubled_gradients`, child\.py:\d+\): no process has"),
    ],
    ids=["dies", "hangs"],
)
def test_a_process_that_dies_or_hangs_ends_the_run_and_the_next_start_goes_on(
    folder: Path, trouble: str, told: str
) -> None:
    overrides = (*CALM, "training.hang_timeout_s=8")
    result = torchrun(folder, {"overrides": overrides, "output": trouble, "trouble": trouble, "step": 5})
    assert result.returncode != 0
    lines = re.findall("^error: .+$", result.stderr, re.MULTILINE)
    assert len(lines) == 1, result.stderr
    assert re.match(rf"error: rank 1 of 2 \(host .+, process \d+\) {told}", lines[0])
    assert alone(folder, trouble, *CALM)[-1] == "going on from step 3"
    assert_close(folder, trouble, "one")


def settings(**training: Any) -> RecipeConfig:
    pair = {"source": "a", "target": "b"}
    data = {"source_language": "en", "target_language": "fr", "train": [pair], "validation": pair}
    return check_settings(RecipeConfig, {"data": data, "training": {"device": "cpu"} | training}, origin="a test")


def environment(rank: int, size: int, **others: str) -> dict[str, str]:
    names = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": 0}
    return {name: str(value) for name, value in names.items()} | {"MASTER_ADDR": "localhost"} | others


@pytest.mark.parametrize(
    ("training", "found", "told"),
    [
        ({"parallel": "fsdp"}, {}, "`training.parallel: fsdp` is for several processes; start them by `torchrun"),
        ({"parallel": "ddp"}, {"WORLD_SIZE": "1"}, "`training.parallel: ddp` is for several processes"),
        ({}, {"WORLD_SIZE": "2"}, "RANK is None in the environment, but should be a number; .*torchrun"),
        ({}, environment(0, 2) | {"LOCAL_RANK": "one"}, "LOCAL_RANK is 'one' in the environment"),
    ],
)
def test_what_torchrun_says_and_the_settings_must_fit(
    training: dict[str, Any], found: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        join(settings(**training), found)


@pytest.mark.parametrize(
    ("device", "told"), [("cuda:1", "is one device for 3 processes"), ("cuda", "nproc-per-node 2$")]
)
def test_each_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, device: str, told: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=told):
        join(settings(device=device), environment(0, 3))


def test_without_torchrun_a_process_is_alone() -> None:
    for found in ({}, {"WORLD_SIZE": "1", "RANK": "0"}):
        assert type(join(settings(), found)) is Alone


def test_torchruns_single_thread_gives_way_to_a_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr("attento.training.parallel.ranks.available_cores", lambda: 11)
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    join(settings(), environment(0, 3, OMP_NUM_THREADS="1"))
    join(settings(), environment(0, 13, OMP_NUM_THREADS="1"))
    join(settings(), environment(0, 3, OMP_NUM_THREADS="2"))
    assert taken == [3, 1]


def test_a_process_that_does_not_come_is_named() -> None:
    # What torchrun would have started.
    store = TCPStore("localhost", 0, is_master=True)
    world = join(settings(hang_timeout_s=1), environment(0, 2, MASTER_PORT=str(store.port)))
    with pytest.raises(TrainingError, match=r"rank 0 of 2 \(host .+\) waited for rank 1 for 1 s, in vain"), world:
        raise AssertionError("nobody else is there")


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 11])
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("parts", [1, 2, 13])
def test_shares_are_all_rows_in_as_many_parts_everywhere(rows: int, size: int, parts: int) -> None:
    batch = make_batch([(np.full(row + 1, 5, np.int32), np.full(2 * row + 1, 7, np.int32)) for row in range(rows)])
    shares = [join(settings(), environment(rank, size)).shares(batch, parts) for rank in range(size)]
    assert len({len(each) for each in shares}) == 1
    assert 1 <= len(shares[0]) <= parts
    masks = [share.target_mask for each in shares for share in each if share is not None]
    assert [int(row.sum()) for mask in masks for row in mask] == batch.target_mask.sum(dim=1).tolist()
