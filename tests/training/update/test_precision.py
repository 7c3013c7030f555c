"""The model computes with rounded weights, the optimizer changes exact ones, and the two are never mixed up."""

import pytest
import torch
from torch import nn

from attento.training.update.precision import MasterWeights


def make_model() -> nn.Module:
    model = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 5), nn.Linear(5, 7))
    model[2].weight = model[0].weight  # tied: one weight of two names
    model.register_buffer("table", torch.randn(3))
    return model


def backward(model: nn.Module) -> None:
    model(torch.arange(7)).float().square().sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masters_are_exact_and_the_model_has_them_rounded(dtype: torch.dtype) -> None:
    model = make_model()
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    weights = MasterWeights(model, dtype)
    assert list(weights.named) == list(before)
    for name, exact in before.items():
        assert torch.equal(weights.named[name], exact)
        assert torch.equal(model.get_parameter(name), exact.to(dtype))
    assert model.table.dtype == torch.float32


def test_steps_too_small_for_bfloat16_add_up() -> None:
    model = make_model()
    weights = MasterWeights(model, torch.bfloat16)
    master, parameter = weights.named["1.weight"], model[1].weight
    with torch.no_grad():
        master.fill_(1.0)
    for _ in range(64):
        with torch.no_grad():
            master += 2**-12  # bfloat16 knows nothing between 1 and 1 + 2^-7
        weights.publish()
    assert torch.equal(parameter, torch.full((5, 5), 1 + 2**-6, dtype=torch.bfloat16))


def test_gradients_are_added_up_in_float32_and_leave_the_model() -> None:
    model = make_model()
    weights = MasterWeights(model, torch.bfloat16)
    backward(model)
    once = {name: each.grad.float() for name, each in model.named_parameters()}
    weights.take_gradients()
    for _ in range(2):
        backward(model)
        weights.take_gradients()
    for name, master in weights.named.items():
        assert model.get_parameter(name).grad is None
        assert torch.equal(master.grad, once[name] + once[name] + once[name])


def test_in_full_the_model_is_exact_and_afterwards_rounded_again() -> None:
    model = make_model()
    exact = {name: each.detach().clone() for name, each in model.named_parameters()}
    weights = MasterWeights(model, torch.bfloat16)
    with pytest.raises(ArithmeticError), weights.in_full():
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, exact[name])
        raise ArithmeticError
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, exact[name].bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_saved_is_exact_and_loads_into_both(dtype: torch.dtype) -> None:
    weights = MasterWeights(make_model(), dtype)
    saved = {name: each.clone() for name, each in weights.tensors().items()}
    assert set(saved) == {"0.weight", "1.weight", "1.bias", "2.weight", "2.bias", "table"}
    assert {each.dtype for each in saved.values()} == {torch.float32}
    other = MasterWeights(make_model(), dtype)
    other.load(saved)
    for name, master in other.named.items():
        assert torch.equal(master, saved[name])
        assert torch.equal(other.model.get_parameter(name), saved[name].to(dtype))


def test_weights_of_another_model_are_refused() -> None:
    weights = MasterWeights(make_model(), torch.bfloat16)
    with pytest.raises(RuntimeError, match=r"1\.bias"):
        weights.load({})
