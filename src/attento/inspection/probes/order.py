"""What order is to a model: attention alone has none, positions bring it in, and each head keeps its own distances.

Self-attention is equivariant to permutations: shuffled tokens come out as the same vectors, shuffled alike. Vaswani et
al. 2017, section 3.5, add positions for that reason.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attento.engines.loading import evaluating
from attento.evaluation.report.section import Figure, Grid, Section, number
from attento.inspection.probes.result import Result
from attento.inspection.probes.tracing import traces
from attento.inspection.record import available
from attento.models.base import EncoderDecoder, MaskedLanguageModel, Sentences
from attento.nn.positions import LearnedPositions, NoPositions, SinusoidalPositions
from attento.nn.relation import BucketBiases, LinearBiases, NoRelations, RotaryRelations
from attento.text.special import EOS_ID

FARTHEST = 10
"""Distances from here on are told as one."""


@dataclass(frozen=True)
class Profile:
    """How far a head looks: its mean attention by distance, key's place less query's, of the pairs there are.

    `weights[d]` is that of distance `distances[d]`; the outermost two stand for all beyond. `mean` is the mean of
    |distance|, weighted by attention.
    """

    head: str
    distances: tuple[int, ...]
    weights: tuple[float, ...]
    mean: float


@dataclass(frozen=True)
class OrderResult(Result):
    """What order is to a model.

    Attributes:
        sentences: how many were read.
        change: the mean relative change of the encoder's vectors under a random permutation of its tokens, put back in
            order: |E(x)P - E(xP)| / |E(x)|, in float64; None for a model without encoder.
        change_without: the same with the positions taken out; None where there are none to take out.
        profiles: each head's distances; none for a model whose attention does not look at its own text.
    """

    task: ClassVar[str] = "order"
    sentences: int
    change: float | None
    change_without: float | None
    profiles: tuple[Profile, ...]

    def sections(self) -> tuple[Section, ...]:
        """Return the findings as words, tables and figures."""
        made = []
        if self.change is not None:
            words = (
                f"{self.sentences} sentences are read with their tokens in their own and in a random order. Relative "
                "change of the encoder's vectors, put back in order, in float64: where it is no more than rounding, "
                "order means nothing to the encoder (it is equivariant to permutations)."
            )
            rows = [("as trained", f"{self.change:.2g}")]
            if self.change_without is not None:
                rows.append(("without positions", f"{self.change_without:.2g}"))
            made.append(Section("Tokens shuffled", words, (Grid(("model", "relative change"), tuple(rows)),)))
        if self.profiles:
            made.append(self._profiles())
        return tuple(made)

    def _profiles(self) -> Section:
        words = (
            "How far heads look within their own text. A distance of -1 is the token before; the outermost two stand "
            "for all beyond. Favourite: the distance that gets most of the attention."
        )
        columns = ("head", "mean distance", "favourite", "its share", "itself")
        rows = []
        for each in self.profiles:
            top = max(range(len(each.weights)), key=each.weights.__getitem__)
            itself = each.weights[each.distances.index(0)]
            rows.append(
                (each.head, number(each.mean), f"{each.distances[top]:+d}", number(each.weights[top]), number(itself))
            )
        lines: tuple[dict[str, Any], ...] = tuple(
            {"type": "scatter", "mode": "lines", "name": p.head, "x": list(p.distances), "y": list(p.weights)}
            for p in self.profiles
        )
        figure = Figure("Attention by distance", lines, "distance", "share of attention")
        return Section("Distances", words, (Grid(columns, tuple(rows)),), (figure,))


def probe_order(
    run: str, model: nn.Module, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], seed: int = 1
) -> OrderResult:
    """Measure what order is to a model.

    Args:
        run: what the model is called.
        model: the model.
        pairs: ids of texts without marks, each with that of its translation where the model writes one.
        seed: of the permutations.
    """
    sources = [source for source, _ in pairs]
    with evaluating(model):
        change, change_without = None, None
        if isinstance(model, EncoderDecoder | MaskedLanguageModel):
            exact = copy.deepcopy(model).to("cpu", torch.float64)
            change = shuffling_changes(exact, sources, seed)
            if _take_positions_out(exact):
                change_without = shuffling_changes(exact, sources, seed)
        return OrderResult(run, len(pairs), change, change_without, _profiles(model, pairs))


@torch.inference_mode()
def shuffling_changes(
    model: EncoderDecoder | MaskedLanguageModel, sources: Sequence[Sequence[int]], seed: int
) -> float:
    """Return the mean of |E(x)P - E(xP)| / |E(x)| over sentences x, each with a random permutation P of its tokens.

    The end of sentence is a token among the others. The model in evaluation mode.
    """
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for source in sources:
        ids = torch.tensor([[*source, EOS_ID]])
        order = torch.randperm(ids.size(1), generator=generator)
        vectors = _encode(model, ids)
        total += float((vectors[:, order] - _encode(model, ids[:, order])).norm() / vectors.norm())
    return total / len(sources)


def _encode(model: EncoderDecoder | MaskedLanguageModel, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
    real = torch.ones_like(ids, dtype=torch.bool)
    if isinstance(model, EncoderDecoder):
        return model.encode(ids, real).hidden
    return model.features(Sentences(ids, real))


def _take_positions_out(model: nn.Module) -> bool:
    """Put nothing in the place of all that tells a model of places; return whether there was anything."""
    found = False
    for parent in [*model.modules()]:
        for name, part in [*parent.named_children()]:
            if isinstance(part, SinusoidalPositions | LearnedPositions):
                width = (part.table if isinstance(part, SinusoidalPositions) else part.weight).size(1)
                setattr(parent, name, NoPositions(width).double())
            elif isinstance(part, RotaryRelations | LinearBiases | BucketBiases):
                setattr(parent, name, NoRelations())
            else:
                continue
            found = True
    return found


def _profiles(model: nn.Module, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Profile, ...]:
    if "weights" not in available(model):
        return ()
    sums: dict[str, Float[Tensor, " D"]] = {}
    far: dict[str, float] = {}
    rows: dict[str, int] = {}
    for trace in traces(model, pairs, "weights"):
        for attention in trace.attentions:
            if attention.rows != attention.columns:
                continue
            for head, weights in enumerate(attention.weights[0].double().cpu()):
                name = f"{attention.kind} {attention.layer}.{head}"
                places = torch.arange(len(weights))
                distances = places[None] - places[:, None]
                near = distances.clamp(-FARTHEST, FARTHEST) + FARTHEST
                empty = torch.zeros(2 * FARTHEST + 1, dtype=torch.float64)
                sums[name] = sums.get(name, empty).index_add(0, near.flatten(), weights.flatten())
                far[name] = far.get(name, 0.0) + float((weights * distances.abs()).sum())
                rows[name] = rows.get(name, 0) + len(weights)
    told = tuple(range(-FARTHEST, FARTHEST + 1))
    return tuple(
        Profile(name, told, tuple((total / rows[name]).tolist()), far[name] / rows[name])
        for name, total in sums.items()
    )
