"""Taking something away from a model for a while, to see what depended on it: heads, and one token's view of others.

Hooks do it; the model's own code knows nothing of them, and they are gone when the block ends.
"""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from attento.inspection.sites import sites
from attento.inspection.trace import Kind
from attento.nn.attention import MultiHeadAttention


@dataclass(frozen=True)
class Head:
    """One head of one attention; layers and heads are counted from 0.

    `attention` is the module's path in the model.
    """

    attention: str
    kind: Kind
    layer: int
    head: int

    @property
    def name(self) -> str:
        """How it is called: "encoder self 0.3" is head 3 of the first layer."""
        return f"{self.kind} {self.layer}.{self.head}"


def heads_of(model: nn.Module) -> tuple[Head, ...]:
    """Return the heads that can be switched off: those of multi-head attention, in the order of the model's layers."""
    return tuple(
        Head(site.name, site.kind, site.layer, head)
        for site in sites(model)
        if isinstance(site.module, MultiHeadAttention) and site.kind is not None
        for head in range(site.module.num_heads)
    )


@contextmanager
def heads_off(model: nn.Module, heads: Iterable[Head]) -> Iterator[None]:
    """Let some heads gather nothing while the block runs: their context is zero before the output projection.

    Michel et al. 2019 (arXiv:1905.10650), section 2.3: the gate of each of these heads is 0, all others are 1.

    Raises:
        AttributeError: the model has no such attention.
    """
    by_attention: dict[str, list[int]] = {}
    for head in heads:
        by_attention.setdefault(head.attention, []).append(head.head)
    with ExitStack() as hooks:
        for path, numbers in by_attention.items():
            attention = model.get_submodule(path)
            assert isinstance(attention, MultiHeadAttention)
            gates = torch.ones(attention.num_heads, 1, dtype=torch.bool)
            gates[numbers] = False
            handle = attention.output.register_forward_pre_hook(_gate(gates))
            hooks.callback(handle.remove)
        yield


@contextmanager
def view_hidden(model: nn.Module, kind: Kind, hidden: Bool[Tensor, "B T S"]) -> Iterator[None]:
    """Hide keys from queries in every layer's attention of one kind, and in every head, while the block runs.

    What a query may still attend to shares its weights among itself, as the mask would have it.

    Args:
        model: one whose batches and lengths, while the block runs, are those of `hidden`.
        kind: which attention.
        hidden: for each row, what each query must not see.
    """
    with ExitStack() as hooks:
        for path in dict.fromkeys(head.attention for head in heads_of(model) if head.kind == kind):
            handle = model.get_submodule(path).register_forward_pre_hook(_hide(hidden), with_kwargs=True)
            hooks.callback(handle.remove)
        yield


def _gate(gates: Bool[Tensor, "H 1"]) -> Any:
    def hook(output: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (context,) = inputs
        by_head = torch.unflatten(context, -1, (len(gates), -1))  # (B, T, H*E) -> (B, T, H, E)
        return by_head.masked_fill(~gates.to(context.device), 0).flatten(2)

    return hook


def _hide(hidden: Bool[Tensor, "B T S"]) -> Any:
    def hook(attention: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        given = inspect.signature(attention.forward).bind(*inputs, **named).arguments
        mask, seen = given.get("mask"), ~hidden[:, None].to(given["hidden"].device)
        return (), given | {"mask": seen if mask is None else mask & seen}

    return hook
