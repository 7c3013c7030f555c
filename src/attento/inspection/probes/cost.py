"""What attention costs as texts grow: time and memory of the readable and of the fused form, and how fast they rise.

Vaswani et al. 2017, Table 1: a layer of self-attention takes O(n^2 d). Memory is what the forward pass keeps for the
backward pass, counted from the tensors themselves; the fused form need not keep the n x n weights (Dao et al. 2022,
arXiv:2205.14135).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from attento.evaluation.growth import exponent, kept_for_backward
from attento.evaluation.report.section import Figure, Grid, Section, number
from attento.inspection.probes.result import Result
from attento.nn.attention import MultiHeadAttention, Zeros, fused_attention, scaled_dot_product_attention

LENGTHS = (64, 128, 256, 512, 1024, 2048)
_REPEATS = 5
_FORMS: dict[str, Callable[..., Tensor]] = {
    "readable": lambda *inputs: scaled_dot_product_attention(*inputs)[0],
    "fused": fused_attention,
}


@dataclass(frozen=True)
class FormCost:
    """What one form takes at each length, forward and backward, and the exponents of the power laws that fit best.

    Attributes:
        form: "readable" or "fused".
        seconds: the median of some runs.
        kept: bytes kept for the backward pass, the inputs included.
        time_exponent: the slope of log seconds over log length, over the longer half of the lengths.
        memory_exponent: that of the bytes.
    """

    form: str
    seconds: tuple[float, ...]
    kept: tuple[int, ...]
    time_exponent: float
    memory_exponent: float


@dataclass(frozen=True)
class CostResult(Result):
    """What one attention of a run's shape costs, for one sentence in float32."""

    task: ClassVar[str] = "cost"
    device: str
    heads: int
    d_key: int
    lengths: tuple[int, ...]
    forms: tuple[FormCost, ...]

    def sections(self) -> tuple[Section, ...]:
        """Return the findings as words, tables and figures."""
        words = (
            f"One sentence, {self.heads} heads of {self.d_key}, float32, forward and backward, on {self.device}: the "
            f"median of {_REPEATS} runs. Exponents are fitted over the longer half: 1 is linear growth, 2 quadratic."
        )
        columns = tuple(f"n = {length}" for length in self.lengths)
        time_rows = tuple(
            (each.form, *(number(1000 * s) for s in each.seconds), f"{each.time_exponent:.2f}") for each in self.forms
        )
        kept_rows = tuple(
            (each.form, *(number(k / 2**20) for k in each.kept), f"{each.memory_exponent:.2f}") for each in self.forms
        )
        grids = Grid(("ms", *columns, "exponent"), time_rows), Grid(("MiB kept", *columns, "exponent"), kept_rows)
        figures = (
            self._figure("Time of attention", "seconds", [each.seconds for each in self.forms]),
            self._figure("Memory of attention", "bytes kept", [each.kept for each in self.forms]),
        )
        return (Section("Attention by length", words, grids, figures),)

    def _figure(self, title: str, unit: str, values: Sequence[Sequence[float]]) -> Figure:
        lines = tuple(
            {"type": "scatter", "mode": "lines+markers", "name": each.form, "x": list(self.lengths), "y": list(found)}
            for each, found in zip(self.forms, values, strict=True)
        )
        return Figure(title, lines, "tokens", unit, logarithmic=True)


def key_width(attention: MultiHeadAttention, model: nn.Module) -> int:
    """Return the width of one head's keys, d_k."""
    match attention.query:
        case nn.Linear(out_features=width) | Zeros(width=width):
            return int(width) // attention.num_heads
    # Nothing is projected: the heads share out the vectors themselves.
    return cast(int, model.d_model) // attention.num_heads


def probe_cost(run: str, model: nn.Module, lengths: Sequence[int] = LENGTHS) -> CostResult:
    """Measure what attention of a model's shape costs, on the device that the model is on.

    Args:
        run: what the model is called.
        model: one with multi-head attention; the shape of its first is taken.
        lengths: tokens of the sentences, rising.
    """
    attention = next(part for part in model.modules() if isinstance(part, MultiHeadAttention))
    device = next(model.parameters()).device
    heads, d_key = attention.num_heads, key_width(attention, model)
    forms = []
    for name, form in _FORMS.items():
        seconds, kept = zip(*(_measure(form, length, heads, d_key, device) for length in lengths), strict=True)
        half = len(lengths) // 2
        forms.append(
            FormCost(
                name,
                seconds,
                kept,
                exponent(lengths[half:], seconds[half:]),
                exponent(lengths[half:], kept[half:]),
            )
        )
    return CostResult(run, device.type, heads, d_key, tuple(lengths), tuple(forms))


def _measure(
    form: Callable[..., Tensor], length: int, heads: int, d_key: int, device: torch.device
) -> tuple[float, int]:
    """Return the median seconds of a forward and a backward pass, and the bytes kept between both."""
    inputs = [torch.randn(1, heads, length, d_key, device=device, requires_grad=True) for _ in range(3)]
    taken = []
    for _ in range(_REPEATS + 1):
        started = _now(device)
        form(*inputs).sum().backward()  # type: ignore[no-untyped-call]
        taken.append(_now(device) - started)
    # The first run prepares what the others find.
    return median(taken[1:]), kept_for_backward(nn.Identity(), lambda: form(*inputs))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
