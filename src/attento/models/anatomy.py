"""What a model is made of: its parts as a tree, equal neighbours told once, and where its parameters sit."""

from dataclasses import dataclass, replace

from torch import nn

from attento.nn.alignment import Alignment
from attento.nn.attention import MultiHeadAttention
from attento.nn.convolution import CausalConvolution, SourceConvolution
from attento.nn.dropout import Dropout
from attento.nn.embedding import TokenEmbedding
from attento.nn.feed_forward import FeedForward, GatedFeedForward
from attento.nn.normalization import BatchNormalization, LayerNormalization, NoNormalization, RMSNormalization
from attento.nn.positions import LearnedPositions, NoPositions
from attento.nn.recurrent import Recurrent, StepwiseRecurrent
from attento.nn.relation import BucketBiases, NoRelations
from attento.nn.residual import LeftOut

_ROLES: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("token vectors and output", (TokenEmbedding,)),
    ("positions", (LearnedPositions, BucketBiases)),
    ("attention", (MultiHeadAttention, Alignment)),
    ("feed-forward", (FeedForward, GatedFeedForward)),
    ("recurrence", (Recurrent, StepwiseRecurrent)),
    ("convolution", (CausalConvolution, SourceConvolution)),
    ("normalization", (LayerNormalization, RMSNormalization, BatchNormalization)),
)
_NOTHING = (Dropout, LeftOut, NoNormalization, NoPositions, NoRelations, nn.Identity)


@dataclass(frozen=True)
class Part:
    """A part of a model, with the parts that it is made of.

    `name` is "encoder.0-5" where six numbered parts in a row are alike; `shape` tells the weights that are its own and
    no part's; `parameters` counts all that it holds.
    """

    name: str
    kind: str
    shape: str
    parameters: int
    parts: tuple["Part", ...] = ()
    count: int = 1


def anatomy(model: nn.Module, name: str = "") -> Part:
    """Return the tree of a model's parts; what does nothing (dropout, a part left out) is not told."""
    parts: list[Part] = []
    for label, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            parts += [replace(part, name=f"{label}.{part.name}") for part in anatomy(child).parts]
        elif not isinstance(child, _NOTHING):
            parts.append(anatomy(child, label))
    own = [f"{label} {_size(weight.shape)}" for label, weight in model.named_parameters(recurse=False)]
    total = sum(weight.numel() for weight in model.parameters())
    return Part(name, type(model).__name__, ", ".join(own), total, tuple(_fold(parts)))


def parameters_by_role(model: nn.Module) -> dict[str, int]:
    """Count the parameters that are token vectors, attention, feed-forward network and so on; the rest is "other"."""
    counts = dict.fromkeys([role for role, _ in _ROLES], 0)
    total = _count(model, counts)
    counts["other"] = total - sum(counts.values())
    return {role: count for role, count in counts.items() if count}


def _count(module: nn.Module, counts: dict[str, int]) -> int:
    total = sum(weight.numel() for weight in module.parameters())
    for role, kinds in _ROLES:
        if isinstance(module, kinds):
            counts[role] += total
            return total
    for child in module.children():
        _count(child, counts)
    return total


def _fold(parts: list[Part]) -> list[Part]:
    folded: list[Part] = []
    for part in parts:
        last = folded[-1] if folded else None
        if last is not None and part.name.isdigit() and replace(last, name="", count=1) == replace(part, name=""):
            folded[-1] = replace(last, name=f"{last.name.partition('-')[0]}-{part.name}", count=last.count + 1)
        else:
            folded.append(part)
    return folded


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
