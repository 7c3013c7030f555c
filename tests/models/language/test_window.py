"""What the window MLP promises: the formula, the reach of its window, and one result however a text is cut."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from attento.models.language.config import WindowMLPConfig
from attento.models.language.window import WindowMLP, WindowState
from attento.nn.state import DecoderState

# Rows, tokens, width, hidden width, vocabulary, window.
B, T, D, F, V, W = 3, 11, 5, 7, 17, 4

every_window = pytest.mark.parametrize("window", [1, 2, W, 13])


def make(**changes: Any) -> WindowMLP:
    settings: dict[str, Any] = {"architecture": "window_mlp", "d_model": D, "d_hidden": F, "window": W}
    model = WindowMLP(WindowMLPConfig(**(settings | changes)), V).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def read(model: WindowMLP, ids: Tensor) -> Tensor:
    return model.decode(ids, model.start(ids.size(0)))[0]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def by_loops(model: WindowMLP, ids: list[int], window: int) -> Tensor:
    """Compute y = b + U tanh(d + H x) at each place of one text from the weights alone (Bengio et al. 2003, eq. 1)."""
    weights = model.state_dict()
    output = weights.get("output_embedding.weight", weights["embedding.weight"])
    logits = []
    for t in range(len(ids)):
        summed = weights["hidden.bias"]
        for age in range(min(window, t + 1)):
            place = window - 1 - age
            vector = weights["embedding.weight"][ids[t - age]] * weights["embedding.weight"].size(1) ** 0.5
            summed = summed + weights["hidden.weight"][:, place * len(vector) : (place + 1) * len(vector)] @ vector
        logits.append(weights["output_bias"] + output @ torch.tanh(summed))
    return torch.stack(logits)


@pytest.mark.parametrize("changes", [{}, {"tied_embeddings": True, "d_hidden": D}], ids=["apart", "tied"])
@every_window
def test_logits_are_the_formula(window: int, changes: dict[str, Any]) -> None:
    model, ids = make(window=window, **changes), torch.randint(V, (B, T))
    logits = read(model, ids)
    for row in range(B):
        assert_close(logits[row], by_loops(model, ids[row].tolist(), window))


@every_window
def test_step_by_step_is_all_at_once_and_only_the_window_is_kept(window: int) -> None:
    model, ids = make(window=window), torch.randint(V, (B, T))
    state: DecoderState = model.start(B)
    expected, whole = model.decode(ids, state)
    logits = []
    for piece in ids.split([1, 7, 2, 1], dim=1):
        more, state = model.decode(piece, state)
        logits.append(more)
    assert_close(torch.cat(logits, dim=1), expected)
    assert isinstance(state, WindowState)
    assert torch.equal(state.tokens, whole.tokens)
    assert state.tokens.shape == (B, min(window - 1, T))


def test_a_token_is_seen_within_the_window_alone() -> None:
    model, ids = make(), torch.randint(V - 1, (B, T))
    changed = ids.clone()
    changed[:, 3] = V - 1
    differs = (read(model, ids) != read(model, changed)).any(dim=-1)
    assert differs.tolist() == [[3 <= t < 3 + W for t in range(T)]] * B


def test_tied_matrices_are_one() -> None:
    model = make(tied_embeddings=True, d_hidden=D)
    assert model.output_layer()[0] is model.embedding.weight
    assert sorted(model.state_dict()) == ["embedding.weight", "hidden.bias", "hidden.weight", "output_bias"]


def test_tied_matrices_need_one_width() -> None:
    with pytest.raises(ValidationError, match="needs `d_hidden` equal to `d_model`, but got d_hidden=7 and d_model=5"):
        make(tied_embeddings=True)


def test_dropout_draws_in_training_alone() -> None:
    model, ids = make(dropout=0.5), torch.randint(V, (B, T))
    assert torch.equal(read(model, ids), read(model, ids))
    model.train()
    assert not torch.equal(read(model, ids), read(model, ids))
