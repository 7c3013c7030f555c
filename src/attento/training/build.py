"""From a recipe and its prepared text to a trainer at its first step. Reads a run folder, writes nothing."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from attento.config import check_settings, read_yaml
from attento.data.batching import TokenBatches
from attento.data.prepared import PreparedCorpus
from attento.device import has_fast_bf16
from attento.errors import ConfigError, TrainingError
from attento.models.base import EncoderDecoder
from attento.models.build import build_model
from attento.run_folder import RunFolder
from attento.training.budget import MOST_TOKENS, count_longer, free_memory, largest_step
from attento.training.config import RecipeConfig, with_training
from attento.training.loop import Trainer
from attento.training.parallel.alone import Alone
from attento.training.process import is_out_of_memory
from attento.training.validation import ValidationText, Validator

TrainerT = TypeVar("TrainerT", bound=Trainer)


def build_trainer(
    config: RecipeConfig, corpus: PreparedCorpus, folder: RunFolder, world: Alone, kind: type[TrainerT]
) -> TrainerT:
    """Make a trainer of some kind; `tokens_per_step` is a number by now.

    Raises:
        ConfigError: settings do not fit the text.
        InputError: BLEU cannot be computed in the way asked for, or not against these references.
        TrainingError: the model does not fit in memory.
    """
    tokenizers = corpus.tokenizers
    model = build_model(config.model, tokenizers.source.vocab_size, tokenizers.target.vocab_size)
    _check_lengths(model, corpus)
    weights = [each.weight for each in config.data.train]
    tokens = config.training.tokens_per_step
    assert tokens != "auto"
    batches = TokenBatches(corpus.train, tokens, config.training.seed, weights)
    pairs = corpus.validation.take(range(len(corpus.validation)))
    text = ValidationText(*corpus.validation_texts(), pairs)
    validator = Validator(config.training.validation, text, tokenizers, config.data.target_language)
    try:
        return kind(config.training, model, batches, validator, folder, corpus.fingerprint, world)
    except (MemoryError, RuntimeError) as problem:
        if not is_out_of_memory(problem):
            raise
        raise TrainingError(
            f"the model does not fit in the memory of {world.device}; make it smaller, or see what else is in there"
        ) from problem


def settle_step(
    config: RecipeConfig, corpus: PreparedCorpus, folder: RunFolder, say: Callable[[str], None], world: Alone
) -> RecipeConfig:
    """Put a number in the place of `tokens_per_step: auto`: that of the run to go on with, or the largest that fits.

    The search leaves torch's random state anywhere.

    Raises:
        ConfigError: there are several processes.
        TrainingError: nothing fits, or the system does not tell how much memory there is.
    """
    config = with_earlier_step(config, folder)
    if config.training.tokens_per_step != "auto":
        return config
    if world.size > 1:
        raise ConfigError("`training.tokens_per_step: auto` is for one process; give a number for several")
    trial = with_training(config, tokens_per_step=MOST_TOKENS, accumulation=1)

    def make_trainer() -> Trainer:
        return build_trainer(trial, corpus, folder, Alone(trial.training), Trainer)

    free = free_memory(world.device)
    most = largest_step(make_trainer, world.device, corpus.longest_train, free)
    tokens = min(most * config.training.accumulation, MOST_TOKENS)
    say(f"tokens_per_step: {tokens:,}, which fits in the {(free or 0) / 2**30:.1f} GiB that are free on {world.device}")
    return with_training(config, tokens_per_step=tokens)


def with_earlier_step(config: RecipeConfig, folder: RunFolder) -> RecipeConfig:
    """Return the settings with the number that was found for `tokens_per_step: auto` when the run began, if it did.

    Raises:
        ConfigError: the run's own settings cannot be read.
    """
    if config.training.tokens_per_step != "auto" or not (folder.config.is_file() and has_checkpoints(folder)):
        return config
    earlier = check_settings(RecipeConfig, read_yaml(folder.config), origin=str(folder.config))
    return with_training(config, tokens_per_step=earlier.training.tokens_per_step)


def has_checkpoints(folder: RunFolder) -> bool:
    """Tell whether a run has saved anything to go on from."""
    return any(folder.checkpoints.glob("step-*"))


def warnings(trainer: Trainer, corpus: PreparedCorpus) -> Iterator[str]:
    """Yield what works but is hardly meant."""
    tokens = trainer.config.tokens_per_step
    assert tokens != "auto"
    # The longest source and the longest target may stand in different pairs.
    if sum(corpus.longest_train) + 2 > tokens and (longer := count_longer(corpus.train, tokens)):
        yield (
            f"{longer:,} of {len(corpus.train):,} training pairs have more tokens than `training.tokens_per_step` "
            f"({tokens:,}); each of them is a step of its own"
        )
    if trainer.weights.dtype == torch.bfloat16 and not has_fast_bf16(trainer.device):
        yield "this processor computes faster in fp32 than in bf16; `training.precision: auto` takes the faster one"


def _check_lengths(model: EncoderDecoder, corpus: PreparedCorpus) -> None:
    sides = (("source", model.max_source_length), ("target", model.max_target_length))
    for side, (name, limit) in enumerate(sides):
        if limit is None:
            continue
        train, validation = corpus.longest_train[side], corpus.longest_validation[side]
        _check_length(train, limit, f"a training {name}", "lower `data.cleaning.max_tokens`")
        _check_length(validation, limit, f"a validation {name}", "leave it out of the validation set")


def _check_length(pieces: int, limit: int, what: str, mend: str) -> None:
    # The model reads eos or bos besides.
    if pieces + 1 > limit:
        raise ConfigError(
            f"{what} has {pieces + 1} tokens, but the model reads at most {limit}; "
            f"raise `model.max_positions` or {mend}"
        )
