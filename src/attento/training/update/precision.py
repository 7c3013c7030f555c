"""Weights in two number formats: float32 ones that the optimizer changes, bfloat16 ones that the model computes with.

Micikevicius et al. 2018, "Mixed precision training", section 3.1: a step is often smaller than the last digit of a
half-precision weight, so the sum of many steps needs the finer format.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn


class MasterWeights:
    """The weights of a model in float32, by name, and the model in the number format that it computes with.

    Where that is float32 they are one and the same, and every method does next to nothing.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Take a model in float32; its parameters are in `dtype` from here on."""
        self.model = model
        self.dtype = dtype
        self._apart = dtype != torch.float32
        self.named: dict[str, nn.Parameter] = dict(model.named_parameters())
        if self._apart:
            self.named = {name: nn.Parameter(each.detach().clone()) for name, each in self.named.items()}
            for parameter in model.parameters():
                parameter.data = parameter.data.to(dtype)

    def parameters(self) -> list[nn.Parameter]:
        """Return what an optimizer is to change."""
        return list(self.named.values())

    def tensors(self) -> dict[str, Tensor]:
        """Return all that the model has to save, by name: the weights themselves, not copies."""
        with self.in_full():
            return {name: tensor.detach() for name, tensor in self.model.state_dict().items()}

    def take_gradients(self) -> None:
        """Add the gradients of the model's parameters to the masters' own, and take them from the model."""
        if not self._apart:
            return
        for master, parameter in zip(self.named.values(), self.model.parameters(), strict=True):
            if parameter.grad is None:
                continue
            if master.grad is None:
                master.grad = parameter.grad.to(master.dtype)
            else:
                master.grad += parameter.grad
            parameter.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Give the model what the optimizer has made of the weights."""
        if self._apart:
            copies = [parameter.data for parameter in self.model.parameters()]
            torch._foreach_copy_(copies, [master.data for master in self.named.values()])

    def load(self, weights: dict[str, Tensor]) -> None:
        """Set all weights.

        Raises:
            RuntimeError: names or shapes are not those of the model.
        """
        with self.in_full():
            fill(self.model, weights)
        self.publish()

    def whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors of the optimizer as they are saved: as they are, for each is whole."""
        return tensors

    def shared_out(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return saved tensors of the optimizer as it takes them: as they are."""
        return tensors

    @contextmanager
    def in_full(self) -> Iterator[None]:
        """Let the model have the float32 weights themselves: to judge it, to save it, to load it."""
        with lent(self.model, self.named) if self._apart else nullcontext():
            yield


@torch.no_grad()
def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set all that a model saves, as `load_state_dict` does, but without the hooks that hang on a wrapped model.

    Raises:
        RuntimeError: names or shapes are not those of the model.
    """
    own = model.state_dict()
    wrong = [f"`{name}` is missing" for name in own.keys() - weights.keys()]
    wrong += [f"`{name}` is unknown" for name in weights.keys() - own.keys()]
    wrong += [
        f"`{name}` is {tuple(weights[name].shape)}, but should be {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if wrong:
        raise RuntimeError("; ".join(sorted(wrong)))
    for name, tensor in own.items():
        tensor.copy_(weights[name])


@contextmanager
def lent(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Let a model have other parameters for a while; its own come back untouched, with all that hangs on them."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    places = [
        (module, place, parameter)
        for module in model.modules()
        for place, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
    ]
    try:
        for module, place, parameter in places:
            setattr(module, place, weights[names[parameter]])
        yield
    finally:
        for module, place, parameter in places:
            setattr(module, place, parameter)
