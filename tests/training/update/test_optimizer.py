"""A step is the papers' formula, and a loaded state goes on as if it had never been saved."""

import pytest
import torch
from torch import Tensor, nn

from attento.training.config import OptimizerConfig
from attento.training.update.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors

ADAM = OptimizerConfig()
ADAMW = OptimizerConfig(name="adamw", beta1=0.8, beta2=0.95, epsilon=1e-6, weight_decay=0.3)
RATE = 0.01


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3), nn.Embedding(7, 3)).double()


def gradients(model: nn.Module, step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in model.parameters()]


def take_step(optimizer: torch.optim.Optimizer, model: nn.Module, step: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = RATE
    for parameter, gradient in zip(model.parameters(), gradients(model, step), strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("config", [ADAM, ADAMW])
def test_steps_are_the_formula(config: OptimizerConfig) -> None:
    model = make_model()
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in expected.items()}
    optimizer = build_optimizer(config, list(model.parameters()))
    for step in (1, 2, 3):
        for name, gradient in zip(expected, gradients(model, step), strict=True):
            # Kingma & Ba 2015, algorithm 1; the decay as in Loshchilov & Hutter 2019, algorithm 2.
            first, second = moments[name]
            first = config.beta1 * first + (1 - config.beta1) * gradient
            second = config.beta2 * second + (1 - config.beta2) * gradient**2
            moments[name] = first, second
            corrected = first / (1 - config.beta1**step), second / (1 - config.beta2**step)
            decay = RATE * config.weight_decay * expected[name] if expected[name].dim() > 1 else 0
            expected[name] = expected[name] - decay - RATE * corrected[0] / (corrected[1].sqrt() + config.epsilon)
        take_step(optimizer, model, step)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-12, atol=1e-14)


def test_only_matrices_decay() -> None:
    model = make_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(ADAMW, list(model.parameters()))
    for group in optimizer.param_groups:
        group["lr"] = RATE
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    kept = {name for name, p in model.named_parameters() if torch.equal(p.detach(), before[name])}
    assert kept == {"0.bias", "1.weight", "1.bias"}


@pytest.mark.parametrize("config", [ADAM, ADAMW])
def test_a_loaded_state_goes_on_the_same(config: OptimizerConfig) -> None:
    model = make_model().float()
    optimizer = build_optimizer(config, list(model.parameters()))
    for step in (1, 2):
        take_step(optimizer, model, step)
    tensors = {
        name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, dict(model.named_parameters())).items()
    }
    assert {name.split("/")[0] for name in tensors} == {"step", "exp_avg", "exp_avg_sq"}

    other = make_model().float()
    other.load_state_dict(model.state_dict())
    resumed = build_optimizer(config, list(other.parameters()))
    load_optimizer_tensors(resumed, dict(other.named_parameters()), tensors)
    for step in (3, 4):
        take_step(optimizer, model, step)
        take_step(resumed, other, step)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name


def test_the_loaded_state_is_a_copy() -> None:
    model = make_model()
    optimizer = build_optimizer(ADAM, list(model.parameters()))
    take_step(optimizer, model, 1)
    tensors = {
        name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, dict(model.named_parameters())).items()
    }
    other = build_optimizer(ADAM, list(model.parameters()))
    load_optimizer_tensors(other, dict(model.named_parameters()), tensors)
    take_step(other, model, 2)
    for name, tensor in optimizer_tensors(optimizer, dict(model.named_parameters())).items():
        assert torch.equal(tensor, tensors[name])


def test_a_state_of_another_model_is_refused() -> None:
    model = make_model()
    with pytest.raises(KeyError, match="other"):
        load_optimizer_tensors(
            build_optimizer(ADAM, list(model.parameters())),
            dict(model.named_parameters()),
            {"step/other": torch.ones(())},
        )
