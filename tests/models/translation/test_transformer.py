"""What a Transformer sees, how long it reads, which matrices it has, where it drops and how it begins."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.translation.config import TransformerConfig
from attento.models.translation.transformer import Transformer
from attento.nn.dropout import Dropout

# Rows, source, target, width, feed-forward, vocabulary.
B, S, T, D, F, V = 5, 7, 6, 33, 13, 17

every_kind = pytest.mark.parametrize("norm", ["post", "pre"])


def make(vocab: tuple[int, int] = (V, V), **changes: Any) -> Transformer:
    settings: dict[str, Any] = {
        "d_model": D, "num_heads": 3, "d_ff": F, "encoder_layers": 2, "decoder_layers": 3, "max_positions": 11,
    }  # fmt: skip
    return Transformer(TransformerConfig(**(settings | changes)), *vocab).double().eval()


def draw_source() -> tuple[Tensor, Tensor]:
    return torch.randint(V, (B, S)), torch.arange(S) < torch.tensor([[7], [3], [5], [1], [2]])


def draw_target() -> Tensor:
    return torch.randint(V, (B, T))


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def embedded(embedding: nn.Module) -> list[Tensor]:
    """Catch what an embedding puts out from now on, so that its gradient can be looked at."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _ids: Any, output: Tensor) -> None:
        output.retain_grad()
        caught.append(output)

    embedding.register_forward_hook(catch)
    return caught


@every_kind
@pytest.mark.parametrize("position", range(T))
def test_only_the_past_is_seen(position: int, norm: str) -> None:
    model = make(norm=norm, tied_embeddings="target")
    caught = embedded(model.target_embedding)
    logits, _ = model.decode(draw_target(), model.start(model.encode(*draw_source())))
    (logits[:, position] * torch.randn(V)).sum().backward()
    influence = caught[0].grad.abs().sum(-1)
    assert (influence[:, position + 1 :] == 0).all()
    assert (influence[:, : position + 1] > 0).all()


@every_kind
def test_only_real_source_tokens_are_seen(norm: str) -> None:
    model = make(norm=norm, tied_embeddings="target")
    caught = embedded(model.source_embedding)
    source, mask = draw_source()
    logits, _ = model.decode(draw_target(), model.start(model.encode(source, mask)))
    (logits * torch.randn(V)).sum().backward()
    assert torch.equal(caught[0].grad.abs().sum(-1) > 0, mask)


def test_learned_positions_set_a_limit_and_sinusoidal_ones_do_not() -> None:
    learned, sinusoidal = make(positions="learned"), make(positions="sinusoidal")
    assert (learned.max_source_length, learned.max_target_length) == (11, 11)
    assert (sinusoidal.max_source_length, sinusoidal.max_target_length) == (None, None)
    ids, real = torch.randint(V, (2, 12)), torch.ones(2, 12, dtype=torch.bool)
    memory = learned.encode(ids[:, :11], real[:, :11])
    with pytest.raises(IndexError, match="position 11 is beyond the 11 positions"):
        learned.encode(ids, real)
    _, state = learned.decode(ids[:, :11], learned.start(memory))
    with pytest.raises(IndexError, match="position 11 is beyond the 11 positions"):
        learned.decode(ids[:, 11:], state)
    long = torch.randint(V, (2, 601))
    logits, _ = sinusoidal.decode(long, sinusoidal.start(sinusoidal.encode(long, torch.ones_like(long).bool())))
    assert logits.shape == (2, 601, V)


MATRICES = {
    "all": {"target_embedding.weight"},
    "target": {"target_embedding.weight", "source_embedding.weight"},
    "none": {"target_embedding.weight", "source_embedding.weight", "output_embedding.weight"},
}


@pytest.mark.parametrize("tied", MATRICES)
def test_the_matrices_of_the_file_of_weights(tied: str) -> None:
    model, twin = make(tied_embeddings=tied), make(tied_embeddings=tied)
    weights = model.state_dict()
    assert {name for name in weights if "embedding" in name} == MATRICES[tied]
    twin.load_state_dict(weights)
    source, target = draw_source(), draw_target()
    one, other = (each.decode(target, each.start(each.encode(*source)))[0] for each in (model, twin))
    assert torch.equal(one, other)


@pytest.mark.parametrize("tied", MATRICES)
def test_a_tied_matrix_learns_from_every_place_it_serves(tied: str) -> None:
    model, apart = make(tied_embeddings=tied), make(tied_embeddings="none")
    shared = model.state_dict()
    roles = {role: (role if role in MATRICES[tied] else "target_embedding.weight") for role in MATRICES["none"]}
    apart.load_state_dict(shared | {role: shared[name] for role, name in roles.items()})
    source, target = draw_source(), draw_target()
    weight = torch.randn(B, T, V, dtype=torch.float64)
    for each in (model, apart):
        logits, _ = each.decode(target, each.start(each.encode(*source)))
        (logits * weight).sum().backward()
    gradients = {name: parameter.grad for name, parameter in apart.named_parameters()}
    for name, parameter in model.named_parameters():
        parts = [role for role, served_by in roles.items() if served_by == name] or [name]
        assert all((gradients[part] != 0).any() for part in parts if not part.endswith("key.bias"))
        assert_close(parameter.grad, sum(gradients[part] for part in parts))


def test_vocabularies_may_differ_where_the_source_has_its_own_matrix() -> None:
    for tied in ("target", "none"):
        model = make((19, V), tied_embeddings=tied)
        assert (model.source_vocab_size, model.target_vocab_size) == (19, V)
        source = torch.full((B, S), 18)
        logits, _ = model.decode(draw_target(), model.start(model.encode(source, torch.ones(B, S, dtype=torch.bool))))
        assert logits.shape == (B, T, V)


def test_dropout_falls_on_every_sublayer_and_on_both_sums_of_embedding_and_position() -> None:
    """Section 5.4."""
    model = make(dropout=0.5).train()
    calls: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, Dropout):
            module.register_forward_hook(lambda module, *_: calls.append(module))
    model.decode(draw_target(), model.start(model.encode(*draw_source())))
    assert len(calls) == (1 + 2 * 2) + (1 + 3 * 3)
    assert {module.dropped for module in calls} == {16384}
    assert calls.count(model.dropout) == 2


def test_dropout_is_off_in_evaluation() -> None:
    model, source, target = make(dropout=0.5), draw_source(), draw_target()

    def decode() -> Tensor:
        return model.decode(target, model.start(model.encode(*source)))[0]

    assert torch.equal(decode(), decode())
    model.train()
    assert not torch.equal(decode(), decode())


def test_weights_start_as_glorot_has_them() -> None:
    model = make()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = (6 / (module.in_features + module.out_features)) ** 0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound
            assert (module.bias == 0).all()
