"""Table 1 of "Attention Is All You Need" (Vaswani et al. 2017), measured: what a model takes at length n.

- *Time*: the forward and the backward pass of a step in training mode, the output layer over the vocabulary and the
  change of the weights left out.
- *Memory*: the bytes of all that the forward pass keeps for the backward pass, weights left out: counted from the
  tensors themselves, the same in every run.
- *Sequential operations* and *path length*: counted by `dependence`, in evaluation mode, on a CPU and in float64. The
  weights are untrained: what can influence what does not depend on them.

The maximum path length is the largest over all pairs of an input and an output position that are to be joined: each
source token with each target position; each token of a target or a text with all positions from its own on.
"""

import copy
import math
import time
from collections.abc import Sequence
from functools import partial
from statistics import median

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from attento.comparison.config import TableConfig
from attento.comparison.dependence import NO_PATH, longest_chain, shortest_paths
from attento.comparison.probe import Flow, longest_input, run, trace
from attento.comparison.results import Counts, Growth, Quantity, Table
from attento.evaluation.growth import exponent, kept_for_backward

# So that weights which start at zero hide no path.
_NOISE = 0.02


def measure_table(model: nn.Module, config: TableConfig, device: torch.device) -> Table | None:
    """Measure a model; lengths that it cannot take are left out, and None is returned where fewer than two are left."""
    limit = longest_input(model) or math.inf
    lengths = [each for each in config.lengths if each <= limit]
    counted = [each for each in config.path_lengths if each <= limit]
    if len(lengths) < 2 or len(counted) < 2:
        return None
    sequential, paths = count_operations(model, counted)
    model = model.to(device).train()
    seconds = [_seconds(model, length, config, device) for length in lengths]
    kept = [kept_for_backward(model, partial(run, model, length, config.rows)) for length in lengths]
    return Table(
        seconds=_growth(lengths, seconds, "s"),
        memory=_growth(lengths, [Quantity(value=each) for each in kept], "bytes"),
        sequential=sequential,
        paths=paths,
    )


def count_operations(model: nn.Module, lengths: Sequence[int]) -> tuple[Counts, dict[str, Counts]]:
    """Count a model's sequential operations, and its maximum path length for each way that information takes."""
    model = copy.deepcopy(model).to("cpu", torch.float64).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(_NOISE * torch.randn_like(parameter))
            parameter.requires_grad_(False)
    chains: list[int] = []
    paths: dict[str, list[int | None]] = {}
    for length in lengths:
        # Of a fused kernel's parts autograd shows nothing.
        with sdpa_kernel(SDPBackend.MATH):
            # A row for each output position, so that all of them can be looked at together.
            traced = trace(model, length, rows=length)
        chains.append(longest_chain(traced.outputs))
        positions = torch.arange(length).clamp(max=traced.outputs.size(1) - 1)
        for flow in traced.flows:
            found = shortest_paths(traced.outputs, flow.inputs, positions)
            paths.setdefault(flow.name, []).append(_longest_of(found, flow, length))
    at = tuple(lengths)
    counts = {name: Counts(lengths=at, values=tuple(values)) for name, values in paths.items()}
    return Counts(lengths=at, values=tuple(chains)), counts


def _longest_of(found: Sequence[Int[Tensor, "_ _"]], flow: Flow, length: int) -> int | None:
    """Return the longest of the paths that are to be there; None where one is not."""
    longest = 0
    for lengths in found:
        wanted = torch.ones_like(lengths, dtype=torch.bool)
        if flow.causal:
            # What stands before the text (of padding, say) has no output position of its own.
            wanted = wanted.tril(lengths.size(1) - length)
            wanted[:, : lengths.size(1) - length] = False
        if (lengths[wanted] == NO_PATH).any():
            return None
        longest = max(longest, int(lengths[wanted].max()))
    return longest


def _seconds(model: nn.Module, length: int, config: TableConfig, device: torch.device) -> Quantity:
    taken = [_step(model, length, config.rows, device) for _ in range(config.repeats + 1)][1:]
    spread = f"lowest and highest of {config.repeats} runs"
    return Quantity(value=median(taken), low=min(taken), high=max(taken), spread=spread, runs=config.repeats)


def _step(model: nn.Module, length: int, rows: int, device: torch.device) -> float:
    started = _now(device)
    _total(run(model, length, rows)).backward()  # type: ignore[no-untyped-call]
    taken = _now(device) - started
    model.zero_grad()
    return taken


def _total(outputs: Float[Tensor, "B T D"]) -> Float[Tensor, ""]:
    return outputs.float().square().mean()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _growth(lengths: Sequence[int], values: Sequence[Quantity], unit: str) -> Growth:
    slope = exponent(lengths, [each.value for each in values])
    return Growth(lengths=tuple(lengths), values=tuple(values), exponent=slope, unit=unit)
