"""Whether an exported model does what the run's own does: the same ids, logits and greedy outputs, on real text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from jaxtyping import Float
from torch import Tensor

from attento.errors import InputError
from attento.interop.export.base import EXACT, NEVER_WRITTEN, Criterion, Runner, TrainedModel
from attento.models.base import EncoderDecoder
from attento.text.special import EOS_ID

TIE = 1e-3
"""How far apart the logits of two tokens are, in float32, that count as equally probable."""
# What is checked of a sentence, in tokens: enough to meet every position that sentences have.
_MOST_TOKENS = 256
_PROMPT_TOKENS, _CONTINUATION_TOKENS = 32, 32


@dataclass(frozen=True)
class Verification:
    """What was found on some sentences.

    Attributes:
        sentences: how many there were.
        differently_cut: in how many of them the exported tokenizer gives other ids.
        largest_difference: between a logit of the one and of the other, when both read our own greedy output; of ids
            that may be written alone.
        agreeing: in how many of them greedy search gives the same ids, or parts from ours at a tie.
        ties: how many of these part from ours where the two tokens' logits, in our model, are within `TIE` of each
            other: there, which is greater says nothing.
        first_disagreement: the first sentence in which ids differ otherwise.
        criterion: what was asked of the model.
        least_cosine: between both models' logits, in the sentence where it is least.
        mean_cosine: the same, the mean over sentences.
    """

    sentences: int
    differently_cut: int
    largest_difference: float
    agreeing: int
    ties: int
    first_disagreement: str | None
    criterion: Criterion = EXACT
    least_cosine: float = 1.0
    mean_cosine: float = 1.0

    @property
    def problems(self) -> list[str]:
        """What makes the exported model another one."""
        found = []
        if self.differently_cut:
            found.append(f"the tokenizer gives other ids in {self.differently_cut} of {self.sentences} sentences")
        most, cosine = self.criterion.difference, self.criterion.cosine
        if cosine is not None and not self.mean_cosine >= cosine:
            found.append(
                f"the cosine of logits is {self.mean_cosine:.6f}, but must be at least {cosine:g}; choose a finer "
                "compute type"
            )
        if most is None:
            return found
        if not self.largest_difference <= most:
            found.append(f"logits differ by up to {self.largest_difference:.2g}, but at most {most:g} is allowed")
        if self.agreeing < self.sentences:
            differing = self.sentences - self.agreeing
            found.append(f"greedy outputs differ in {differing} of {self.sentences} sentences")
        if self.first_disagreement is not None:
            found.append(f"the first such sentence: {self.first_disagreement}")
        return found

    @property
    def text(self) -> str:
        """The same in a line."""
        ties = f", {self.ties} of them up to a tie" if self.ties else ""
        cosines = f"cosine of logits {self.mean_cosine:.6f}, in one sentence {self.least_cosine:.6f}, "
        return (
            f"{self.sentences} sentences: largest logit difference {self.largest_difference:.2g}, "
            f"{'' if self.criterion.cosine is None else cosines}greedy ids agree in {self.agreeing}{ties}"
        )


@dataclass(frozen=True)
class _Comparison:
    same_cut: bool
    difference: float
    cosine: float
    agrees: bool
    tied: bool


def verify(
    run: TrainedModel,
    exported: Runner,
    sentences: Sequence[str],
    tell: Callable[[int], None],
    criterion: Criterion = EXACT,
) -> Verification:
    """Compare an exported model with the run's own, sentence by sentence.

    A language model goes on from the beginning of each sentence. Both models read the ids of the run's own tokenizer,
    whatever the exported one says.

    A sentence that the tokenizer finds nothing in is left out: some formats give no logits for it.

    Args:
        run: the run.
        exported: what was written, read again.
        sentences: real text, no line of it empty.
        tell: called with how many sentences are done.
        criterion: what is asked of it.

    Raises:
        InputError: the tokenizer finds nothing in any of them.
    """
    sentences = [sentence for sentence in sentences if run.encode(sentence)]
    if not sentences:
        raise InputError("there is no sentence to compare the exported model on: the tokenizer finds nothing in any")
    found = []
    for done, sentence in enumerate(sentences, start=1):
        found.append(_compare(run, exported, sentence))
        tell(done)
    bad = (text for text, each in zip(sentences, found, strict=True) if not (each.same_cut and each.agrees))
    return Verification(
        sentences=len(found),
        differently_cut=sum(not each.same_cut for each in found),
        largest_difference=max(each.difference for each in found),
        agreeing=sum(each.agrees for each in found),
        ties=sum(each.tied for each in found),
        first_disagreement=next(bad, None),
        criterion=criterion,
        least_cosine=min(each.cosine for each in found),
        mean_cosine=sum(each.cosine for each in found) / len(found),
    )


def _compare(run: TrainedModel, exported: Runner, sentence: str) -> _Comparison:
    ids = run.encode(sentence)
    source, room = _lengths(run, ids)
    ours, theirs = run.greedy(source, room), exported.greedy(source, room)
    logits = run.logits(source, ours)
    written = [i for i in range(logits.size(-1)) if i not in NEVER_WRITTEN[run.task]]
    both = logits[:, written], exported.logits(source, ours)[:, written].to(logits)
    tied = ours != theirs and _is_tie(logits, ours, theirs)
    same_cut = exported.encode(sentence) == ids
    return _Comparison(same_cut, _difference(*both), _cosine(*both), ours == theirs or tied, tied)


def _lengths(run: TrainedModel, ids: Sequence[int]) -> tuple[Sequence[int], int]:
    """Return the ids that are read, and how many may be written."""
    model = run.model
    if isinstance(model, EncoderDecoder):
        source = ids[: min(_MOST_TOKENS, (model.max_source_length or _MOST_TOKENS + 1) - 1)]
        room = min(len(source) + run.search.max_extra_length, _MOST_TOKENS)
        return source, min(room, (model.max_target_length or room + 1) - 1)
    # Bos is read too; a text that fills the model's positions leaves none to write at.
    limit = model.max_length or _PROMPT_TOKENS + _CONTINUATION_TOKENS + 1
    source = ids[: min(_PROMPT_TOKENS, (limit - 1) // 2)]
    return source, min(_CONTINUATION_TOKENS, limit - 1 - len(source))


def _difference(ours: Float[Tensor, "T V"], theirs: Float[Tensor, "T V"]) -> float:
    """Return the largest difference; infinite where something is no number."""
    largest = (ours - theirs).abs().max()
    return float(largest) if torch.isfinite(largest) else float("inf")


def _cosine(ours: Float[Tensor, "T V"], theirs: Float[Tensor, "T V"]) -> float:
    """Return the mean over tokens of the cosine between their logits; minus one where something is no number.

    The mean of a token's logits is taken away first: a number that is added to all of them changes no probability.
    """
    one, other = (logits.double() - logits.double().mean(dim=-1, keepdim=True) for logits in (ours, theirs))
    mean = torch.cosine_similarity(one, other, dim=-1).mean()
    return float(mean) if torch.isfinite(mean) else -1.0


def _is_tie(logits: Float[Tensor, "T V"], ours: Sequence[int], theirs: Sequence[int]) -> bool:
    """Tell whether two outputs part where our own model has no preference."""
    place, (one, other) = next(
        (place, pair) for place, pair in enumerate(zip_longest(ours, theirs, fillvalue=EOS_ID)) if pair[0] != pair[1]
    )
    row = logits[len(logits) - len(ours) - 1 + place]
    return bool((row[one] - row[other]).abs() <= TIE)
