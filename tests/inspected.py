"""Small untrained models of every task with a tokenizer, as a loaded run holds them."""

from functools import cache
from typing import Any

import architectures
import torch
from torch import nn

from attento.decoding.config import SearchConfig
from attento.engines.task import RunKind, Task
from attento.inspection.reading import LoadedRun
from attento.models.language.ngram import NGramModel
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import Tokenizer, TokenizerPair

LINES = [f"{word} {number} and the {word}" for word in ("apple", "bridge", "cloud") for number in range(13)]
LABELS = ("no", "perhaps", "yes")
EVERY: dict[tuple[Task, str], dict[str, Any]] = {
    **{("translation", name): settings for name, settings in architectures.TRANSLATION.items()},
    **{("language_modeling", name): settings for name, settings in architectures.LANGUAGE.items()},
    **{("language_modeling", name): settings for name, settings in architectures.COUNTED.items()},
    **{("classification", name): settings for name, settings in architectures.CLASSIFICATION.items()},
    **{("masked_language_modeling", name): settings for name, settings in architectures.MASKED.items()},
}


@cache
def tokenizer() -> Tokenizer:
    """A small vocabulary of subwords that loses no character."""
    return train_tokenizer(
        LINES,
        model="bpe",
        vocab_size=307,
        byte_fallback=True,
        character_coverage=1.0,
        normalization="identity",
        special_pieces=["<mask>"],
    )


def make_run(task: Task, settings: dict[str, Any]) -> LoadedRun:
    """Make a run whose model has learned nothing."""
    torch.manual_seed(1)
    size = tokenizer().vocab_size
    match task:
        case "translation" | "denoising":
            model: nn.Module = architectures.translation_model(settings, size, size)
        case "language_modeling":
            model = architectures.language_model(settings, size)
        case "classification":
            model = architectures.classifier(settings, size, len(LABELS))
        case "masked_language_modeling":
            model = architectures.masked_model(settings, size)
    if isinstance(model, NGramModel):
        model.fit(torch.cat((torch.tensor([2]), torch.randint(4, size, (211,)))).numpy())
    kind = RunKind(task, settings.get("architecture", "transformer"))
    pair = TokenizerPair(tokenizer(), tokenizer())
    return LoadedRun("tiny", kind, model.eval(), pair, SearchConfig(beam_size=3, max_extra_length=5), LABELS)
