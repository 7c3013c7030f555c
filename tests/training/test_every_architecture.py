"""Every architecture of every task goes on from a checkpoint bit for bit, with dropout and whatever else it draws."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import architectures
import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from attento.data.batches import START, Position, TrainingBatch
from attento.data.labels.batching import make_label_batch
from attento.data.masked.batching import masked_evaluation_windows
from attento.data.masked.hiding import Hiding
from attento.data.pairs.batching import make_batch
from attento.data.stream.batching import evaluation_windows
from attento.run_folder import RunFolder
from attento.training.config import TrainingConfig
from attento.training.loop import Trainer
from attento.training.records.metrics import MetricsLog
from attento.training.records.progress import TrainingProgress
from attento.training.tasks.classification import ClassificationObjective
from attento.training.tasks.language import LanguageObjective
from attento.training.tasks.masked import MaskedObjective
from attento.training.tasks.translation import TranslationObjective
from attento.training.update.objective import Objective
from attento.training.validation import ValidationResult, Validator

VOCAB_SIZE, CLASSES = 19, 3

Parts = tuple[Objective[Any, Any], list[TrainingBatch]]


def draw(generator: np.random.Generator, most: int = 7) -> Any:
    return generator.integers(4, VOCAB_SIZE, generator.integers(1, most)).astype(np.int32)


def translation(settings: dict[str, Any]) -> Parts:
    generator = np.random.default_rng(7)
    model = architectures.translation_model(settings, VOCAB_SIZE, VOCAB_SIZE)
    batches = [make_batch([(draw(generator), draw(generator)) for _ in range(5)]) for _ in range(3)]
    return TranslationObjective(model, 0.1, 11), batches


def language(settings: dict[str, Any]) -> Parts:
    ids = np.random.default_rng(7).integers(4, VOCAB_SIZE, 73).astype(np.int32)
    model = architectures.language_model(settings, VOCAB_SIZE)
    return LanguageObjective(model, 0.1, 11), [*evaluation_windows(ids, context=7, max_tokens=28)]


def classification(settings: dict[str, Any]) -> Parts:
    generator = np.random.default_rng(7)
    model = architectures.classifier(settings, VOCAB_SIZE, CLASSES)

    def example() -> Any:
        return int(generator.integers(CLASSES)), tuple(draw(generator) for _ in range(model.num_sentences))

    batches = [make_label_batch([example() for _ in range(5)]) for _ in range(3)]
    return ClassificationObjective(model, 0.1), batches


def masked(settings: dict[str, Any]) -> Parts:
    ids = np.random.default_rng(7).integers(5, VOCAB_SIZE, 73).astype(np.int32)
    model = architectures.masked_model(settings, VOCAB_SIZE)
    windows = masked_evaluation_windows(ids, context=7, max_tokens=36, hiding=Hiding(0.3, 4, VOCAB_SIZE))
    return MaskedObjective(model, 0.1, 11), [*windows]


class Made:
    """Some batches, over and over."""

    def __init__(self, batches: list[TrainingBatch]) -> None:
        self.batches = batches

    def from_position(self, position: Position = START) -> Iterator[tuple[Position, TrainingBatch]]:
        index = position.index
        while True:
            index += 1
            yield Position(index=index), self.batches[(index - 1) % len(self.batches)]


class Content(Validator):
    """Finds every model equally good."""

    def judge(self, model: nn.Module, device: torch.device, batch_tokens: int) -> ValidationResult:
        return ValidationResult(1.0)


def trainer(
    parts: Callable[[dict[str, Any]], Parts], settings: dict[str, Any], folder: Path, **changes: Any
) -> Trainer:
    config = TrainingConfig.model_validate(
        {
            "device": "cpu",
            "precision": "fp32",
            "checkpoint_every": 100,
            "schedule": {"name": "inverse_sqrt", "peak": 0.01, "warmup": 2},
        }
        | changes
    )
    torch.manual_seed(3)
    objective, batches = parts(settings | {"dropout": 0.3})
    return Trainer(config, objective, Made(batches), Content(), RunFolder(folder), text="a text")


def run(made: Trainer) -> dict[str, torch.Tensor]:
    """Train to the end; return all that the model saves."""
    with MetricsLog(made.folder.metrics) as metrics:
        assert made.run(TrainingProgress(made.config.max_steps, console=Console(quiet=True)), metrics)
    return {name: tensor.clone() for name, tensor in made.weights.tensors().items()}


EVERY = [
    *((translation, name, settings, "fp32") for name, settings in architectures.TRANSLATION.items()),
    *((language, name, settings, "fp32") for name, settings in architectures.LANGUAGE.items()),
    *((classification, name, settings, "fp32") for name, settings in architectures.CLASSIFICATION.items()),
    *((masked, name, settings, "fp32") for name, settings in architectures.MASKED.items()),
    *((translation, name, architectures.TRANSLATION[name], "bf16") for name in ("attention_dot", "transformer")),
    *((language, name, architectures.LANGUAGE[name], "bf16") for name in ("gru", "causal_convolution")),
    *((classification, name, architectures.CLASSIFICATION[name], "bf16") for name in ("self_attentive",)),
    *((masked, name, architectures.MASKED[name], "bf16") for name in ("masked",)),
]


@pytest.mark.parametrize(
    ("parts", "settings", "precision"),
    [pytest.param(parts, settings, number, id=f"{name}-{number}") for parts, name, settings, number in EVERY],
)
def test_goes_on_bit_for_bit(
    parts: Callable[[dict[str, Any]], Parts], settings: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    start = trainer(parts, settings, tmp_path / "whole", max_steps=5, precision=precision)
    drawn = {name: tensor.clone() for name, tensor in start.weights.tensors().items()}
    whole = run(start)
    run(trainer(parts, settings, tmp_path / "cut", max_steps=2, precision=precision))
    again = trainer(parts, settings, tmp_path / "cut", max_steps=5, precision=precision)
    torch.manual_seed(4321)
    said: list[str] = []
    again.resume(said.append)
    assert said == ["going on from step 2"]
    found = run(again)
    assert found.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(found[name], whole[name])] == []
    # It did learn: but for biases of keys, which move nothing, weight for weight.
    still = [name for name in whole if torch.equal(whole[name], drawn[name])]
    assert all("key" in name or ("query" in name and settings.get("scores") == "uniform") for name in still), still
    assert all(tensor.isfinite().all() for tensor in whole.values())
