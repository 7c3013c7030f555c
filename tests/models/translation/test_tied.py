"""How many matrices a translation model has, what they are called in the file of weights, and which one serves."""

from typing import Any

import pytest
import torch
from torch import Tensor

from attento.models.base import Memory
from attento.models.translation.config import TranslationConfig
from attento.models.translation.tied import TiedEncoderDecoder

# Rows, source length, width, vocabularies.
B, S, D, V, W = 2, 3, 5, 17, 13


class Words(TiedEncoderDecoder):
    """A model that is nothing but its matrices."""

    def encode(self, source: Tensor, source_mask: Tensor) -> Memory:
        return Memory(self.embed_source(source), source_mask)

    def start(self, memory: Memory) -> Memory:
        return memory

    def features(self, target: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.target_embedding(target), state


def make(tied: str, source: int = V, target: int = W) -> Words:
    return Words(TranslationConfig.model_validate({"d_model": D, "tied_embeddings": tied}), source, target)


@pytest.mark.parametrize(
    ("tied", "source", "names"),
    [("all", W, ["target"]), ("target", V, ["target", "source"]), ("none", V, ["target", "source", "output"])],
)
def test_every_matrix_has_one_name_and_its_vocabularys_size(tied: str, source: int, names: list[str]) -> None:
    model = make(tied, source)
    sizes = {"target": W, "source": source, "output": W}
    assert {name: tuple(matrix.shape) for name, matrix in model.state_dict().items()} == {
        f"{name}_embedding.weight": (sizes[name], D) for name in names
    }
    assert (model.source_vocab_size, model.target_vocab_size, model.d_model) == (source, W, D)


@pytest.mark.parametrize(
    ("tied", "source_size", "reads", "writes"),
    [("all", W, "target", "target"), ("target", V, "source", "target"), ("none", V, "source", "output")],
)
def test_the_matrix_that_serves(tied: str, source_size: int, reads: str, writes: str) -> None:
    model = make(tied, source_size)
    weights = model.state_dict()
    source = torch.randint(source_size, (B, S))
    torch.testing.assert_close(model.embed_source(source), weights[f"{reads}_embedding.weight"][source] * D**0.5)
    features = torch.randn(B, S, D)
    torch.testing.assert_close(model.project(features), features @ weights[f"{writes}_embedding.weight"].T)


def test_one_matrix_for_two_vocabularies_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 17 tokens and the target 13; .*`data\.tokenizer\.joint: true`"):
        make("all")
