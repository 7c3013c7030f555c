"""Compiling changes how fast the model computes, and nothing else; what cannot be compiled is told with the mend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attento.config import check_settings
from attento.errors import ConfigError, TrainingError
from attento.training.config import TrainingConfig
from attento.training.update import compilation
from attento.training.update.compilation import CACHE_VARIABLE, cache_folder, compiled

# In a process without the checker of shapes, which the compiler would look into; all of torch's compiler but for the
# making of machine code.
CHILD = """
import numpy as np
import torch

from attento.data.pairs.batching import make_batch
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.training.tasks.translation import TranslationObjective
from attento.training.update import compilation

compilation.BACKEND = "aot_eager"
generator = np.random.default_rng(3)


def draw_batch(lengths):
    return make_batch([tuple(generator.integers(4, 23, n).astype(np.int32) for n in pair) for pair in lengths])


def gradients(objective, batch):
    objective.zero_grad()
    loss = objective(batch)
    loss.backward()
    return loss.detach(), {name: each.grad.clone() for name, each in objective.named_parameters()}


torch.manual_seed(1)
shape = TransformerConfig(encoder_layers=1, decoder_layers=1, d_model=14, d_ff=17, num_heads=2, dropout=0.0)
objective = TranslationObjective(build_translation_model(shape, 23, 23).train(), 0.1, 5)
batches = [draw_batch([(7, 11), (5, 3), (13, 2)]), draw_batch([(4, 9), (6, 5)])]
plain = [gradients(objective, batch) for batch in batches]
objective.features = compilation.compiled(objective.features)
for batch, (loss, expected) in zip(batches, plain):
    found_loss, found = gradients(objective, batch)
    torch.testing.assert_close(found_loss, loss)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)

from torch._dynamo.utils import counters

assert counters["stats"]["unique_graphs"] > 0, counters
print(int(counters["stats"]["unique_graphs"]), sum(counters["graph_break"].values()))
"""


def run_child(text: str, cache: Path) -> str:
    source = str(Path(compilation.__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": source, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    environment.pop(CACHE_VARIABLE, None)
    child = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=500)
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_losses_and_gradients_stay_as_they_are(tmp_path: Path) -> None:
    graphs, breaks = map(int, run_child(CHILD, tmp_path).split())
    # One graph for all shapes, and nothing of the model outside of it.
    assert (graphs, breaks) == (1, 0)
    assert (tmp_path / "attento" / "compiled").is_dir()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Set first, so that it is put back at the end whatever is done to it.
    monkeypatch.setenv(CACHE_VARIABLE, "")
    monkeypatch.delenv(CACHE_VARIABLE)
    # The real one takes seconds to import.
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    return monkeypatch


def test_what_is_compiled_is_kept_in_the_users_cache(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiled(torch.sin)
    kept = tmp_path / "cache" / "attento" / "compiled"
    assert kept.is_dir()
    assert os.environ[CACHE_VARIABLE] == str(kept)


def test_without_a_name_the_cache_is_in_the_home_folder(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("XDG_CACHE_HOME")
    environment.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "attento" / "compiled"


def test_a_folder_that_the_user_names_goes_first(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv(CACHE_VARIABLE, str(tmp_path / "mine"))
    compiled(torch.sin)
    assert os.environ[CACHE_VARIABLE] == str(tmp_path / "mine")
    assert not (tmp_path / "cache").exists()


def test_a_place_that_cannot_be_written_is_told_with_the_mend(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(ConfigError) as caught:
        compiled(torch.sin)
    for part in (str(tmp_path / "cache"), CACHE_VARIABLE, "`training.compile: false`"):
        assert part in str(caught.value)
    assert CACHE_VARIABLE not in os.environ


def test_a_failure_of_the_compiler_names_the_setting(environment: pytest.MonkeyPatch) -> None:
    def broken(graph: object, inputs: object) -> None:
        raise RuntimeError("no C++ compiler found\nand more about it")

    environment.setattr(compilation, "BACKEND", broken)
    with pytest.raises(TrainingError, match=r"(?s)cannot compile this model.*`training\.compile: false`") as caught:
        compiled(torch.sin)(torch.ones(3))
    assert "\n" not in str(caught.value)
    assert "no C++ compiler found" in str(caught.value)


def test_what_is_wrong_with_the_model_itself_is_not_the_compilers_fault(environment: pytest.MonkeyPatch) -> None:
    def wrong(batch: torch.Tensor) -> torch.Tensor:
        raise ValueError("7 is not 5")

    with pytest.raises(ValueError, match="7 is not 5"):
        compiled(wrong)(torch.ones(3))


def test_shards_are_not_compiled() -> None:
    with pytest.raises(ConfigError, match=r"`compile` is for one process or `parallel: ddp`"):
        check_settings(TrainingConfig, {"compile": True, "parallel": "fsdp"}, origin="recipe.yaml")
