"""Tiny recipes on the disk, and a trainer on pairs in memory."""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from attento.data.pairs.batching import Pair, TokenBatches
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.training.config import TrainingConfig
from attento.training.loop import Trainer
from attento.training.records.metrics import MetricsLog
from attento.training.records.progress import TrainingProgress
from attento.training.tasks.translation import TranslationObjective
from attento.training.validation import ValidationResult, Validator

VOCAB_SIZE = 23
SETTINGS: dict[str, Any] = {
    "data": {
        "source_language": "en",
        "target_language": "fr",
        "train": [{"source": "train.source", "target": "train.target"}],
        "validation": {"source": "dev.source", "target": "dev.target"},
        "tokenizer": {"vocab_size": 21, "byte_fallback": False},
        "cleaning": {"drop_identical": False},
    },
    "model": {"encoder_layers": 1, "decoder_layers": 1, "d_model": 16, "d_ff": 29, "num_heads": 2, "dropout": 0.3},
    "search": {"beam_size": 2, "max_extra_length": 3},
    "training": {
        "device": "cpu",
        "precision": "fp32",
        "max_steps": 24,
        "tokens_per_step": 97,
        "schedule": {"name": "inverse_sqrt", "peak": 0.01, "warmup": 7},
        "validation": {"metric": "loss"},
        "validate_every": 6,
        "checkpoint_every": 4,
        "keep_last": 3,
        "report_every": 5,
    },
}


def write_corpora(folder: Path, train_pairs: int = 61, dev_pairs: int = 11) -> None:
    """Sentences of letters, and the same sentences backwards."""
    generator = random.Random(17)
    letters = "abcdefgh"
    for name, count in (("train", train_pairs), ("dev", dev_pairs)):
        # Every letter as often as another, so that the tokenizer's merges are the eight of a space and a letter.
        lines = [generator.sample(letters, k=len(letters))[: generator.randint(2, 6)] for _ in range(count)]
        sides = {"source": lines, "target": [line[::-1] for line in lines]}
        for side, sentences in sides.items():
            (folder / f"{name}.{side}").write_text("".join(f"{' '.join(line)}\n" for line in sentences))


@pytest.fixture(scope="session")
def write_recipe() -> Callable[..., Path]:
    """Write text and a recipe into a folder; settings are given as `training__max_steps=7`."""

    def write(folder: Path, **changes: Any) -> Path:
        pairs = {key: changes.pop(key) for key in ("train_pairs", "dev_pairs") if key in changes}
        folder.mkdir(parents=True, exist_ok=True)
        write_corpora(folder, **pairs)
        tree: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SETTINGS))
        for name, value in changes.items():
            *parents, leaf = name.split("__")
            node = tree
            for parent in parents:
                node = node[parent]
            node[leaf] = value
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    return write


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, write_recipe: Callable[..., Path]) -> Path:
    """A recipe of 42 steps, with its text beside it."""
    return write_recipe(tmp_path_factory.mktemp("recipe"), training__max_steps=42)


class Pairs:
    """Pairs of random ids in memory."""

    def __init__(self, count: int) -> None:
        generator = np.random.default_rng(5)

        def draw() -> Any:
            return generator.integers(4, VOCAB_SIZE, generator.integers(1, 9)).astype(np.int32)

        self.pairs: list[Pair] = [(draw(), draw()) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.pairs)

    def corpus_sizes(self) -> list[int]:
        return [len(self)]

    def lengths(self, start: int, stop: int) -> tuple[Any, Any]:
        sides = ([len(pair[side]) for pair in self.pairs[start:stop]] for side in (0, 1))
        source, target = (np.array(lengths, dtype=np.int32) for lengths in sides)
        return source, target

    def take(self, indices: Any) -> list[Pair]:
        return [self.pairs[index] for index in indices]


class ScriptedValidator(Validator):
    """Finds what it was told to find, one result after the other; the last for ever."""

    def __init__(self, results: Sequence[ValidationResult]) -> None:
        super().__init__()
        self._results = list(results)

    def judge(self, model: EncoderDecoder, device: torch.device, batch_tokens: int) -> ValidationResult:
        return self._results.pop(0) if len(self._results) > 1 else self._results[0]


@dataclass
class Bench:
    """A trainer with all that it needs to run."""

    trainer: Trainer
    progress: TrainingProgress
    metrics: MetricsLog
    shown: io.StringIO

    def run(self) -> bool:
        return self.trainer.run(self.progress, self.metrics)

    @property
    def said(self) -> str:
        return self.shown.getvalue()

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.trainer.weights.tensors().items()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make a trainer in a folder of its own; settings are those of `TrainingConfig`."""
    logs = []

    def make(
        name: str = "run",
        *,
        results: Sequence[ValidationResult] = (ValidationResult(1.0),),
        dropout: float = 0.3,
        pairs: int = 41,
        **settings: Any,
    ) -> Bench:
        config = TrainingConfig.model_validate(
            {
                "device": "cpu",
                "precision": "fp32",
                "tokens_per_step": 61,
                "max_steps": 7,
                "checkpoint_every": 3,
                "schedule": {"name": "inverse_sqrt", "peak": 0.01, "warmup": 3},
            }
            | settings
        )
        torch.manual_seed(config.seed)
        shape = TransformerConfig(encoder_layers=1, decoder_layers=1, d_model=16, d_ff=19, num_heads=2, dropout=dropout)
        model = build_translation_model(shape, VOCAB_SIZE, VOCAB_SIZE)
        batches = TokenBatches(Pairs(pairs), config.tokens_per_step, config.seed)
        folder = RunFolder(tmp_path / name)
        objective = TranslationObjective(model, config.label_smoothing, config.loss_chunk_tokens)
        trainer = Trainer(config, objective, batches, ScriptedValidator(results), folder, text="a text")
        shown = io.StringIO()
        progress = TrainingProgress(config.max_steps, console=Console(file=shown, width=300))
        logs.append(MetricsLog(folder.metrics))
        return Bench(trainer, progress, logs[-1], shown)

    yield make
    for log in logs:
        log.close()
