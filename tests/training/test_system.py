"""From text to translations: the loop learns, and it does not know which model it drives."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from attento.decoding.config import SearchConfig
from attento.engines.torch import TorchEngine
from attento.models.base import EncoderDecoder, Memory
from attento.text.tokenizer import TokenizerPair
from attento.training.run import load_recipe, train
from attento.training.tasks import translation as task_module
from attento.translator import Translator

WriteRecipe = Callable[..., Path]


def run(recipe: Path, output: Path, *overrides: str) -> bool:
    return train(load_recipe(recipe, recipe.parent, overrides), output, lambda text: None)


@dataclass(frozen=True)
class BagState:
    """All that this decoder remembers: the mean of the source."""

    mean: Float[Tensor, "N D"]

    def select(self, indices: Int[Tensor, " N"]) -> "BagState":
        return replace(self, mean=self.mean[indices])


class Bag(EncoderDecoder):
    """A model as unlike a Transformer as can be: the mean of the source and the last token predict the next."""

    def __init__(self, source_vocab_size: int, target_vocab_size: int) -> None:
        super().__init__()
        self.d_model = 13
        self.source_vocab_size, self.target_vocab_size = source_vocab_size, target_vocab_size
        self.max_source_length, self.max_target_length = 19, 17
        self.source = nn.Embedding(source_vocab_size, 13)
        self.target = nn.Embedding(target_vocab_size, 13)
        self.output = nn.Linear(13, target_vocab_size)

    def encode(self, source: Tensor, source_mask: Tensor) -> Memory:
        return Memory(self.source(source), source_mask)

    def start(self, memory: Memory) -> BagState:
        real = memory.mask[:, :, None]
        return BagState((memory.hidden * real).sum(dim=1) / real.sum(dim=1))

    def features(self, target: Tensor, state: BagState) -> tuple[Tensor, BagState]:
        return torch.tanh(state.mean[:, None] + self.target(target)), state

    def output_layer(self) -> tuple[Tensor, Tensor]:
        return self.output.weight, self.output.bias


def test_another_architecture_trains_goes_on_and_translates(
    tmp_path: Path, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path)
    monkeypatch.setattr(task_module, "build_translation_model", lambda config, source, target: Bag(source, target))
    settings = ("training.validation={metric: bleu, tokenize: none}", "training.schedule.peak=0.05")
    assert run(recipe, tmp_path / "whole", *settings, "training.max_steps=13")
    assert run(recipe, tmp_path / "cut", *settings, "training.max_steps=8")
    assert run(recipe, tmp_path / "cut", *settings, "training.max_steps=13")
    weights = "checkpoints/step-00000013/model.safetensors"
    ours, theirs = (load_file(tmp_path / each / weights) for each in ("cut", "whole"))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    records = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    losses = [record["validation/loss"] for record in records if "validation/loss" in record]
    assert losses[-1] < losses[0]

    tokenizers = TokenizerPair.load(tmp_path / "whole")
    model = Bag(tokenizers.source.vocab_size, tokenizers.target.vocab_size)
    model.load_state_dict(load_file(tmp_path / "whole" / "model.safetensors"))
    translator = Translator(tokenizers, TorchEngine(model, device="cpu"), SearchConfig(beam_size=3, max_extra_length=2))
    [translation] = translator.translate(["a b c"])
    assert set(translation.text.split()) <= set("abcdefgh")


def test_it_learns_to_say_sentences_backwards(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    recipe = write_recipe(
        tmp_path,
        train_pairs=2003,
        dev_pairs=101,
        model__d_model=32,
        model__d_ff=64,
        model__num_heads=4,
        model__dropout=0.0,
        training__max_steps=600,
        training__tokens_per_step=300,
        training__validate_every=600,
        training__checkpoint_every=300,
        training__schedule={"name": "cosine", "peak": 0.006, "warmup": 40},
    )
    assert run(recipe, tmp_path / "run")
    train_sources = set((tmp_path / "train.source").read_text().splitlines())
    pairs = zip(*((tmp_path / f"dev.{side}").read_text().splitlines() for side in ("source", "target")), strict=True)
    unseen = [pair for pair in pairs if pair[0] not in train_sources]
    assert len(unseen) > 30
    found = Translator.load(tmp_path / "run", device="cpu").translate([source for source, _ in unseen])
    right = sum(translation.text == target for translation, (_, target) in zip(found, unseen, strict=True))
    assert right > 0.95 * len(unseen)
