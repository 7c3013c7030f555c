"""Why scores are divided by sqrt(d_k): how far they spread, and how sharp the softmax is, with and without.

Vaswani et al. 2017, section 3.2.1, footnote 4: of components with mean 0 and variance 1 the product q k has variance
d_k. "At initialisation" is a fresh attention whose weights are drawn as the models draw them, over vectors of unit
normal components, as a normalization hands them on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attento.engines.loading import evaluating
from attento.evaluation.report.section import Figure, Grid, Section, number
from attento.inspection.probes.result import Result
from attento.inspection.probes.tracing import traces
from attento.models.layers import draw_linear
from attento.nn.attention import MultiHeadAttention

WIDTHS = (8, 16, 32, 64, 128, 256, 512)
_D_MODEL, _TOKENS = 512, 64


@dataclass(frozen=True)
class Spread:
    """How far scores spread and how sharp the weights are.

    Attributes:
        name: of the head, or empty.
        d_key: d_k.
        variance: of q k over the keys of a query, the mean over queries.
        variance_divided: the same of q k / sqrt(d_k).
        entropy: of softmax(q k), as a share of the greatest there can be: 1 is even, 0 is all on one.
        entropy_divided: the same of softmax(q k / sqrt(d_k)).
    """

    name: str
    d_key: int
    variance: float
    variance_divided: float
    entropy: float
    entropy_divided: float


@dataclass(frozen=True)
class ScaleResult(Result):
    """What the division does: in fresh attention by d_k, and in the trained heads of a run.

    `divides` tells whether the run's own model divides.
    """

    task: ClassVar[str] = "scale"
    sentences: int
    divides: bool
    fresh: tuple[Spread, ...]
    trained: tuple[Spread, ...]

    def sections(self) -> tuple[Section, ...]:
        """Return the findings as words, tables and figures."""
        words = (
            "Variance: of the products q k over the keys of a query. Entropy: of the softmax, as a share of the "
            "greatest there can be; 1 looks at all keys alike, 0 at one alone."
        )
        fresh = Section(
            "At initialisation",
            words,
            (Grid(("d_k", *_COLUMNS), tuple((str(each.d_key), *_cells(each)) for each in self.fresh)),),
            (self._figure(),),
        )
        does = "divides" if self.divides else "does not divide"
        told = f"The heads of this run, whose model {does}, on {self.sentences} sentences."
        rows = tuple((each.name, str(each.d_key), *_cells(each)) for each in self.trained)
        return fresh, Section("After training", told, (Grid(("head", "d_k", *_COLUMNS), rows),))

    def _figure(self) -> Figure:
        widths = [each.d_key for each in self.fresh]
        lines = {
            "q k": [each.variance for each in self.fresh],
            "q k / sqrt(d_k)": [each.variance_divided for each in self.fresh],
        }
        drawn = tuple(
            {"type": "scatter", "mode": "lines+markers", "name": name, "x": widths, "y": values}
            for name, values in lines.items()
        )
        return Figure("Variance of the scores at initialisation", drawn, "d_k", "variance", logarithmic=True)


_COLUMNS = ("variance", "divided", "entropy", "of the divided")


def _cells(spread: Spread) -> tuple[str, ...]:
    shown = spread.variance, spread.variance_divided, spread.entropy, spread.entropy_divided
    return tuple(map(number, shown))


def probe_scale(
    run: str, model: nn.Module, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], seed: int = 1
) -> ScaleResult:
    """Measure what dividing by sqrt(d_k) does.

    Args:
        run: what the model is called.
        model: one with multi-head attention.
        pairs: ids of texts without marks, each with that of its translation where the model writes one.
        seed: of the fresh weights and vectors.
    """
    attention = next(part for part in model.modules() if isinstance(part, MultiHeadAttention))
    with evaluating(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = tuple(map(fresh_spread, WIDTHS))
        return ScaleResult(run, len(pairs), attention.scale is None, fresh, _trained(model, pairs))


@torch.inference_mode()
def fresh_spread(d_key: int) -> Spread:
    """Measure a fresh attention with keys of some width, with torch's global generator."""
    attention = MultiHeadAttention(_D_MODEL, _D_MODEL // d_key)
    attention.apply(draw_linear)
    hidden = torch.randn(1, _TOKENS, _D_MODEL)
    query = torch.unflatten(attention.query(hidden), -1, (attention.num_heads, -1)).transpose(1, 2)
    return _mean("", spreads(query, attention.keys_values(hidden).keys))


def spreads(
    query: Float[Tensor, "1 H T K"], key: Float[Tensor, "1 G S K"], seen: Bool[Tensor, "1 #H T S"] | None = None
) -> list[Spread]:
    """Measure each head; queries that may see fewer than two keys are left out.

    Args:
        query: of one text.
        key: of one text; each serves H / G heads in a row.
        seen: what each query may attend to; everything if None.
    """
    d_key = query.size(-1)
    products = query[0].double() @ key[0].double().repeat_interleave(query.size(1) // key.size(1), 0).transpose(1, 2)
    may = torch.ones_like(products, dtype=torch.bool) if seen is None else seen[0].expand_as(products)
    return [
        Spread(
            "",
            d_key,
            _variance(scores, allowed),
            _variance(scores / math.sqrt(d_key), allowed),
            _entropy(scores, allowed),
            _entropy(scores / math.sqrt(d_key), allowed),
        )
        for scores, allowed in zip(products, may, strict=True)
    ]


def _variance(scores: Float[Tensor, "T S"], seen: Bool[Tensor, "T S"]) -> float:
    rows = [row[may].var(correction=0) for row, may in zip(scores, seen, strict=True) if may.sum() > 1]
    return float(torch.stack(rows).mean()) if rows else 0.0


def _entropy(scores: Float[Tensor, "T S"], seen: Bool[Tensor, "T S"]) -> float:
    rows = []
    for row, may in zip(scores, seen, strict=True):
        if may.sum() > 1:
            logs = row[may].log_softmax(dim=0)
            rows.append(-(logs.exp() * logs).sum() / math.log(int(may.sum())))
    return float(torch.stack(rows).mean()) if rows else 0.0


def _trained(model: nn.Module, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Spread, ...]:
    found: dict[str, list[Spread]] = {}
    for trace in traces(model, pairs, ("query", "key", "scores")):
        for attention in trace.attentions:
            if attention.query is None or attention.key is None or attention.scores is None:
                continue
            measured = spreads(attention.query, attention.key, attention.scores > -math.inf)
            for head, spread in enumerate(measured):
                found.setdefault(f"{attention.kind} {attention.layer}.{head}", []).append(spread)
    return tuple(_mean(name, each) for name, each in found.items())


def _mean(name: str, found: Sequence[Spread]) -> Spread:
    return Spread(
        name,
        found[0].d_key,
        fmean(each.variance for each in found),
        fmean(each.variance_divided for each in found),
        fmean(each.entropy for each in found),
        fmean(each.entropy_divided for each in found),
    )
