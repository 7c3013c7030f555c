"""What the recurrent language models promise: the equations, layer on layer."""

from typing import Any

import pytest
import torch
from torch import Tensor

from attento.models.language.config import RecurrentLanguageConfig
from attento.models.language.recurrent import RecurrentLanguageModel

# Rows, tokens, width, vocabulary.
B, T, D, V = 3, 11, 5, 17

every_cell = pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
every_depth = pytest.mark.parametrize("layers", [1, 2])


def make(**changes: Any) -> RecurrentLanguageModel:
    settings: dict[str, Any] = {"architecture": "rnn", "d_model": D, "cell": "lstm", "layers": 2}
    model = RecurrentLanguageModel(RecurrentLanguageConfig(**(settings | changes)), V).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def read(model: RecurrentLanguageModel, ids: Tensor) -> Tensor:
    return model.decode(ids, model.start(ids.size(0)))[0]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def by_loops(model: RecurrentLanguageModel, ids: list[int], cell: str, layers: int) -> Tensor:
    """Compute the logits of one text token by token from the weights alone."""
    weights = model.state_dict()
    columns = [weights["embedding.weight"][token] * D**0.5 for token in ids]
    for layer in range(layers):
        w, u, b, c = (weights[f"recurrent.network.{name}_l{layer}"] for name in (
            "weight_ih", "weight_hh", "bias_ih", "bias_hh",
        ))  # fmt: skip
        hidden = memory = torch.zeros(D, dtype=torch.float64)
        for t, column in enumerate(columns):
            x, h = (w @ column + b).split(D), (u @ hidden + c).split(D)
            if cell == "elman":
                hidden = torch.tanh(x[0] + h[0])
            elif cell == "gru":
                reset, keep = 1 / (1 + torch.exp(-x[0] - h[0])), 1 / (1 + torch.exp(-x[1] - h[1]))
                hidden = keep * hidden + (1 - keep) * torch.tanh(x[2] + reset * h[2])
            else:
                enter, forget, leave = (1 / (1 + torch.exp(-x[gate] - h[gate])) for gate in (0, 1, 3))
                memory = forget * memory + enter * torch.tanh(x[2] + h[2])
                hidden = leave * torch.tanh(memory)
            columns[t] = hidden
    output = weights.get("output_embedding.weight", weights["embedding.weight"])
    return torch.stack([output @ column for column in columns])


@pytest.mark.parametrize("tied", [True, False])
@every_depth
@every_cell
def test_logits_are_the_equations(cell: str, layers: int, tied: bool) -> None:
    model, ids = make(cell=cell, layers=layers, tied_embeddings=tied), torch.randint(V, (B, T))
    logits = read(model, ids)
    for row in range(B):
        assert_close(logits[row], by_loops(model, ids[row].tolist(), cell, layers))


def test_tied_matrices_are_one() -> None:
    model = make()
    assert model.output_layer() == (model.embedding.weight, None)
    assert [name for name in model.state_dict() if "embedding" in name] == ["embedding.weight"]


def test_dropout_draws_in_training_alone() -> None:
    # One layer has no other to drop between: what comes in and what goes out is dropped all the same.
    model, ids = make(dropout=0.5, layers=1), torch.randint(V, (B, T))
    assert torch.equal(read(model, ids), read(model, ids))
    model.train()
    features, _ = model.features(ids, model.start(B))
    other, _ = model.features(ids, model.start(B))
    kept = (features != 0) & (other != 0)
    assert 0 < kept.sum() < kept.numel()
    assert not torch.allclose(features[kept], other[kept])


def test_a_state_of_another_depth_is_refused() -> None:
    with pytest.raises(TypeError, match="a state belongs to the model whose `start` made it"):
        make().decode(torch.randint(V, (B, T)), make(layers=3).start(B))
