"""How outputs depend on inputs, read from the graph along which gradients flow.

Two numbers, both counted and not timed:

- *Sequential operations*: the longest chain of operations of which each needs the result of the one before. So many
  steps a computation takes, however many processors work on it.
- *Path length*: the fewest operations through which a gradient flows from an output position back to an input
  position. So many operations stand between the two at least.

An operation is a node of autograd's graph that computes: a product, a nonlinearity, a normalization. Additions (and so
residual connections and sums) and whatever only moves data (views, slices, joins) are free. Of a fused operation that
autograd shows as one node (as that of a GPU's recurrence) the inside cannot be seen; on a CPU, in float64, torch writes
its recurrences out step by step. Knows no model.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.graph import Node

_FREE = frozenset(
    # Sums.
    "Add Sub Sum Mean Neg AccumulateGrad "
    # Parts, joins, copies and other shapes of the same numbers.
    "Alias AsStrided Cat Clone ConstantPadNd Copy CopySlices Expand Flip Gather Index IndexSelect MaskedFill "
    "MaskedSelect Permute Repeat ReshapeAlias Roll Select Slice Split SplitWithSizes Squeeze Stack T ToCopy Transpose "
    "Unbind Unfold UnsafeSplit UnsafeView Unsqueeze View Where".split()
)
NO_PATH = -1
"""Stands for the length of a path where there is none."""


def longest_chain(outputs: Float[Tensor, "..."]) -> int:
    """Count the operations of the longest chain that leads to the outputs (sequential operations)."""
    if outputs.grad_fn is None:
        return 0
    depth: dict[Node, int] = {}
    # Those that a node depends on come first.
    for node in reversed(_in_order(outputs.grad_fn)):
        depth[node] = _cost(node) + max((depth[each] for each, _ in node.next_functions if each is not None), default=0)
    return depth[outputs.grad_fn]


def shortest_paths(
    outputs: Float[Tensor, "B T D"], inputs: Sequence[Float[Tensor, "B _ _"]], positions: Int[Tensor, " B"]
) -> list[Int[Tensor, "B _"]]:
    """Count the operations of the shortest path from one output position of each row to every input position.

    A gradient is sent back from output position `positions[b]` of row b. At each node it is split by the number of
    operations that it has come through, and of those that arrive at the same element the shortest stays. Which elements
    of a gradient are zero is taken from the operations themselves, so that a mask, a window or a cut is seen as what it
    is; how large the others are does not matter, and they are drawn anew at each node: nothing vanishes on a long way.

    Args:
        outputs: vectors that were computed from the inputs.
        inputs: leaves of the graph, a vector a position; an input of other rows than the outputs is not understood.
        positions: for each row, the output position to start from.

    Returns:
        For each input the lengths, `NO_PATH` where no gradient arrives.
    """
    found = {id(leaf): torch.full(leaf.shape[:2], NO_PATH) for leaf in inputs}
    if outputs.grad_fn is not None:
        seed = torch.zeros_like(outputs)
        seed[torch.arange(len(positions)), positions] = 1
        _send_back(outputs.grad_fn, outputs.output_nr, seed, found)
    return [found[id(leaf)] for leaf in inputs]


# For each slot of a node, the gradient that has arrived by so many operations.
_Waves = dict[int, dict[int, Tensor]]


def _send_back(root: Node, slot: int, seed: Tensor, found: dict[int, Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    arrived: dict[Node, _Waves] = {root: {_cost(root): {slot: seed}}}
    for node in _in_order(root):
        open_to: dict[int, Tensor] = {}
        for count, gradients in sorted(arrived.pop(node, {}).items()):
            news = {slot: _only_new(gradient, slot, open_to) for slot, gradient in gradients.items()}
            drawn = {
                slot: torch.randn(new.shape, generator=generator, dtype=gradients[slot].dtype) * new
                for slot, new in news.items()
                if new.any()
            }
            if not drawn:
                continue
            if _kind(node) == "AccumulateGrad":
                lengths = found.get(id(node.variable))  # type: ignore[attr-defined]
                if lengths is not None:
                    lengths[news[0].any(dim=-1) & (lengths == NO_PATH)] = count
                continue
            results = _backward(node, drawn)
            for (source, source_slot), gradient in zip(node.next_functions, results, strict=True):
                if source is None or gradient is None:
                    continue
                # Where an operation stretched a smaller tensor, its gradients are added up, as autograd itself does.
                gradient = gradient.sum_to_size(source._input_metadata[source_slot].shape)
                wave = arrived.setdefault(source, {}).setdefault(count + _cost(source), {})
                wave[source_slot] = wave[source_slot] + gradient if source_slot in wave else gradient


def _backward(node: Node, gradients: dict[int, Tensor]) -> tuple[Tensor | None, ...]:
    """Let an operation turn the gradients of its results into those of its inputs."""
    if _kind(node) == "Relu":
        # Whether a unit is on is a matter of this input alone; it is a way all the same.
        return (gradients[0],)
    backward = cast(Callable[..., Any], node)
    results = backward(*(gradients.get(slot) for slot in range(len(node._input_metadata))))
    return results if isinstance(results, tuple) else (results,)


def _only_new(gradient: Tensor, slot: int, open_to: dict[int, Tensor]) -> Tensor:
    """Return which elements no shorter path has reached, and close them to longer ones."""
    new = gradient != 0
    if slot in open_to:
        new = new & open_to[slot]
    open_to[slot] = open_to[slot] & ~new if slot in open_to else ~new
    return new


def _in_order(root: Node) -> list[Node]:
    """Return all nodes of the graph, each before those that it depends on."""
    order: list[Node] = []
    met: set[Node] = set()
    stack = [(root, False)]
    while stack:
        node, finished = stack.pop()
        if finished:
            order.append(node)
        elif node not in met:
            met.add(node)
            stack.append((node, True))
            stack += [(each, False) for each, _ in node.next_functions if each is not None]
    return order[::-1]


def _cost(node: Node) -> int:
    return 0 if _kind(node) in _FREE else 1


def _kind(node: Node) -> str:
    """Return what a node does, as "Addmm" of "AddmmBackward0"."""
    return re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2])
