"""Long-range memory: a key is shown, other symbols follow, and the key is asked for.

Every example has as many symbols as the largest distance and one more. The last one asks; the key stands `distance`
places before it; all others are fillers, drawn at random. Keys and fillers are symbols of different kinds, so that a
system need not learn which symbol to keep, only to keep it. A translation model reads the example and writes the key; a
language model foretells it after the last symbol; a classifier gives the example the key's label (a classifier of
pairs gets the asking symbol as second sentence). Each system learns it afresh, small and briefly, from examples of all
distances, and is tested on fresh ones of each distance.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.comparison.config import RecallConfig
from attento.comparison.results import Quantity, RecallPoint
from attento.evaluation.classification import wilson_interval
from attento.models.base import Classifier, EncoderDecoder, NeuralLanguageModel, Sentences
from attento.models.build import build_classifier, build_language_model, build_translation_model
from attento.models.config import ClassifierModelConfig, LanguageModelConfig, ModelConfig, TranslationModelConfig
from attento.text.special import BOS_ID

_FIRST_SYMBOL = 4
_CLIP_NORM = 1.0


@dataclass(frozen=True)
class RecallTask:
    """The symbols of the task, and examples made of them: fillers first, then keys, then the one that asks."""

    config: RecallConfig

    @property
    def first_key(self) -> int:
        """The id of the first key."""
        return _FIRST_SYMBOL + self.config.fillers

    @property
    def question(self) -> int:
        """The id of the symbol that asks."""
        return self.first_key + self.config.keys

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the special ones included."""
        return self.question + 1

    @property
    def length(self) -> int:
        """The symbols of an example."""
        return max(self.config.distances) + 1

    def draw(
        self, distances: Int[Tensor, " B"], generator: torch.Generator
    ) -> tuple[Int[Tensor, "B L"], Int[Tensor, " B"]]:
        """Draw an example for each distance; return the symbols, and the number of each key, counted from 0."""
        rows = len(distances)
        symbols = torch.randint(_FIRST_SYMBOL, self.first_key, (rows, self.length), generator=generator)
        keys = torch.randint(self.config.keys, (rows,), generator=generator)
        symbols[torch.arange(rows), self.length - 1 - distances] = self.first_key + keys
        symbols[:, -1] = self.question
        return symbols, keys


def measure_recall(
    config: RecallConfig, model: ModelConfig, seed: int, device: torch.device
) -> tuple[RecallPoint, ...]:
    """Train small models of a system's kind, and return how often each distance's key is named.

    Of one training the interval is that of its test examples; of several, the lowest and the highest accuracy.
    """
    runs = [_one_run(config, model, seed + number, device) for number in range(config.repeats)]
    points = []
    for place, distance in enumerate(config.distances):
        right = [run[place] for run in runs]
        points.append(RecallPoint(distance=distance, accuracy=_accuracy(right, config.test_examples)))
    return tuple(points)


def small(config: ModelConfig, recall: RecallConfig) -> ModelConfig:
    """Return a system's settings with the sizes of the recall task, and long enough for its examples."""
    sizes = {name: value for name, value in recall.size.items() if name in type(config).model_fields}
    limit = getattr(config, "max_positions", None)
    if limit is not None:
        # With the marks that a model may add.
        sizes["max_positions"] = max(limit, RecallTask(recall).length + 4)
    return type(config).model_validate(config.model_dump() | sizes)


def key_logits(model: nn.Module, task: RecallTask, symbols: Int[Tensor, "B L"]) -> Float[Tensor, "B K"]:
    """Return the logits of the keys, for each example.

    Raises:
        TypeError: gradients do not flow through such a model.
    """
    keys = slice(task.first_key, task.question)
    match model:
        case EncoderDecoder():
            start = symbols.new_full((len(symbols), 1), BOS_ID)
            memory = model.encode(symbols, torch.ones_like(symbols, dtype=torch.bool))
            return model.decode(start, model.start(memory))[0][:, 0, keys]
        case NeuralLanguageModel():
            # The last vector alone: what follows other symbols is not to be foretold.
            features, _ = model.features(symbols, model.start(len(symbols)))
            return model.project(features[:, -1])[:, keys]
        case Classifier():
            sentences = [symbols, symbols[:, -1:]][: model.num_sentences]
            logits: Tensor = model([Sentences(each, torch.ones_like(each, dtype=torch.bool)) for each in sentences])
            return logits
    raise TypeError(f"gradients do not flow through a {type(model).__name__}")


def train_recall(model: nn.Module, task: RecallTask, seed: int) -> None:
    """Train a model in place, by Adam at a constant rate, on examples of all distances in equal shares."""
    config, generator = task.config, torch.Generator().manual_seed(seed)
    distances = torch.tensor(config.distances)
    device = next(model.parameters()).device
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    model.train()
    for _ in range(config.updates):
        drawn = distances[torch.randint(len(distances), (config.batch_size,), generator=generator)]
        symbols, keys = task.draw(drawn, generator)
        loss = F.cross_entropy(key_logits(model, task, symbols.to(device)), keys.to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
        optimizer.step()


@torch.inference_mode()
def count_right(model: nn.Module, task: RecallTask, seed: int) -> list[int]:
    """Count, for each distance, the fresh examples whose key has the highest logit of all keys."""
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    model.eval()
    counts = []
    for distance in task.config.distances:
        symbols, keys = task.draw(torch.full((task.config.test_examples,), distance), generator)
        named = key_logits(model, task, symbols.to(device)).argmax(dim=-1)
        counts.append(int((named.cpu() == keys).sum()))
    return counts


def _one_run(config: RecallConfig, model_config: ModelConfig, seed: int, device: torch.device) -> list[int]:
    task = RecallTask(config)
    torch.manual_seed(seed)
    model = _build(small(model_config, config), task).to(device)
    train_recall(model, task, seed)
    # No example of the training comes again in its order.
    return count_right(model, task, seed + (1 << 32))


def _build(config: Any, task: RecallTask) -> nn.Module:
    if isinstance(config, TranslationModelConfig):
        return build_translation_model(config, task.vocab_size, task.vocab_size)
    if isinstance(config, LanguageModelConfig):
        return build_language_model(config, task.vocab_size)
    assert isinstance(config, ClassifierModelConfig)
    return build_classifier(config, task.vocab_size, task.config.keys)


def _accuracy(right: list[int], examples: int) -> Quantity:
    shares = [each / examples for each in right]
    if len(right) == 1:
        low, high = wilson_interval(right[0], examples)
        return Quantity(value=shares[0], low=low, high=high, spread=f"95% interval of {examples} examples")
    spread = f"lowest and highest of {len(right)} trainings"
    return Quantity(value=median(shares), low=min(shares), high=max(shares), spread=spread, runs=len(right))
