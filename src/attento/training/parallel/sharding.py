"""Weights of which each process keeps a share alone: torch's FSDP2, and `MasterWeights` over what it makes.

Zhao et al. 2023, "PyTorch FSDP", section 3; Rajbhandari et al. 2020, "ZeRO", section 5. Each process keeps its share of
the float32 weights and of the optimizer's state. For a step all weights are gathered at once, in the number format that
the model computes with; of the gradients each process gets its share of the sum, added up in float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from attento.training.update.precision import MasterWeights, fill, lent


def shard(module: nn.Module, device: torch.device, size: int, dtype: torch.dtype) -> None:
    """Leave each of `size` processes its share of a module's parameters; called by all of them.

    One group of parameters, not one a layer: between gathering and the end of the backward pass the processes then
    need nothing of each other, so that they can agree on what to do where one of them ran out of memory.
    """
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    fully_shard(module, mesh=init_device_mesh(device.type, (size,)), mp_policy=policy)


class ShardedWeights(MasterWeights):
    """The weights of a model that `shard` shared out; what gathers them is called by all processes at once."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Take a model whose parameters are shared out."""
        super().__init__(model, torch.float32)
        self.dtype = dtype

    def load(self, weights: dict[str, Tensor]) -> None:
        """Set all weights; every process is given all of them.

        Raises:
            RuntimeError: names or shapes are not those of the model.
        """
        with self.in_full():
            fill(self.model, weights)
            full = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        with torch.no_grad():
            for name, own in self.shared_out(full).items():
                self.named[name].copy_(own)

    def whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors of the optimizer as they are saved: gathered from all processes, one after the other."""
        return {name: _gathered(tensor).cpu() for name, tensor in tensors.items()}

    def shared_out(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's share of each tensor whose name ends with a weight's; others stay as they are."""
        return {name: self._share(name.rpartition("/")[2], tensor) for name, tensor in tensors.items()}

    @contextmanager
    def in_full(self) -> Iterator[None]:
        """Let the model have all float32 weights, gathered for as long as that."""
        full = {name: nn.Parameter(_gathered(parameter.detach())) for name, parameter in self.named.items()}
        with lent(self.model, full):
            yield

    def _share(self, name: str, tensor: Tensor) -> Tensor:
        weight: Tensor | None = self.named.get(name)
        # The optimizer's counters of steps are single numbers, and everybody's own.
        if not isinstance(weight, DTensor) or tensor.shape != weight.shape:
            return tensor
        tensor = tensor.to(weight.device)
        return distribute_tensor(tensor, weight.device_mesh, weight.placements, src_data_rank=None)


def _gathered(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
