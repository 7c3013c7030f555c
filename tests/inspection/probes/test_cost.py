"""Memory is counted, and so exact; times are numbers above nothing."""

import pytest
import torch
from architectures import TRANSLATION, translation_model

from attento.inspection.probes.cost import key_width, probe_cost
from attento.nn.attention import MultiHeadAttention

V = 19


@pytest.mark.parametrize(
    ("name", "width"),
    [("transformer", 4), ("transformer_llama_shaped", 6), ("transformer_uniform", 4),
     ("transformer_without_projections", 4)],
)  # fmt: skip
def test_the_width_of_keys(name: str, width: int) -> None:
    model = translation_model(TRANSLATION[name], V, V)
    attention = next(part for part in model.modules() if isinstance(part, MultiHeadAttention))
    assert key_width(attention, model) == width


def test_the_readable_form_keeps_the_square_and_the_fused_one_does_not() -> None:
    found = probe_cost(
        "untrained", translation_model(TRANSLATION["transformer"], V, V), lengths=(16, 32, 64, 512, 1024)
    )
    readable, fused = found.forms
    assert (found.heads, found.d_key, readable.form, fused.form) == (3, 4, "readable", "fused")
    for length, kept in zip(found.lengths, readable.kept, strict=True):
        # Of 3 heads in float32: query, key and value, and the weights; the scaled scores are not needed again.
        assert kept >= 4 * 3 * (3 * length * 4 + length * length)
    assert readable.memory_exponent > 1.8
    assert fused.memory_exponent == pytest.approx(1, abs=0.05)
    assert all(second > 0 for form in found.forms for second in form.seconds)
    (section,) = found.sections()
    assert [len(grid.rows) for grid in section.grids] == [2, 2] and len(section.figures) == 2
    assert torch.is_grad_enabled()
