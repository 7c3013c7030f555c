"""What was seen inside a model: arrays by name, each attention by layer, kind and head. Knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from attento.errors import InputError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Kind = Literal["encoder self", "decoder self", "cross", "sentence"]
"""What looks at what: the source at itself, the target at itself, one text at another, a classifier's sentence."""


@dataclass(frozen=True)
class Attention:
    """One attention of one layer, as it was used; row t of `weights` is what token t gathers from.

    Where there is but one head, as in recurrent and convolutional models, H is 1. An array that an architecture does
    not have, or that nobody asked for, is None.
    """

    name: str
    """The module's path in the model."""
    kind: Kind
    layer: int
    weights: Float[Tensor, "B H T S"]
    query: Float[Tensor, "B H T K"] | None = None
    """As it was multiplied with the keys: turned, where places turn it."""
    key: Float[Tensor, "B G S K"] | None = None
    value: Float[Tensor, "B G S E"] | None = None
    scores: Float[Tensor, "B H T S"] | None = None
    """As the softmax was given them: scaled, with biases, minus infinity where nothing may be attended to."""
    context: Float[Tensor, "B H T E"] | None = None
    rows: str = "target"
    """The text whose tokens look: a key of `Trace.tokens`."""
    columns: str = "source"
    """The text that is looked at: a key of `Trace.tokens`."""

    @property
    def heads(self) -> int:
        """How many heads there are."""
        return self.weights.size(1)


@dataclass
class Trace:
    """All that was recorded in one pass, in the order in which it was computed."""

    attentions: list[Attention] = field(default_factory=list)
    arrays: dict[str, Tensor] = field(default_factory=dict)
    """Other arrays by "PATH NAME": "encoder.0 residual" (the stream after a layer), "encoder.0 feed_forward" (the
    activations inside the network), "encoder hidden" (states of a model without attention); and "logits"."""
    tokens: dict[str, list[list[str]]] = field(default_factory=dict)
    """The tokens of each text ("source", "target", "text", "sentence", ...), a list a row of the batch: for files and
    figures; whoever records may write them here."""

    def find(self, kind: Kind, layer: int, rows: str | None = None) -> Attention:
        """Return one attention.

        Args:
            kind: what looks at what.
            layer: which layer, counted from 0.
            rows: whose tokens look, where both of two texts look.

        Raises:
            InputError: there is none, or more than one; the message names what exists.
        """
        of_kind = [each for each in self.attentions if each.kind == kind]
        if not of_kind:
            raise InputError(f"there is no attention of the kind `{kind}` here; {self._what_exists()}")
        found = [each for each in of_kind if each.layer == layer and rows in (None, each.rows)]
        if not found:
            asked = f"layer {layer}" if rows is None else f"layer {layer} whose rows are `{rows}`"
            raise InputError(f"there is no {asked} of the kind `{kind}` here; {self._what_exists()}")
        if len(found) > 1:
            names = " or ".join(f'rows="{each.rows}"' for each in found)
            raise InputError(f"both texts look at each other in layer {layer} of the kind `{kind}`; say {names}")
        return found[0]

    def head(self, kind: Kind, layer: int, head: int, row: int = 0, rows: str | None = None) -> Float[Tensor, "T S"]:
        """Return the weights of one head in one row of the batch; both are counted from 0.

        Raises:
            InputError: there is no such kind, layer, head or row; the message names what exists.
        """
        attention = self.find(kind, layer, rows)
        for asked, count, name in ((head, attention.heads, "head"), (row, len(attention.weights), "row")):
            if not 0 <= asked < count:
                there = f"0 to {count - 1}" if count else "none"
                raise InputError(f"there is no {name} {asked} in `{attention.name}`; there are {count}: {there}")
        return attention.weights[row, head]

    def array(self, name: str) -> Tensor:
        """Return another array by its name in `arrays`.

        Raises:
            InputError: there is none; the message names what exists.
        """
        if name not in self.arrays:
            there = f"there are {', '.join(self.arrays)}" if self.arrays else "there are none but those of attention"
            raise InputError(f"there is no array `{name}` here; {there}")
        return self.arrays[name]

    def layers(self, kind: Kind) -> list[int]:
        """Return the layers that have an attention of a kind, in order."""
        return sorted({each.layer for each in self.attentions if each.kind == kind})

    def kinds(self) -> list[Kind]:
        """Return the kinds of attention there are, in the order in which they were computed."""
        return list(dict.fromkeys(each.kind for each in self.attentions))

    def rollout(self, kind: Kind = "encoder self") -> NDArray[Any]:
        """Follow attention through all layers of a kind: see `rollout`.

        Raises:
            InputError: there is no such kind, or its tokens do not look at themselves.
        """
        attentions = [self.find(kind, layer) for layer in self.layers(kind)] or [self.find(kind, 0)]
        if any(each.rows != each.columns for each in attentions):
            raise InputError(
                f"attention can be followed through layers only where a text looks at itself, not `{kind}`"
            )
        return rollout([as_numpy(each.weights) for each in attentions])

    def save(self, path: str | Path) -> None:
        """Write the trace as PATH.npz and PATH.json: see `saving.save`.

        Raises:
            InputError: the files cannot be written.
        """
        from attento.inspection.saving import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Trace":
        """Read what `save` has written: see `saving.load`.

        Raises:
            InputError: a file is missing, damaged or of another make.
        """
        from attento.inspection.saving import load

        return load(Path(path))

    def heatmap(self, layer: int = 0, head: int = 0, *, kind: Kind | None = None, row: int = 0) -> "Figure":
        """Draw one head's weights; `kind` is the first recorded if None.

        Raises:
            InputError: there is no such kind, layer, head or row; the message names what exists.
            MissingExtraError: plotly is not installed.
        """
        from attento.inspection.figures import heatmap

        return heatmap(self, kind or self._first_kind(), layer, head, row)

    def head_grid(self, *, kind: Kind | None = None, row: int = 0) -> "Figure":
        """Draw the weights of all layers and heads of a kind side by side; `kind` is the first recorded if None.

        Raises:
            InputError: there is no such kind or row; the message names what exists.
            MissingExtraError: plotly is not installed.
        """
        from attento.inspection.figures import head_grid

        return head_grid(self, kind or self._first_kind(), row)

    def _first_kind(self) -> Kind:
        if not self.attentions:
            raise InputError(f"no attention was recorded: {self._what_exists()}")
        return self.attentions[0].kind

    def _what_exists(self) -> str:
        if not self.attentions:
            return f"there are only the arrays {', '.join(self.arrays)}" if self.arrays else "nothing was recorded"
        parts = []
        for kind in self.kinds():
            here = [each for each in self.attentions if each.kind == kind]
            last, most = max(each.layer for each in here), max(each.heads for each in here)
            parts.append(f"`{kind}` with layers 0 to {last} and heads 0 to {most - 1}")
        return "there is " + ", ".join(parts)


def rollout(weights: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Follow attention through all layers (Abnar & Zuidema 2020, arXiv:2005.00928, section 3, "Attention rollout").

    With A_l = 0.5 W_l + 0.5 I, W_l the mean of layer l's heads, the flow to what comes out of the last layer is
    A_L ... A_2 A_1. Rows of A_l are made to sum to 1: a token that looks at nothing keeps what it is.

    Args:
        weights: of each layer from the first on, (..., H, T, T).

    Returns:
        From each token (rows) to each token of the input (columns): (..., T, T), in float64.

    Raises:
        ValueError: there are no layers.
    """
    if not weights:
        raise ValueError("attention of no layer cannot be followed")
    flow: NDArray[Any] | None = None
    for layer in weights:
        mixed = 0.5 * layer.astype(np.float64).mean(axis=-3) + 0.5 * np.eye(layer.shape[-1])
        mixed /= mixed.sum(axis=-1, keepdims=True)
        flow = mixed if flow is None else mixed @ flow
    assert flow is not None
    return flow


def as_numpy(array: Tensor) -> NDArray[Any]:
    """Return an array as numpy has it; in float32 where it is bfloat16, which numpy lacks."""
    array = array.detach().cpu()
    result: NDArray[Any] = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    return result
