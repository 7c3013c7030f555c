"""Does a model know what "it" means, what do its heads look at when they translate it, and which of them it needs?

Three kinds of evidence, from weak to strong: which of two translations the model holds for more probable; where each
head's attention goes; and what becomes of the answers when a head is switched off (Michel et al. 2019,
arXiv:1905.10650, section 3.2) or the antecedent is hidden from those who translate the pronoun.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, TypeAlias

from jaxtyping import Float
from torch import Tensor

from attento.engines.loading import evaluating
from attento.evaluation.report.section import Figure, Grid, Section, number
from attento.inspection.gates import Head, heads_of, heads_off
from attento.inspection.probes.contrasts import LeftOut, Tokens, accuracy, margins
from attento.inspection.probes.result import Result
from attento.inspection.probes.tracing import traces
from attento.inspection.probes.views import VIEWS, margins_hidden
from attento.models.base import EncoderDecoder

CHANCE = 0.5
NEAR = 0.1
"""What is at most so far above chance counts as near it."""
_MOST_NAMED = 4
"""No more than one in so many heads are called few."""
_DRAWS = 10
_Looks: TypeAlias = tuple[float | None, float | None, float | None]
_UNKNOWN: _Looks = (None, None, None)


@dataclass(frozen=True)
class HeadEvidence:
    """One head: where it looks from the pronoun, and how the model does without it.

    Attributes:
        head: its name.
        antecedent: the mean share of its attention that goes from the pronoun to the antecedent; None where it is not
            known what stands where.
        distractor: that to the other noun.
        adjective: that to the word which decides; None in attention to the translation, where it is still to come.
        accuracy: the share of contrasts that are told rightly while it is off.
        margin: the mean of log p(right) - log p(wrong) while it is off, in nats.
    """

    head: str
    antecedent: float | None
    distractor: float | None
    adjective: float | None
    accuracy: float
    margin: float


@dataclass(frozen=True)
class ViewEvidence:
    """The same with one of both nouns hidden from those who translate the pronoun."""

    view: str
    noun: str
    accuracy: float
    margin: float


@dataclass(frozen=True)
class ContextEvidence:
    """The same with the sentences before the pronoun's own left out of the source, of the translations, or of both."""

    left_out: LeftOut
    accuracy: float
    margin: float


@dataclass(frozen=True)
class Carriers:
    """The few heads without which the pronouns are lost, chosen on every other contrast and tried on those between.

    Attributes:
        heads: their names; none where no few heads are enough.
        whole: accuracy of the whole model on the contrasts that they are tried on.
        without: accuracy with these heads off.
        random: accuracies with as many other heads off, a draw each.
    """

    heads: tuple[str, ...]
    whole: float
    without: float | None = None
    random: tuple[float, ...] = ()


@dataclass(frozen=True)
class PronounResult(Result):
    """What a translation model makes of pronouns.

    Attributes:
        data: what was asked.
        contrasts: how many.
        accuracy: the share that is told rightly; `CHANCE` is guessing.
        margin: the mean of log p(right) - log p(wrong), in nats.
        heads: the evidence of each head; none where there are none that can be switched off.
        views: the evidence of what is hidden.
        contexts: the evidence of what is left out; none where there are no sentences before the pronoun's own.
        carriers: the heads that carry it; None where the model does no better than near chance.
    """

    task: ClassVar[str] = "pronouns"
    data: str
    contrasts: int
    accuracy: float
    margin: float
    heads: tuple[HeadEvidence, ...]
    views: tuple[ViewEvidence, ...]
    contexts: tuple[ContextEvidence, ...]
    carriers: Carriers | None

    def sections(self) -> tuple[Section, ...]:
        """Return the findings as words, tables and figures."""
        words = (
            f"{self.contrasts} sentences of {self.data}, each with a right and a wrong translation that differ in what "
            "the pronoun means. Accuracy: how often the right one is the more probable; a coin has 0.5. Margin: by how "
            "many nats, on average."
        )
        rows = (("whole model", number(self.accuracy), number(self.margin)),)
        made = [Section("Right or wrong", words, (Grid(("model", "accuracy", "margin"), rows),))]
        if self.contexts:
            made.append(self._contexts())
        if self.views:
            made.append(self._views())
        if self.heads:
            made += [self._heads(), self._carriers()]
        return tuple(made)

    def _contexts(self) -> Section:
        words = (
            "The sentences before the pronoun's own, where the noun stands, are left out of the source, of both "
            "translations, or of all: there nothing is left to go by but habit."
        )
        rows = tuple((each.left_out, number(each.accuracy), number(each.margin)) for each in self.contexts)
        return Section("Without the sentence before", words, (Grid(("left out of", "accuracy", "margin"), rows),))

    def _views(self) -> Section:
        words = (
            "One noun is hidden from those who translate the pronoun. The antecedent is what the pronoun means, the "
            "distractor the other noun that it could have meant."
        )
        rows = tuple((f"{v.noun}, {v.view}", number(v.accuracy), number(v.margin)) for v in self.views)
        return Section("With a noun hidden", words, (Grid(("hidden", "accuracy", "margin"), rows),))

    def _heads(self) -> Section:
        words = (
            "Attention: the share that goes from the pronoun (in the decoder: from the step that writes it) to each of "
            "both nouns, and to the adjective that decides between them. Accuracy and margin: of the model with this "
            "head switched off."
        )
        columns = ("head", "to antecedent", "to distractor", "to adjective", "accuracy without", "margin without")
        rows = tuple(
            (h.head, *map(number, (h.antecedent, h.distractor, h.adjective, h.accuracy, h.margin))) for h in self.heads
        )
        names = [h.head for h in self.heads]
        bars = (
            _bars("to antecedent", names, [h.antecedent for h in self.heads]),
            _bars("to distractor", names, [h.distractor for h in self.heads]),
            _bars("to adjective", names, [h.adjective for h in self.heads]),
        )
        looks = Figure("Attention from the pronoun", bars, "head", "share")
        without = (_bars("accuracy", names, [h.accuracy for h in self.heads]),)
        figures = (looks,) if self.heads[0].antecedent is not None else ()
        switched = Figure("Accuracy with one head off", without, "head", "accuracy")
        return Section("Head by head", words, (Grid(columns, rows),), (*figures, switched))

    def _carriers(self) -> Section:
        title, found = "The heads that carry it", self.carriers
        if found is None:
            return Section(title, "The whole model is near chance: there is nothing to carry.")
        if found.without is None:
            return Section(title, f"No {len(self.heads) // _MOST_NAMED} heads or fewer bring the model near chance.")
        words = (
            "Heads are switched off in the order of what each costs alone, until accuracy is near chance, on every "
            "other sentence; measured on those between."
        )
        low, high = min(found.random), max(found.random)
        rows = (
            ("none", number(found.whole)),
            (", ".join(found.heads), number(found.without)),
            (
                f"as many others, {len(found.random)} draws",
                f"{number(fmean(found.random))} [{number(low)}, {number(high)}]",
            ),
        )
        return Section(title, words, (Grid(("switched off", "accuracy"), rows),))


def probe_pronouns(
    run: str,
    model: EncoderDecoder,
    contrasts: Sequence[Tokens],
    data: str,
    seed: int = 1,
    *,
    shortened: Mapping[LeftOut, Sequence[Tokens]] | None = None,
) -> PronounResult:
    """Ask a translation model for the meaning of pronouns.

    Args:
        run: what the model is called.
        model: the model.
        contrasts: what to ask.
        data: what these are called.
        seed: of the draws of random heads.
        shortened: the same contrasts with sentences left out, where there are sentences before the pronoun's own.
    """
    with evaluating(model):
        whole = margins(model, contrasts)
        heads = heads_of(model)
        without = {head: _margins_without(model, contrasts, [head]) for head in heads}
        looks = _attention(model, contrasts)
        evidence = tuple(
            HeadEvidence(head.name, *looks.get(head, _UNKNOWN), accuracy(each), float(each.mean()))
            for head, each in without.items()
        )
        return PronounResult(
            run=run,
            data=data,
            contrasts=len(contrasts),
            accuracy=accuracy(whole),
            margin=float(whole.mean()),
            heads=evidence,
            views=_views(model, contrasts),
            contexts=_contexts(model, shortened or {}),
            carriers=_carriers(model, contrasts, whole, without, seed),
        )


def _margins_without(model: EncoderDecoder, contrasts: Sequence[Tokens], heads: Sequence[Head]) -> Float[Tensor, " N"]:
    with heads_off(model, heads):
        return margins(model, contrasts)


def _contexts(model: EncoderDecoder, shortened: Mapping[LeftOut, Sequence[Tokens]]) -> tuple[ContextEvidence, ...]:
    found = {left_out: margins(model, contrasts) for left_out, contrasts in shortened.items()}
    return tuple(ContextEvidence(name, accuracy(each), float(each.mean())) for name, each in found.items())


def _views(model: EncoderDecoder, contrasts: Sequence[Tokens]) -> tuple[ViewEvidence, ...]:
    kinds = {head.kind for head in heads_of(model)}
    placed = [each for each in contrasts if each.places]
    found = []
    for noun in ("antecedent", "distractor"):
        for name, wanted in VIEWS.items():
            if placed and kinds.issuperset(wanted):
                hidden = margins_hidden(model, placed, noun, wanted)
                found.append(ViewEvidence(name, noun, accuracy(hidden), float(hidden.mean())))
    return tuple(found)


def _attention(model: EncoderDecoder, contrasts: Sequence[Tokens]) -> dict[Head, _Looks]:
    """Return each head's mean attention from the pronoun to antecedent, distractor and adjective."""
    placed = [each for each in contrasts if each.places]
    heads = {(head.attention, head.head): head for head in heads_of(model)}
    if not placed or not heads:
        return {}
    sums: dict[Head, list[list[float]]] = {head: [] for head in heads.values()}
    for each, trace in zip(placed, traces(model, [(c.source, c.right) for c in placed], "weights"), strict=True):
        for attention in trace.attentions:
            rows, words = _where(each, attention.rows, attention.columns)
            looks = attention.weights[0][:, rows].double().mean(dim=1)  # (H, T, S) -> (H, S)
            for place, weights in enumerate(looks):
                sums[heads[attention.name, place]].append([float(weights[word].sum()) for word in words])
    return {head: _means(rows) for head, rows in sums.items()}


def _means(rows: Sequence[Sequence[float]]) -> _Looks:
    means = [fmean(column) for column in zip(*rows, strict=True)]
    return means[0], means[1], means[2] if len(means) > 2 else None


def _where(each: Tokens, rows: str, columns: str) -> tuple[list[int], list[list[int]]]:
    """Return from where the pronoun looks in an attention, and where the words stand there that it may look at."""
    read = len(each.source) + 1  # with eos
    queries = {"source": each.places["pronoun"], "target": [each.step], "source and target": [read + each.step]}
    if columns == "target":
        # What the decoder is given stands one step after what it writes: bos comes first.
        nouns = each.places["target antecedent"], each.places["target distractor"]
        return queries[rows], [[place + 1 for place in noun] for noun in nouns]
    return queries[rows], [each.places[name] for name in ("antecedent", "distractor", "adjective")]


def _carriers(
    model: EncoderDecoder,
    contrasts: Sequence[Tokens],
    whole: Float[Tensor, " N"],
    without: dict[Head, Float[Tensor, " N"]],
    seed: int,
) -> Carriers | None:
    if not without or accuracy(whole[::2]) <= CHANCE + NEAR:
        return None
    choosing, trying = contrasts[::2], contrasts[1::2]
    ranked = sorted(without, key=lambda head: float(without[head][::2].mean()))
    for count in range(1, len(ranked) // _MOST_NAMED + 1):
        if accuracy(_margins_without(model, choosing, ranked[:count])) <= CHANCE + NEAR:
            break
    else:
        return Carriers((), accuracy(whole[1::2]))
    draw = random.Random(seed)
    others = [draw.sample(ranked[count:], count) for _ in range(_DRAWS)]
    return Carriers(
        heads=tuple(head.name for head in ranked[:count]),
        whole=accuracy(whole[1::2]),
        without=accuracy(_margins_without(model, trying, ranked[:count])),
        random=tuple(accuracy(_margins_without(model, trying, heads)) for heads in others),
    )


def _bars(name: str, heads: Sequence[str], values: Sequence[float | None]) -> dict[str, Any]:
    return {"type": "bar", "name": name, "x": list(heads), "y": list(values)}
