"""Heads that are switched off gather nothing, hidden tokens are not seen, and nothing stays behind."""

from typing import Any

import pytest
import torch
from architectures import TRANSLATION, classifier, language_model, translation_model
from torch import Tensor

from attento.inspection.gates import Head, heads_of, heads_off, view_hidden
from attento.inspection.record import record
from attento.models.base import EncoderDecoder
from attento.models.translation.transformer import Transformer

B, S, T, V = 3, 7, 5, 17


def make(name: str = "transformer", **changes: Any) -> Transformer:
    model = translation_model(TRANSLATION[name] | changes, V, V).double().eval()
    assert isinstance(model, Transformer)
    return model


def draw() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randint(4, V, (B, S)), torch.arange(S) < torch.tensor([[7], [4], [5]]), torch.randint(4, V, (B, T))


def logits_of(model: EncoderDecoder, source: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    with torch.no_grad():
        return model.decode(target, model.start(model.encode(source, mask)))[0]


def test_heads_are_counted_in_the_order_of_the_layers() -> None:
    names = [head.name for head in heads_of(make(num_heads=2, d_model=12))]
    assert names == [
        *(f"encoder self {layer}.{head}" for layer in (0, 1) for head in (0, 1)),
        *(f"{kind} {layer}.{head}" for layer in (0, 1) for kind in ("decoder self", "cross") for head in (0, 1)),
    ]
    reader = language_model({"architecture": "decoder_only", "d_model": 12, "num_heads": 3, "d_ff": 13}, V)
    assert {head.kind for head in heads_of(reader)} == {"decoder self"}
    assert heads_of(classifier({"architecture": "decomposable_attention", "d_model": 11}, V, 3)) == ()


@pytest.mark.parametrize("name", ["transformer", "transformer_llama_shaped", "transformer_without_projections"])
def test_a_head_that_is_off_adds_nothing(name: str) -> None:
    model, (source, mask, target) = make(name), draw()
    off = [heads_of(model)[1], next(head for head in heads_of(model) if head.kind == "cross" and head.head == 2)]
    before = logits_of(model, source, mask, target)
    with record(model, "context") as trace, torch.no_grad():
        model.encode(source, mask)
    context = trace.find("encoder self", 0).context
    attention = model.encoder[0].self_attention
    assert context is not None
    caught = []
    with heads_off(model, off):
        hook = attention.register_forward_hook(lambda module, inputs, output: caught.append(output))
        gated = logits_of(model, source, mask, target)
        hook.remove()
    # Without head 1, the output projection gets zeros in its place.
    kept = context.clone()
    kept[:, 1] = 0
    expected = attention.output(kept.transpose(1, 2).flatten(2))
    torch.testing.assert_close(caught[0], expected, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(gated, before)
    assert torch.equal(logits_of(model, source, mask, target), before)


def test_all_heads_off_is_as_if_nothing_were_read() -> None:
    model, (source, mask, target) = make(), draw()
    other = torch.randint(4, V, (B, S))
    with heads_off(model, [head for head in heads_of(model) if head.kind == "cross"]):
        assert torch.equal(logits_of(model, source, mask, target), logits_of(model, other, mask, target))


def test_a_head_that_is_not_there() -> None:
    with pytest.raises(AttributeError), heads_off(make(), [Head("encoder.7.self_attention", "encoder self", 7, 0)]):
        pass


@pytest.mark.parametrize("kind", ["encoder self", "decoder self", "cross"])
def test_hidden_keys_get_no_weight_and_the_others_share_it(kind: Any) -> None:
    model, (source, mask, target) = make(), draw()
    rows, columns = {"encoder self": (S, S), "decoder self": (T, T), "cross": (T, S)}[kind]
    hidden = torch.zeros(B, rows, columns, dtype=torch.bool)
    hidden[0, 3, 1] = hidden[2, 2, 0] = True

    def weights() -> Tensor:
        with record(model, "weights") as trace:
            logits_of(model, source, mask, target)
        return trace.find(kind, 0).weights

    whole = weights()
    with view_hidden(model, kind, hidden):
        seen = weights()
    # Layer 0 of each stack has met no hidden token before: what is left of a row keeps its proportions.
    expected = whole.masked_fill(hidden[:, None], 0)
    expected = expected / expected.sum(-1, keepdim=True)
    if kind != "cross":
        torch.testing.assert_close(seen, expected, rtol=1e-10, atol=1e-12)
    assert (seen.masked_select(hidden[:, None]) == 0).all()
    torch.testing.assert_close(seen.sum(-1), torch.ones(B, 3, rows, dtype=torch.float64))
    assert torch.equal(weights(), whole)
