"""Nothing is changed by a recording or left of it; what it cannot hold is refused."""

from typing import Any

import pytest
import torch
from recorded import EVERY, B, V, begin, make, target, work
from torch import nn

from attento.decoding.beam import beam_search
from attento.errors import InputError
from attento.inspection.record import available, record
from attento.models.base import EncoderDecoder, LanguageModel

every_model = pytest.mark.parametrize("which", EVERY, ids="-".join)


def traces_of(model: nn.Module) -> dict[tuple[str, str], dict[Any, Any]]:
    """Everything a module holds, hooks too."""
    held = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            held[name, key] = dict(value) if isinstance(value, dict) else {None: id(value)}
    return held


@every_model
def test_nothing_is_left_and_nothing_is_changed(which: tuple[str, str]) -> None:
    model = make(which)
    before, expected = traces_of(model), work(model)
    with record(model, available(model)):
        during = work(model)
    after = work(model)
    assert traces_of(model) == before
    assert torch.equal(during, expected)
    assert torch.equal(after, expected)
    assert during.requires_grad == expected.requires_grad


@pytest.mark.parametrize("name", ["transformer", "convs2s", "attention_dot", "rnn_gru"])
def test_nothing_is_left_after_an_error(name: str) -> None:
    model = make(("translation", name))
    before = traces_of(model)
    with pytest.raises(ZeroDivisionError), record(model, available(model)):
        work(model)
        raise ZeroDivisionError
    assert traces_of(model) == before


def test_a_beam_is_refused() -> None:
    model = make(("translation", "transformer"))
    assert isinstance(model, EncoderDecoder)
    with pytest.raises(InputError, match=r"as a beam does.*search greedily, or record one pass"), record(model):
        beam_search(model.decode, begin(model), beam_size=2, bos_id=2, eos_id=3, max_lengths=torch.full((B,), 4))


@pytest.mark.parametrize("name", ["transformer", "attention_additive", "prefix"])
def test_a_second_pass_is_refused(name: str) -> None:
    model = make(("translation", name))
    with pytest.raises(InputError, match="one recording holds one pass"), record(model, ["weights"]):
        work(model)
        work(model)


def test_a_second_sentence_is_refused() -> None:
    model = make(("classification", "decomposable"))
    with pytest.raises(InputError, match="one recording holds one pass"), record(model):
        work(model)
        work(model)


def test_a_state_may_outlive_its_recording() -> None:
    model = make(("language", "decoder_only"))
    assert isinstance(model, LanguageModel)
    with record(model) as trace:
        _, state = model.decode(target(), model.start(B))
    weights = trace.find("decoder self", 1).weights
    twice = state.select(torch.tensor([1, 1]))
    logits, _ = model.decode(target()[:2, :1], twice)
    assert logits.shape == (2, 1, V)
    assert trace.find("decoder self", 1).weights is weights


def test_recordings_may_stand_in_each_other() -> None:
    model = make(("translation", "transformer"))
    before = traces_of(model)
    with record(model, "weights") as outer:
        with record(model, "logits") as inner:
            logits = work(model)
        assert vars(model)["decode"].func.__name__ == "go_on"
    assert traces_of(model) == before
    assert list(inner.arrays) == ["logits"]
    assert torch.equal(inner.array("logits"), logits)
    assert len(outer.attentions) == 6


def test_unknown_names_are_refused() -> None:
    model = make(("translation", "transformer"))
    with pytest.raises(InputError, match="`wights` is nothing that can be recorded; there are weights, query, key"):
        record(model, ["wights"]).__enter__()
    with pytest.raises(InputError, match="a Transformer has no `hidden`; what can be recorded of it: weights, query"):
        record(model, ["hidden"]).__enter__()
