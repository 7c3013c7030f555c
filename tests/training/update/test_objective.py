"""The objective in two halves, and what activation checkpointing changes: memory, and nothing else."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attento.data.pairs.batching import Batch, make_batch
from attento.errors import ConfigError
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.training.tasks.translation import TranslationObjective
from attento.training.update.objective import recompute_activations

V = 23


def draw_batch() -> Batch:
    generator = np.random.default_rng(3)
    lengths = [(7, 11), (5, 3), (13, 2), (1, 6), (4, 9)]
    return make_batch([tuple(generator.integers(4, V, n).astype(np.int32) for n in pair) for pair in lengths])


def make(recompute: bool, **changes: Any) -> TranslationObjective:
    torch.manual_seed(1)
    sizes = {"encoder_layers": 2, "decoder_layers": 3, "d_model": 26, "d_ff": 31, "num_heads": 2, "dropout": 0.3}
    model = build_translation_model(TransformerConfig(**(sizes | changes)), V, V).train()
    if recompute:
        recompute_activations(model)
    return TranslationObjective(model, label_smoothing=0.1, chunk_tokens=7)


def gradients(objective: TranslationObjective, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(2)
    loss = objective(batch)
    loss.backward()
    return loss, {name: each.grad for name, each in objective.named_parameters()}


def test_the_two_halves_make_the_whole() -> None:
    objective, batch = make(recompute=False).eval(), draw_batch()
    assert torch.equal(objective.loss(objective.features(batch), batch), objective(batch))


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputed_gradients_are_the_same_bits_with_dropout(norm: str, dtype: torch.dtype) -> None:
    batch = draw_batch()
    plain, again = (make(recompute, norm=norm).to(dtype) for recompute in (False, True))
    loss, expected = gradients(plain, batch)
    random_state = torch.get_rng_state()
    found_loss, found = gradients(again, batch)
    assert torch.equal(found_loss, loss)
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    # The backward pass drew anew and put the generator back.
    assert torch.equal(torch.get_rng_state(), random_state)


def test_names_and_layers_stay_as_they_are() -> None:
    plain, again = make(recompute=False), make(recompute=True)
    assert list(again.state_dict()) == list(plain.state_dict())
    assert [type(each) for each in again.modules()] == [type(each) for each in plain.modules()]


def alive_after_forward(objective: TranslationObjective, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the bytes of all that the forward pass keeps for the backward pass: saved tensors, and layers' inputs."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def note_all(value: object) -> None:
        if isinstance(value, Tensor):
            note(value)
        for inner in vars(value).values() if hasattr(value, "keys") or hasattr(value, "source") else ():
            note_all(inner)

    for layer in (*objective.model.encoder, *objective.model.decoder):
        # What checkpointing keeps is not told to the hooks.
        layer.register_forward_pre_hook(lambda _, inputs: [note_all(each) for each in inputs] and None)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = objective(batch)
    weights = {each.untyped_storage().data_ptr() for each in objective.parameters()}
    assert loss.requires_grad
    return sum(size for place, size in kept.items() if place not in weights)


def test_recomputing_keeps_several_times_less(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"encoder_layers": 5, "decoder_layers": 5, "d_ff": 131, "norm": "pre"}
    batch = make_batch([(np.full(29, 5, np.int32), np.full(31, 7, np.int32))] * 17)
    plain, again = (alive_after_forward(make(each, **sizes), batch, monkeypatch) for each in (False, True))
    assert plain > 5 * again


def test_what_does_not_train_keeps_nothing_and_recomputes_nothing() -> None:
    objective, batch = make(recompute=True).eval(), draw_batch()
    calls = []
    for layer in (*objective.model.encoder, *objective.model.decoder):
        layer.register_forward_pre_hook(lambda *_: calls.append(1))
    objective(batch).backward()
    assert len(calls) == 5


def test_a_model_that_cannot_recompute_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`training\.activation_checkpointing` is not for a Linear; set it to false"):
        recompute_activations(nn.Linear(2, 3))
