"""How what a computation takes grows with the length of what it is given."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn


def kept_for_backward(model: nn.Module, forward: Callable[[], Tensor]) -> int:
    """Count the bytes that a forward pass keeps for the backward pass; a tensor that is kept twice counts once."""
    weights = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}
    # The tensors themselves, so that no address is given to another one meanwhile.
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = forward()
    total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del outputs
    return total


def exponent(lengths: Sequence[int], values: Sequence[float]) -> float:
    """Return b of the least-squares line log value = a + b log length: 1 for linear growth, 2 for quadratic."""
    slope, _ = np.polyfit(np.log(lengths), np.log(values), 1)
    return float(slope)
