"""A trainer that is only stepped, on batches of equally long random sentences: what cost alone is measured with."""

from pathlib import Path
from typing import Any, cast

import numpy as np

from attento.data.pairs.batching import Batch, Indices, Pair, TokenBatches, make_batch
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.text.special import EOS_ID
from attento.training.config import TrainingConfig
from attento.training.loop import Trainer
from attento.training.tasks.translation import TranslationObjective


class _OnePair:
    """The least that batches can be made of; nothing reads it."""

    def __len__(self) -> int:
        return 1

    def corpus_sizes(self) -> list[int]:
        return [1]

    def lengths(self, start: int, stop: int) -> tuple[Any, Any]:
        return np.ones(stop - start, np.int32), np.ones(stop - start, np.int32)

    def take(self, indices: Indices) -> list[Pair]:
        raise NotImplementedError


def make_trainer(shape: dict[str, Any], vocab_size: int, **settings: Any) -> Trainer:
    """Make a trainer whose `step` can be called, and nothing else."""
    config = TrainingConfig.model_validate({"device": "cpu"} | settings)
    model = build_translation_model(TransformerConfig(**shape), vocab_size, vocab_size)
    batches = TokenBatches(_OnePair(), 1, config.seed)
    objective = TranslationObjective(model, config.label_smoothing, config.loss_chunk_tokens)
    return Trainer(config, objective, batches, cast(Any, None), RunFolder(Path("nowhere")), "no text")


def random_batch(tokens: int, length: int, vocab_size: int, seed: int) -> Batch:
    """Make a batch of about so many source and target tokens, in sentences of `length` tokens, eos among them."""
    generator = np.random.default_rng(seed)
    rows = max(1, round(tokens / (2 * length)))
    sides = generator.integers(EOS_ID + 1, vocab_size, (2, rows, length - 1), dtype=np.int32)
    return make_batch(list(zip(*sides, strict=True)))
