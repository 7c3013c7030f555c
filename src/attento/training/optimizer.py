"""The optimizer, and its state by parameter name, so that a checkpoint needs no pickle."""

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from attento.training.config import OptimizerConfig


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> Optimizer:
    """Make the optimizer; decay, if any, is for matrices alone, not for biases and normalization gains."""
    betas = (config.beta1, config.beta2)
    if config.name == "adam":
        return Adam(model.parameters(), betas=betas, eps=config.epsilon, fused=True)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return AdamW(groups, betas=betas, eps=config.epsilon, fused=True)


def optimizer_tensors(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return the optimizer's state as tensors named `moment/parameter`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{key}/{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer_tensors(optimizer: Optimizer, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put tensors from `optimizer_tensors` back.

    Raises:
        KeyError: the model has no parameter of one of the names.
    """
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        key, _, parameter_name = name.partition("/")
        parameter = parameters[parameter_name]
        # The step counter too: a fused optimizer wants it on the device.
        optimizer.state[parameter][key] = torch.empty_like(tensor, device=parameter.device).copy_(tensor)
