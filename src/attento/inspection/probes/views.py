"""Contrasts told while a noun is hidden from those who translate the pronoun."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attento.inspection.gates import view_hidden
from attento.inspection.probes.contrasts import Tokens, batches_of, log_probabilities
from attento.inspection.trace import Kind
from attento.models.base import EncoderDecoder

VIEWS: dict[str, tuple[Kind, ...]] = {
    "from the pronoun in the encoder": ("encoder self",),
    "from the steps that write the pronoun and what follows": ("cross",),
    "from both": ("encoder self", "cross"),
    "from both and from the steps' own past": ("encoder self", "cross", "decoder self"),
}
"""From whom a noun can be hidden, and in which kinds of attention."""


@torch.inference_mode()
def margins_hidden(
    model: EncoderDecoder, contrasts: Sequence[Tokens], noun: str, kinds: Sequence[Kind]
) -> Float[Tensor, " N"]:
    """Return log p(right | source) - log p(wrong | source) in nats, with a noun hidden.

    Args:
        model: a Transformer in evaluation mode.
        contrasts: with their places.
        noun: "antecedent" or "distractor".
        kinds: the attention in which it is hidden: in "encoder self" from the pronoun, in "cross" from the steps that
            write the pronoun and what follows, in "decoder self" its translation from the same steps.
    """
    found = torch.zeros(len(contrasts), dtype=torch.float64)
    for rows in batches_of(contrasts):
        # Each twice: with its right and with its wrong translation.
        chosen = [contrasts[row] for row in rows] * 2
        pairs = [(each.source, each.right if i < len(rows) else each.wrong) for i, each in enumerate(chosen)]
        source = max(len(each) for each, _ in pairs) + 1
        target = max(len(each) for _, each in pairs) + 1
        with ExitStack() as hiding:
            for kind in kinds:
                hiding.enter_context(view_hidden(model, kind, _hidden(chosen, noun, kind, source, target)))
            right, wrong = log_probabilities(model, pairs).chunk(2)
        found[rows] = right - wrong
    return found


def _hidden(contrasts: Sequence[Tokens], noun: str, kind: Kind, source: int, target: int) -> Bool[Tensor, "B T S"]:
    """Return what each query must not see, in a batch of so many source and target tokens with their marks."""
    hidden = torch.zeros(
        len(contrasts),
        source if kind == "encoder self" else target,
        target if kind == "decoder self" else source,
        dtype=torch.bool,
    )
    for row, each in enumerate(contrasts):
        queries = each.places["pronoun"] if kind == "encoder self" else range(each.step, target)
        # What the decoder is given stands one step after what it writes: bos comes first.
        keys = each.places[noun]
        if kind == "decoder self":
            keys = [place + 1 for place in each.places[f"target {noun}"]]
        for query in queries:
            hidden[row, query, keys] = True
    return hidden
