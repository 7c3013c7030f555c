"""What is shown is what was used, for every architecture."""

from typing import Any

import architectures
import pytest
import torch
from recorded import EVERY, B, S, T, begin, make, sentences, target, work
from torch import Tensor, nn

from attento.decoding.greedy import greedy_search
from attento.errors import InputError
from attento.inspection.record import available, record
from attento.inspection.trace import Attention, Trace
from attento.models.base import EncoderDecoder, LanguageModel
from attento.models.classification.decomposable import SoftAlignment
from attento.models.classification.self_attentive import Annotation
from attento.models.translation.convolutional import SourceAttention
from attento.nn.alignment import Alignment
from attento.nn.attention import MultiHeadAttention

WITHOUT_ATTENTION = {
    *(("translation", name) for name in ("rnn_elman", "rnn_gru", "rnn_lstm_reversed", "bytenet")),
    *(("language", name) for name in ("window_mlp", "elman", "lstm", "gru", "causal_convolution")),
    *(("counted", name) for name in architectures.COUNTED),
}

with_attention = pytest.mark.parametrize(
    "which", [each for each in EVERY if each not in WITHOUT_ATTENTION], ids="-".join
)


def all_of(trace: Trace) -> dict[str, Tensor]:
    """All arrays of a trace by a name of their own."""
    names = ("weights", "query", "key", "value", "scores", "context")
    arrays = {
        f"{each.name} {each.rows} {name}": getattr(each, name)
        for each in trace.attentions
        for name in names
        if getattr(each, name) is not None
    }
    return arrays | trace.arrays


def mixed(attention: Attention) -> Tensor:
    """Weights times values, head by head."""
    assert attention.value is not None
    groups = attention.heads // attention.value.size(1)
    return torch.einsum("bhts,bhse->bhte", attention.weights, attention.value.repeat_interleave(groups, dim=1))


def returned_by(module: nn.Module, attention: Attention, mask: Tensor) -> Tensor:
    """What a module must have returned, told from recorded weights and values alone."""
    context = mixed(attention)
    match module:
        case MultiHeadAttention():
            return module.output(context.transpose(1, 2).flatten(2))
        case SourceAttention():
            return context[:, 0] * mask.sum(1).double().sqrt()[:, None, None]
        case Annotation():
            return attention.weights[:, :, 0]
        case _:
            assert isinstance(module, Alignment | SoftAlignment)
            return context[:, 0]


def kept_outputs(model: nn.Module, names: set[str]) -> dict[str, list[Tensor]]:
    outputs: dict[str, list[Tensor]] = {name: [] for name in names}
    for name in names:

        def keep(_module: nn.Module, _args: Any, output: Any, name: str = name) -> None:
            outputs[name].append(output[0] if isinstance(output, tuple) else output)

        model.get_submodule(name).register_forward_hook(keep)
    return outputs


@with_attention
def test_recorded_weights_times_values_are_what_the_fused_path_returned(
    which: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every product is "too long" for the readable form: the model takes the fused road.
    monkeypatch.setattr("attento.nn.attention._FEW_SCORES", 0)
    model = make(which)
    with record(model, ["weights", "value"]) as trace, torch.no_grad():
        work(model)
    outputs = kept_outputs(model, {each.name for each in trace.attentions})
    with torch.no_grad():
        work(model)
        for each in trace.attentions:
            module, mask = model.get_submodule(each.name), sentences(0).mask
            expected = returned_by(module, each, mask)
            seen = outputs[each.name]
            if isinstance(module, SoftAlignment):
                actual = seen[0 if each.rows == "first sentence" else 1]
            else:
                actual = torch.stack(seen, 1) if isinstance(module, Alignment) else torch.cat(seen, 1)
            torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)
    assert {each.name for each in trace.attentions} == {
        name
        for name, module in model.named_modules()
        if isinstance(module, MultiHeadAttention | Alignment | SourceAttention | Annotation | SoftAlignment)
    }


@with_attention
def test_scores_weights_and_context_are_one_computation(which: tuple[str, str]) -> None:
    model = make(which)
    names = [name for name in available(model) if name in ("query", "key", "value", "scores", "context")]
    with record(model, names) as trace, torch.no_grad():
        work(model)
    for each in trace.attentions:
        assert each.scores is not None
        assert each.context is not None
        somewhere = each.scores.isfinite().any(-1, keepdim=True)
        softmax = each.scores.masked_fill(~somewhere, 0).softmax(-1) * somewhere
        torch.testing.assert_close(each.weights, softmax, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(each.context, mixed(each), rtol=1e-9, atol=1e-12)
        assert ((each.weights.sum(-1) - somewhere[..., 0].double()).abs() < 1e-12).all()


@pytest.mark.parametrize("which", [each for each in EVERY if each[0] not in ("classification", "masked")], ids="-".join)
def test_steps_are_joined_to_what_one_pass_shows(which: tuple[str, str]) -> None:
    model = make(which)
    with torch.no_grad():
        with record(model, available(model)) as at_once:
            work(model)
        with record(model, available(model)) as by_steps:
            logits = work(model, (1, 4, 1, 1))
    expected, joined = all_of(at_once), all_of(by_steps)
    assert joined.keys() == expected.keys()
    for name, array in joined.items():
        torch.testing.assert_close(
            array, expected[name], rtol=1e-9, atol=1e-10, msg=lambda text, name=name: name + text
        )
    assert torch.equal(by_steps.array("logits"), logits)


@pytest.mark.parametrize("which", sorted(WITHOUT_ATTENTION), ids="-".join)
def test_a_model_without_attention_says_what_it_has(which: tuple[str, str]) -> None:
    model = make(which)
    there = "logits" if which[0] == "counted" else "hidden, logits"
    with pytest.raises(InputError, match=f"has no attention, so no `weights`; .*: {there}$"), record(model):
        work(model)


@pytest.mark.parametrize(
    "which", [each for each in EVERY if each in WITHOUT_ATTENTION and each[0] != "counted"], ids="-".join
)
def test_hidden_states_are_recorded_without_attention(which: tuple[str, str]) -> None:
    model = make(which)
    with record(model, ("hidden", "logits")) as trace:
        logits = work(model)
    assert trace.attentions == []
    hidden = {name: array for name, array in trace.arrays.items() if name.endswith("hidden")}
    assert hidden
    for name, array in hidden.items():
        assert array.dim() == 3, name
        assert not array.requires_grad
        assert array.size(1) == T or name.startswith("encoder")
    assert torch.equal(trace.array("logits"), logits)


def test_the_hidden_states_of_a_window_and_of_a_recurrent_network_are_what_predicts() -> None:
    for name in ("window_mlp", "gru"):
        model = make(("language", name))
        with record(model, "hidden") as trace:
            logits = work(model)
        ((_, hidden),) = trace.arrays.items()
        torch.testing.assert_close(model.project(hidden), logits, rtol=1e-12, atol=1e-12)


def test_the_residual_stream_ends_in_what_predicts() -> None:
    model = make(("translation", "transformer"))
    with record(model, ["residual", "feed_forward", "logits"]) as trace:
        logits = work(model)
    layers = [f"{stack}.{layer}" for stack in ("encoder", "decoder") for layer in (0, 1)]
    assert list(trace.arrays) == [f"{layer} {name}" for layer in layers for name in ("feed_forward", "residual")] + [
        "logits"
    ]
    assert isinstance(model, EncoderDecoder)
    torch.testing.assert_close(model.project(trace.array("decoder.1 residual")), logits, rtol=1e-12, atol=1e-12)
    inner = trace.array("encoder.0 feed_forward")
    assert inner.shape == (B, S, 19)
    assert inner.min() == 0  # behind a ReLU


def test_kinds_layers_and_texts_of_a_transformer() -> None:
    model = make(("translation", "transformer"))
    with record(model) as trace:
        work(model)
    assert [
        (each.kind, each.layer, each.rows, each.columns, tuple(each.weights.shape)) for each in trace.attentions
    ] == [
        ("encoder self", 0, "source", "source", (B, 3, S, S)),
        ("encoder self", 1, "source", "source", (B, 3, S, S)),
        ("decoder self", 0, "target", "target", (B, 3, T, T)),
        ("cross", 0, "target", "source", (B, 3, T, S)),
        ("decoder self", 1, "target", "target", (B, 3, T, T)),
        ("cross", 1, "target", "source", (B, 3, T, S)),
    ]
    padding = ~sentences(0).mask
    assert trace.find("cross", 1).weights.masked_select(padding[:, None, None]).max() == 0
    assert trace.find("decoder self", 0).weights.triu(1).max() == 0
    assert trace.find("cross", 0).query is None
    assert trace.arrays == {}


def test_both_sentences_of_a_pair_look_at_each_other() -> None:
    model = make(("classification", "decomposable_intra"))
    with record(model) as trace:
        work(model)
    # A null word stands before each sentence.
    assert {(each.name, each.kind, each.rows, each.columns) for each in trace.attentions} == {
        ("align", "cross", "first sentence", "second sentence"),
        ("align", "cross", "second sentence", "first sentence"),
        ("intra_sentence.align", "sentence", "first sentence", "first sentence"),
        ("intra_sentence.align", "sentence", "second sentence", "second sentence"),
    }
    with pytest.raises(InputError, match='say rows="first sentence" or rows="second sentence"'):
        trace.find("cross", 0)
    shown = trace.find("cross", 0, rows="second sentence").weights
    assert shown.shape == (B, 1, S + 1, S + 1)
    assert shown[:, 0, :, 1:].masked_select(~sentences(0).mask[:, None]).max() == 0


@pytest.mark.parametrize("name", ["transformer", "transformer_window", "prefix", "attention_dot", "convs2s"])
def test_a_greedy_search_is_recorded_though_rows_leave_it(name: str) -> None:
    model = make(("translation", name))
    assert isinstance(model, EncoderDecoder)
    caps = torch.tensor([4, 1, 6, 2, 3])
    with torch.no_grad():
        with record(model, ["weights", "scores", "value", "logits"]) as trace:
            found = greedy_search(model.decode, begin(model), bos_id=2, eos_id=3, max_lengths=caps)
        assert [len(each.ids) for each in found] == caps.tolist()
        for row, each in enumerate(found):
            source = sentences(0)
            with record(model, ["weights", "scores", "value", "logits"]) as alone:
                state = model.start(model.encode(source.ids[[row]], source.mask[[row]]))
                model.decode(torch.tensor([[2, *each.ids]]), state)
            length = S + len(each.ids) + 1 if name == "prefix" else len(each.ids) + 1
            for whole, single in zip(trace.attentions, alone.attentions, strict=True):
                width = min(whole.weights.size(3), single.weights.size(3))
                here = whole.weights[row, :, : single.weights.size(2), :width]
                torch.testing.assert_close(here, single.weights[0, :, :, :width], rtol=1e-9, atol=1e-10)
                if whole.kind != "encoder self":
                    assert whole.weights[row, :, length:].count_nonzero() == 0
                    assert whole.scores is not None
                    assert whole.scores[row, :, length:].eq(-torch.inf).all()
            logits = trace.array("logits")[row]
            torch.testing.assert_close(logits[: len(each.ids) + 1], alone.array("logits")[0], rtol=1e-9, atol=1e-10)
            assert logits[len(each.ids) + 1 :].count_nonzero() == 0


def test_a_recording_that_begins_within_a_text_shows_what_came_before_as_columns() -> None:
    model = make(("language", "decoder_only"))
    assert isinstance(model, LanguageModel)
    with torch.no_grad():
        with record(model, ["weights", "key"]) as whole:
            work(model)
        _, state = model.decode(target()[:, :3], model.start(B))
        with record(model, ["weights", "key"]) as rest:
            for token in target()[:, 3:].split(1, dim=1):
                _, state = model.decode(token, state)
    for expected, actual in zip(whole.attentions, rest.attentions, strict=True):
        torch.testing.assert_close(actual.weights, expected.weights[:, :, 3:], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(actual.key, expected.key, rtol=1e-9, atol=1e-10)


def test_what_hooks_of_others_change_is_recorded_as_changed() -> None:
    model = make(("translation", "transformer"))

    def blind(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, memory, mask, *others = args
        return (hidden, memory, mask & (torch.arange(S) != 0), *others)

    handle = model.get_submodule("decoder.0.cross_attention").register_forward_pre_hook(blind)
    with record(model) as trace:
        work(model)
    handle.remove()
    assert trace.find("cross", 0).weights[..., 0].count_nonzero() == 0
    assert trace.find("cross", 1).weights[..., 0].min() > 0


def test_a_model_in_half_precision_is_recorded() -> None:
    model = make(("translation", "transformer_llama_shaped")).bfloat16()
    with record(model, ["weights", "scores", "context"]) as trace:
        work(model)
    each = trace.find("cross", 1)
    assert each.context is not None
    assert each.context.dtype == torch.bfloat16
    assert each.weights.dtype == torch.float32
