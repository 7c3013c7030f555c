"""The models that the paper names, by name (Vaswani et al. 2017, Table 3)."""

from dataclasses import dataclass
from typing import Any

from attento.config import suggest
from attento.errors import ConfigError
from attento.models.translation.config import TransformerConfig


@dataclass(frozen=True)
class Preset:
    """A model of the paper: its settings, its label smoothing, and the parameters printed beside it."""

    about: str
    model: TransformerConfig
    label_smoothing: float = 0.1
    printed_parameters: float | None = None


def _variant(row: str, millions: float | None, label_smoothing: float = 0.1, **changes: Any) -> Preset:
    what = ", ".join(f"{key}={value}" for key, value in changes.items()) or f"label_smoothing={label_smoothing}"
    return Preset(
        f"Table 3, row {row}: {what}",
        TransformerConfig(**changes),
        label_smoothing,
        None if millions is None else millions * 1e6,
    )


def _layers(count: int) -> dict[str, int]:
    return {"encoder_layers": count, "decoder_layers": count}


_BIG = {"d_model": 1024, "d_ff": 4096, "num_heads": 16, "dropout": 0.3}

PRESETS: dict[str, Preset] = {
    "transformer_base": Preset("the base model", TransformerConfig(), printed_parameters=65e6),
    "transformer_big": Preset("the big model", TransformerConfig(**_BIG), printed_parameters=213e6),
    "transformer_a_1_head": _variant("A", None, num_heads=1, d_key=512, d_value=512),
    "transformer_a_4_heads": _variant("A", None, num_heads=4, d_key=128, d_value=128),
    "transformer_a_16_heads": _variant("A", None, num_heads=16, d_key=32, d_value=32),
    "transformer_a_32_heads": _variant("A", None, num_heads=32, d_key=16, d_value=16),
    "transformer_b_key_16": _variant("B", 58, d_key=16, d_value=64),
    "transformer_b_key_32": _variant("B", 60, d_key=32, d_value=64),
    "transformer_c_2_layers": _variant("C", 36, **_layers(2)),
    "transformer_c_4_layers": _variant("C", 50, **_layers(4)),
    "transformer_c_8_layers": _variant("C", 80, **_layers(8)),
    "transformer_c_model_256": _variant("C", 28, d_model=256, d_key=32, d_value=32),
    "transformer_c_model_1024": _variant("C", 168, d_model=1024, d_key=128, d_value=128),
    "transformer_c_ff_1024": _variant("C", 53, d_ff=1024),
    "transformer_c_ff_4096": _variant("C", 90, d_ff=4096),
    "transformer_d_dropout_0": _variant("D", None, dropout=0.0),
    "transformer_d_dropout_02": _variant("D", None, dropout=0.2),
    "transformer_d_smoothing_0": _variant("D", None, label_smoothing=0.0),
    "transformer_d_smoothing_02": _variant("D", None, label_smoothing=0.2),
    "transformer_e_learned_positions": _variant("E", None, positions="learned"),
}


def find_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"`preset`: there is no preset `{name}`{suggest(name, list(PRESETS))}")
    return PRESETS[name]
