"""What the gated causal convolutions promise: the formula and their reach."""

from typing import Any

import pytest
import torch
from torch import Tensor

from attento.models.language.config import CausalConvolutionConfig
from attento.models.language.convolutional import CausalConvolutionModel

# Rows, tokens, width, vocabulary; a reach of 1 + 2 * (1 + 3) = 9 tokens.
B, T, D, V = 3, 13, 5, 17
REACH = 9


def make(**changes: Any) -> CausalConvolutionModel:
    settings: dict[str, Any] = {
        "architecture": "causal_convolution", "d_model": D, "blocks": 2, "dilations": (1, 3), "width": 2,
    }  # fmt: skip
    return CausalConvolutionModel(CausalConvolutionConfig(**(settings | changes)), V).double().eval()


def read(model: CausalConvolutionModel, ids: Tensor) -> Tensor:
    return model.decode(ids, model.start(ids.size(0)))[0]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def by_loops(model: CausalConvolutionModel, ids: list[int]) -> Tensor:
    """Compute the logits of one text place by place from the weights alone (WaveNet, sections 2.3 and 2.4)."""
    weights = model.state_dict()
    columns = [weights["embedding.weight"][token] * D**0.5 for token in ids]
    skipped = [torch.zeros(D, dtype=torch.float64) for _ in ids]
    for number, dilation in enumerate((1, 3, 1, 3)):
        layer = {name: weights[f"layers.{number}.{name}"] for name in (
            "convolution.linear.weight", "convolution.linear.bias", "outputs.weight", "outputs.bias",
        )}  # fmt: skip
        earlier = [torch.zeros(D, dtype=torch.float64)] * dilation + columns
        later = []
        for t, column in enumerate(columns):
            kernel = layer["convolution.linear.weight"]
            seen = kernel[:, :D] @ earlier[t] + kernel[:, D:] @ column + layer["convolution.linear.bias"]
            gated = torch.tanh(seen[:D]) / (1 + torch.exp(-seen[D:]))
            out = layer["outputs.weight"] @ gated + layer["outputs.bias"]
            later.append(column + out[:D])
            skipped[t] = skipped[t] + out[D:]
        columns = later
    features = [weights["output.weight"] @ skip.clamp(min=0) + weights["output.bias"] for skip in skipped]
    return torch.stack([weights["embedding.weight"] @ feature for feature in features])


def test_logits_are_the_formula() -> None:
    model, ids = make(), torch.randint(V, (B, T))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    logits = read(model, ids)
    for row in range(B):
        assert_close(logits[row], by_loops(model, ids[row].tolist()))


def test_a_prediction_depends_on_its_receptive_field_and_on_nothing_else() -> None:
    model = make()
    assert (model.receptive_field, model.max_length) == (REACH, None)
    caught: list[Tensor] = []

    def catch(_module: Any, _ids: Any, output: Tensor) -> None:
        output.retain_grad()
        caught.append(output)

    model.embedding.register_forward_hook(catch)
    for position in range(T):
        logits = read(model, torch.randint(V, (B, T)))
        (logits[:, position] * torch.randn(V)).sum().backward()
        seen = caught[-1].grad.abs().sum(-1) > 0
        inside = [position - REACH < place <= position for place in range(T)]
        assert torch.equal(seen, torch.tensor(inside).expand(B, T))


@pytest.mark.parametrize(("place", "changed"), [(T - REACH - 1, False), (T - REACH, True)])
def test_a_token_out_of_reach_changes_nothing(place: int, changed: bool) -> None:
    model, ids = make(), torch.randint(V, (B, T))
    other = ids.clone()
    other[:, place] = (ids[:, place] + 1) % V
    difference = (read(model, ids)[:, -1] - read(model, other)[:, -1]).abs().amax(-1)
    assert torch.equal(difference > 1e-12, torch.full((B,), changed))


def test_the_default_settings_reach_over_more_than_a_hundred_tokens() -> None:
    model = CausalConvolutionModel(CausalConvolutionConfig(architecture="causal_convolution", d_model=D), V)
    assert model.receptive_field == 1 + 2 * 2 * (1 + 2 + 4 + 8 + 16)


@pytest.mark.parametrize(("tied", "matrices"), [(True, 1), (False, 2)])
def test_one_matrix_serves_where_tied(tied: bool, matrices: int) -> None:
    model = make(tied_embeddings=tied)
    names = [name for name in model.state_dict() if "embedding" in name]
    assert len(names) == matrices
    read(model, torch.randint(V, (B, T))).square().sum().backward()
    assert (model.output_layer()[0] is model.embedding.weight) is tied
    assert all((parameter.grad != 0).any() for parameter in model.parameters())
