"""The optimizer, and its state by parameter name, so that a checkpoint needs no pickle."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from attento.training.config import OptimizerConfig


def build_optimizer(config: OptimizerConfig, weights: Sequence[Tensor]) -> Optimizer:
    """Make the optimizer; decay, if any, is for matrices alone, not for biases and normalization gains."""
    betas = (config.beta1, config.beta2)
    if config.name == "adam":
        return Adam(weights, betas=betas, eps=config.epsilon, fused=True)
    decayed = [each for each in weights if each.dim() > 1]
    plain = [each for each in weights if each.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return AdamW(groups, betas=betas, eps=config.epsilon, fused=True)


def optimizer_tensors(optimizer: Optimizer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the optimizer's state as tensors named `moment/weight`."""
    names = {weight: name for name, weight in weights.items()}
    return {
        f"{key}/{names[weight]}": value for weight, state in optimizer.state.items() for key, value in state.items()
    }


def load_optimizer_tensors(optimizer: Optimizer, weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Put tensors from `optimizer_tensors` back.

    Raises:
        KeyError: there is no weight of one of the names.
    """
    for name, tensor in tensors.items():
        key, _, weight_name = name.partition("/")
        weight = weights[weight_name]
        # The step counter too: a fused optimizer wants it on the device.
        optimizer.state[weight][key] = torch.empty_like(tensor, device=weight.device).copy_(tensor)
