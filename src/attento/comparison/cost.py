"""What training takes of the memory, told by a process that does nothing else, and what decoding keeps a token."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn

from attento.comparison.probe import longest_input
from attento.comparison.results import Quantity
from attento.engines.loading import evaluating
from attento.errors import TrainingError
from attento.models.base import EncoderDecoder, NeuralLanguageModel
from attento.models.language.config import NGramConfig
from attento.nn.state import bytes_of
from attento.run_folder import RunFolder
from attento.training.budget import TakenMemory
from attento.training.build import build_trainer, settle_step
from attento.training.config import OptimizerConfig
from attento.training.loop import Trainer
from attento.training.parallel.alone import join
from attento.training.process import use_available_cores
from attento.training.run import Recipe
from attento.training.tasks.choose import task_of
from attento.training.update.optimizer import build_optimizer

_FEW = 8
"""Tokens at which a model's state is counted, and again at twice as many."""


def peak_memory(recipe: Recipe, run: Path, steps: int) -> Quantity:
    """Measure the most bytes that training takes at once, in a fresh process that does some steps and ends.

    Weights, gradients, the optimizer's moments and activations: on a GPU by torch's count of its tensors, elsewhere by
    how much the process's resident memory grows, gaps between tensors included.

    Args:
        recipe: the system's, with its prepared text.
        run: its run folder, which tells the number found for `tokens_per_step: auto`.
        steps: how many, from the first batch on.

    Raises:
        AttentoError: a step cannot be computed, or this machine does not tell how much memory is taken.
    """
    if isinstance(recipe.config.model, NGramConfig):
        raise TrainingError("n-grams are counted in one pass, not trained by steps")
    # Not a copy of this process, which has held models before.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            taken, device = pool.submit(_peak, recipe, run, steps).result()
        except BrokenProcessPool as problem:
            raise TrainingError("the process that measures memory was ended; most often memory ran out") from problem
    counted = "torch's tensors" if device == "cuda" else "growth of a process's resident memory"
    return Quantity(value=float(taken), note=f"{counted} over the first {steps} steps, in a fresh process on {device}")


@torch.inference_mode()
def kept_per_token(model: nn.Module) -> dict[str, Quantity]:
    """Count the bytes by which a decoder's state grows with each token, in float32.

    Nothing for models that have no such state or cannot read a few tokens.

    A Transformer's keys and values (Shazeer 2019, section 2.4); a recurrent network's state does not grow.
    """
    if not isinstance(model, EncoderDecoder | NeuralLanguageModel) or (longest_input(model) or _FEW * 2) < _FEW * 2:
        return {}
    with evaluating(model):
        start = _state_bytes(model, _FEW, _FEW)
        found = {"state_per_target_token": (_state_bytes(model, _FEW, 2 * _FEW) - start) / _FEW}
        if isinstance(model, EncoderDecoder):
            found["state_per_source_token"] = (_state_bytes(model, 2 * _FEW, _FEW) - start) / _FEW
    note = f"growth of one row's state from {_FEW} tokens to {2 * _FEW}, float32"
    return {name: Quantity(value=value, note=note) for name, value in found.items()}


def _state_bytes(model: EncoderDecoder | NeuralLanguageModel, source: int, target: int) -> int:
    device = next(model.parameters()).device
    if isinstance(model, EncoderDecoder):
        ids = torch.zeros(1, source, dtype=torch.long, device=device)
        state = model.start(model.encode(ids, torch.ones_like(ids, dtype=torch.bool)))
    else:
        state = model.start(1)
    return bytes_of(model.features(torch.zeros(1, target, dtype=torch.long, device=device), state)[1])


def _peak(recipe: Recipe, run: Path, steps: int) -> tuple[int, str]:
    use_available_cores()
    folder = RunFolder(run)
    assert recipe.prepared is not None
    corpus = task_of(recipe.config).open(recipe.prepared)
    with join(recipe.config) as world:
        config = settle_step(recipe.config, corpus, folder, _say_nothing, world)

        def train() -> None:
            trainer = build_trainer(config, corpus, folder, world, Trainer)
            batches = trainer.batches.from_position()
            for _ in range(steps):
                trainer.step(next(batches)[1], _say_nothing)

        _load_libraries(config.training.optimizer, world.device)
        return TakenMemory(world.device).peak_of(train), world.device.type


def _load_libraries(config: OptimizerConfig, device: torch.device) -> None:
    """Do a step of next to nothing: the first one loads what is the same for all systems."""
    layer = nn.Linear(64, 64, device=device)
    optimizer = build_optimizer(config, list(layer.parameters()))
    layer(torch.ones(64, 64, device=device)).sum().backward()
    optimizer.step()


def _say_nothing(message: str) -> None: ...
