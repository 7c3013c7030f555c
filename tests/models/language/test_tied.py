"""How many matrices a language model has, what they are called in the file of weights, and which one serves."""

from typing import Any

import pytest
import torch
from torch import Tensor

from attento.models.language.config import NeuralConfig
from attento.models.language.tied import TiedLanguageModel

# Rows, length, width in and out, vocabulary.
B, L, D, E, V = 2, 3, 5, 7, 17


class Words(TiedLanguageModel):
    """A model that is nothing but its matrices."""

    max_length = None

    def start(self, rows: int) -> Any:
        raise NotImplementedError

    def features(self, target: Tensor, state: Any) -> tuple[Tensor, Any]:
        raise NotImplementedError


def make(tied: bool, d_output: int | None = None) -> Words:
    return Words(NeuralConfig(d_model=D, tied_embeddings=tied), V, d_output)


def assert_projects_by(model: Words, weight: Tensor) -> None:
    features = torch.randn(B, L, model.d_model)
    torch.testing.assert_close(model.project(features), features @ weight.T)


def test_a_tied_matrix_has_one_name_and_serves_both() -> None:
    model = make(tied=True)
    assert {name: tuple(matrix.shape) for name, matrix in model.state_dict().items()} == {"embedding.weight": (V, D)}
    assert (model.vocab_size, model.d_model) == (V, D)
    assert_projects_by(model, model.state_dict()["embedding.weight"])


@pytest.mark.parametrize(("d_output", "width"), [(None, D), (E, E)])
def test_two_matrices_may_have_two_widths(d_output: int | None, width: int) -> None:
    model = make(tied=False, d_output=d_output)
    assert {name: tuple(matrix.shape) for name, matrix in model.state_dict().items()} == {
        "embedding.weight": (V, D),
        "output_embedding.weight": (V, width),
    }
    assert model.d_model == width
    assert_projects_by(model, model.state_dict()["output_embedding.weight"])
