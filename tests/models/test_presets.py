"""The presets against Table 3 of the paper, as printed, and their parameters against arithmetic."""

import pytest
import torch

from attento.errors import ConfigError
from attento.models.build import build_translation_model
from attento.models.presets import PRESETS, find_preset
from attento.models.translation.config import TransformerConfig

VOCABULARY = 37_000
COLUMNS = ("layers", "d_model", "d_ff", "num_heads", "d_key", "d_value", "dropout", "label_smoothing", "positions")
BASE = (6, 512, 2048, 8, 64, 64, 0.1, 0.1, "sinusoidal")
# Vaswani et al. 2017, Table 3: what a row changes, and its millions of parameters; a blank stands for the base's 65.
TABLE_3 = {
    "transformer_base": ({}, 65),
    "transformer_a_1_head": ({"num_heads": 1, "d_key": 512, "d_value": 512}, 65),
    "transformer_a_4_heads": ({"num_heads": 4, "d_key": 128, "d_value": 128}, 65),
    "transformer_a_16_heads": ({"num_heads": 16, "d_key": 32, "d_value": 32}, 65),
    "transformer_a_32_heads": ({"num_heads": 32, "d_key": 16, "d_value": 16}, 65),
    "transformer_b_key_16": ({"d_key": 16}, 58),
    "transformer_b_key_32": ({"d_key": 32}, 60),
    "transformer_c_2_layers": ({"layers": 2}, 36),
    "transformer_c_4_layers": ({"layers": 4}, 50),
    "transformer_c_8_layers": ({"layers": 8}, 80),
    "transformer_c_model_256": ({"d_model": 256, "d_key": 32, "d_value": 32}, 28),
    "transformer_c_model_1024": ({"d_model": 1024, "d_key": 128, "d_value": 128}, 168),
    "transformer_c_ff_1024": ({"d_ff": 1024}, 53),
    "transformer_c_ff_4096": ({"d_ff": 4096}, 90),
    "transformer_d_dropout_0": ({"dropout": 0.0}, 65),
    "transformer_d_dropout_02": ({"dropout": 0.2}, 65),
    "transformer_d_smoothing_0": ({"label_smoothing": 0.0}, 65),
    "transformer_d_smoothing_02": ({"label_smoothing": 0.2}, 65),
    "transformer_e_learned_positions": ({"positions": "learned"}, 65),
    "transformer_big": ({"d_model": 1024, "d_ff": 4096, "num_heads": 16, "dropout": 0.3}, 213),
}

every_row = pytest.mark.parametrize("name", TABLE_3)


def count_parameters(config: TransformerConfig) -> int:
    with torch.device("meta"):
        model = build_translation_model(config, VOCABULARY, VOCABULARY)
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_row_of_the_table_has_a_preset() -> None:
    assert {name for name in PRESETS if name.startswith("transformer_")} == TABLE_3.keys()
    assert all(PRESETS[name].vocab_size == VOCABULARY for name in TABLE_3)


@every_row
def test_settings_are_the_printed_ones(name: str) -> None:
    preset = find_preset(name)
    model = preset.model
    assert model.encoder_layers == model.decoder_layers
    d_key = model.d_key or model.d_model / model.num_heads
    d_value = model.d_value or model.d_model / model.num_heads
    settings = (
        model.encoder_layers, model.d_model, model.d_ff, model.num_heads, d_key, d_value, model.dropout,
        preset.label_smoothing, model.positions,
    )  # fmt: skip
    assert dict(zip(COLUMNS, settings, strict=True)) == dict(zip(COLUMNS, BASE, strict=True)) | TABLE_3[name][0]
    # What the table does not vary: normalization after the sum (section 3.1), one matrix for all (section 3.4).
    assert (model.norm, model.tied_embeddings) == ("post", "all")


@pytest.mark.parametrize("name", [name for name in TABLE_3 if name != "transformer_big"])
def test_rows_a_to_e_differ_from_the_base_as_printed(name: str) -> None:
    """To 3 million: both printed numbers are rounded to whole ones."""
    printed = TABLE_3[name][1] - TABLE_3["transformer_base"][1]
    counted = count_parameters(find_preset(name).model) - count_parameters(find_preset("transformer_base").model)
    assert abs(counted / 1e6 - printed) <= 3


@pytest.mark.parametrize(("name", "printed"), [("transformer_base", 65e6), ("transformer_big", 213e6)])
def test_base_and_big_have_the_printed_size(name: str, printed: float) -> None:
    assert count_parameters(find_preset(name).model) == pytest.approx(printed, rel=0.05)


@pytest.mark.parametrize("name", [name for name in TABLE_3 if name.startswith(("transformer_a", "transformer_d"))])
def test_other_heads_dropout_and_smoothing_cost_no_parameter(name: str) -> None:
    assert count_parameters(find_preset(name).model) == count_parameters(find_preset("transformer_base").model)


@every_row
def test_parameters_are_those_of_the_formulas(name: str) -> None:
    model = find_preset(name).model
    width, inner = model.d_model, model.d_ff
    to_keys = model.num_heads * (model.d_key or width // model.num_heads)
    to_values = model.num_heads * (model.d_value or width // model.num_heads)
    attention = 2 * (width + 1) * to_keys + (width + 1) * to_values + (to_values + 1) * width
    feed_forward = (width + 1) * inner + (inner + 1) * width
    norm = 2 * width
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    positions = 2 * 1024 * width if model.positions == "learned" else 0
    expected = VOCABULARY * width + positions + model.encoder_layers * (encoder_layer + decoder_layer)
    assert count_parameters(model) == expected


@every_row
def test_the_printed_column_is_the_printed_column(name: str) -> None:
    preset = find_preset(name)
    assert (preset.printed_parameters or 65e6) == TABLE_3[name][1] * 1e6
    assert preset.about


def test_a_misspelt_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no preset `transformer_bse` \(did you mean `transformer_base`\?\)"
    ):
        find_preset("transformer_bse")
