"""The Transformer with something taken out: it still obeys the search, and what was taken is gone."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attento.models.translation.config import TransformerConfig
from attento.models.translation.transformer import Transformer
from attento.nn.state import DecoderState

B, S, T, D, V = 5, 7, 6, 33, 17
REAL = torch.arange(S) < torch.tensor([[7], [3], [5], [1], [2]])

ABLATIONS: dict[str, dict[str, Any]] = {
    "one_head": {"num_heads": 1},
    "unscaled": {"scores": "unscaled"},
    "uniform": {"scores": "uniform"},
    "no_projections": {"projections": False},
    "raw": {"projections": False, "scores": "unscaled", "num_heads": 1},
    "no_positions": {"positions": "none"},
    "no_feed_forward": {"feed_forward": "none"},
    "no_residual": {"residual": False},
    "batch_normalization": {"normalization": "batch"},
    "everything": {
        "num_heads": 1, "scores": "uniform", "projections": False, "positions": "none", "feed_forward": "none",
        "residual": False, "normalization": "batch",
    },
}  # fmt: skip
# What every model of `architectures` is tested for, it is tested for with norms behind; here they stand in front.
every_ablation = pytest.mark.parametrize(
    "changes",
    [*({"norm": "pre"} | changes for changes in ABLATIONS.values()), ABLATIONS["raw"], ABLATIONS["everything"]],
    ids=[*ABLATIONS, "raw_post_norm", "everything_post_norm"],
)


def make(**changes: Any) -> Transformer:
    settings: dict[str, Any] = {"d_model": D, "num_heads": 3, "d_ff": 13, "encoder_layers": 2, "decoder_layers": 3}
    model = Transformer(TransformerConfig(**(settings | changes)), V, V).double()
    if changes.get("normalization") == "batch":
        decode(model.train())  # so that the averages are of something
    return model.eval()


def decode(model: Transformer) -> Tensor:
    source, target = torch.randint(V, (B, S)), torch.randint(V, (B, T))
    return model.decode(target, model.start(model.encode(source, REAL)))[0]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@every_ablation
def test_step_by_step_is_all_at_once_alone_or_among_others(changes: dict[str, Any]) -> None:
    model = make(**changes)
    source, target = torch.randint(V, (B, S)), torch.randint(V, (B, T))
    fresh = model.start(model.encode(source, REAL))
    expected, _ = model.decode(target, fresh)
    state: DecoderState = fresh
    logits = []
    for start, end in pairwise([0, 1, 2, 5, 6]):
        more, state = model.decode(target[:, start:end], state)
        logits.append(more)
    assert_close(torch.cat(logits, 1), expected)
    for row in range(B):
        alone = source[row : row + 1, : int(REAL[row].sum())]
        memory = model.encode(alone, torch.ones_like(alone).bool())
        assert_close(model.decode(target[row : row + 1], model.start(memory))[0], expected[row : row + 1])


@every_ablation
def test_every_weight_learns(changes: dict[str, Any]) -> None:
    model = make(**changes).train()
    (decode(model) * torch.randn(B, T, V)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        # A key's bias adds the same to all scores of a query, so the softmax takes it away; and where all scores are
        # zero, nothing of what asks gets through.
        assert (parameter.grad != 0).any() or name.endswith("key.bias") or changes.get("scores") == "uniform"


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_without_positions_the_order_of_the_source_is_lost(positions: str) -> None:
    """Self-attention does not know order (section 3.5): a shuffled source gives shuffled vectors."""
    model, source, order = make(positions=positions), torch.randperm(V)[None, :S], torch.randperm(S)
    real = torch.ones(1, S, dtype=torch.bool)
    straight, shuffled = model.encode(source, real).hidden, model.encode(source[:, order], real).hidden
    assert torch.allclose(straight[:, order], shuffled, rtol=0, atol=1e-10) == (positions == "none")


def test_uniform_attention_sees_only_the_mean_of_the_source() -> None:
    model = make(scores="uniform")
    memory = model.encode(torch.randint(V, (B, S)), REAL)
    order = torch.randperm(S)
    target = torch.randint(V, (B, T))
    expected, _ = model.decode(target, model.start(memory))
    shuffled = type(memory)(memory.hidden[:, order], memory.mask[:, order])
    assert_close(model.decode(target, model.start(shuffled))[0], expected)


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, None),
        ({"scores": "unscaled"}, None),
        ({"scores": "uniform"}, ("query.", "key.")),
        ({"projections": False}, ("_attention.",)),
        ({"positions": "none"}, None),
        ({"feed_forward": "none"}, ("feed_forward",)),
        ({"residual": False}, None),
    ],
    ids=str,
)
def test_only_the_weights_of_what_was_taken_out_are_gone(changes: dict[str, Any], gone: tuple[str, ...] | None) -> None:
    full, model = make().state_dict(), make(**changes).state_dict()
    expected = {name for name in full if gone is None or not any(part in name for part in gone)}
    assert model.keys() == expected
    assert gone is None or len(model) < len(full)


def test_batch_normalization_adds_averages_and_nothing_else() -> None:
    full, model = make(norm="pre").state_dict(), make(norm="pre", normalization="batch").state_dict()
    norms = [name for name in full if name.endswith("norm.weight")]
    averages = {name.replace("weight", f"running_{kind}") for name in norms for kind in ("mean", "variance")}
    assert len(norms) == 2 * 2 + 3 * 3 + 2
    assert model.keys() == full.keys() | averages


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_recomputing_changes_neither_gradients_nor_averages(normalization: str) -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(3)
        model = make(normalization=normalization, norm="pre", dropout=0.3).train()
        model.recompute = recompute
        decode(model).square().sum().backward()
        results.append([parameter.grad for parameter in model.parameters()] + list(model.buffers()))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_norms_are_drawn_as_ever() -> None:
    assert sum(isinstance(module, nn.LayerNorm) for module in make(norm="pre").modules()) == 15
