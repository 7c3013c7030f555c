"""The settings of a stack are checked by every system that has one, each under its own name."""

from typing import Any

import pytest
import yaml

from attento.config import Settings, check_settings, dump_settings
from attento.errors import ConfigError
from attento.models.classification.config import EncoderOnlyConfig
from attento.models.language.config import DecoderOnlyConfig
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.translation.config import TokenMixerConfig, TransformerConfig

every_system = pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        (TransformerConfig, "transformer"),
        (TokenMixerConfig, "token_mixer"),
        (DecoderOnlyConfig, "decoder_only"),
        (EncoderOnlyConfig, "encoder_only"),
        (MaskedEncoderConfig, "encoder_only"),
    ],
    ids=["transformer", "token_mixer", "decoder_only", "classifier", "masked"],
)


@every_system
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 17, "num_heads": 3}, "`num_heads` must divide `d_model`, but got num_heads=3 and d_model=17"),
        (
            {"projections": False, "d_value": 5},
            "`projections: false` leaves each head d_model / num_heads of the vector, so `d_key` and `d_value` must be "
            "null, but got d_key=None and d_value=5",
        ),
        (
            {"scores": "uniform", "d_key": 5},
            "`scores: uniform` compares no keys, so `d_key` must be null, but got d_key=5",
        ),
        (
            {"num_heads": 4, "num_kv_heads": 3},
            "`num_kv_heads` must divide `num_heads`, and be null with `projections: false`, but got num_kv_heads=3 and "
            "num_heads=4",
        ),
        (
            {"num_heads": 4, "num_kv_heads": 2, "projections": False},
            "`num_kv_heads` must divide `num_heads`, and be null with `projections: false`, but got num_kv_heads=2 and "
            "num_heads=4",
        ),
        (
            {"positions": "rotary", "d_key": 7},
            "`positions: rotary` turns features in pairs, but one head's keys are 7 wide: make it even",
        ),
        (
            {"positions": "rotary", "d_model": 20, "num_heads": 4},
            "`positions: rotary` turns features in pairs, but one head's keys are 5 wide: make it even",
        ),
        (
            {"positions": "rotary", "scores": "uniform"},
            "`scores: uniform` compares no keys, so `positions: rotary` would change nothing",
        ),
        (
            {"positions": "alibi", "rotary": {"base": 500.0}},
            "`rotary` is for `positions: rotary`, but got positions=alibi",
        ),
        (
            {"positions": "rotary", "relative": {"buckets": 8}},
            "`relative` is for `positions: relative`, but got positions=rotary",
        ),
        (
            {"positions": "learned", "position_layout": "halves"},
            "`position_layout` is for `positions: sinusoidal` or `rotary`, but got positions=learned",
        ),
    ],
    ids=[
        "heads",
        "projections",
        "uniform",
        "groups",
        "groups-projections",
        "rotary-d_key",
        "rotary-d_model",
        "rotary-uniform",
        "rotary",
        "relative",
        "layout",
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    changes: dict[str, Any], message: str, kind: type[Settings], architecture: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_settings(kind, {"architecture": architecture, **changes}, origin="recipe.yaml")
    assert str(caught.value) == f"recipe.yaml: {message}"


@every_system
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("scores", "cosine"),
        ("feed_forward", "tanh"),
        ("normalization", "group"),
        ("positions", "axial"),
        ("position_layout", "quarters"),
        ("num_kv_heads", 0),
        ("sliding_window", 0),
        ("norm_epsilon", 0.0),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    setting: str, value: str, kind: type[Settings], architecture: str
) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`: .*, but got {value!r}"):
        check_settings(kind, {"architecture": architecture, setting: value}, origin="recipe.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relative": {"buckets": 3}}, "`relative.buckets`: .*greater than or equal to 4, but got 3"),
        (
            {"relative": {"buckets": 7}},
            "`buckets` must be even and `max_distance` more than half of them, but got buckets=7 and max_distance=128",
        ),
        (
            {"relative": {"buckets": 32, "max_distance": 16}},
            "`buckets` must be even and `max_distance` more than half of them, but got buckets=32 and max_distance=16",
        ),
        ({"rotary": {"base": 0}}, "`rotary.base`: .*greater than 0, but got 0"),
        ({"rotary": {"scaling": {"kind": "yarn", "factor": 2}}}, "`rotary.scaling.kind`: .*, but got 'yarn'"),
        ({"rotary": {"scaling": {"kind": "linear", "factor": 0.5}}}, "`rotary.scaling.factor`: .*, but got 0.5"),
        ({"rotary": {"scaling": {"kind": "linear"}}}, "`rotary.scaling.factor`"),
        ({"rotary": {"theta": 500.0}}, "`rotary.theta`"),
        (
            {"rotary": {"scaling": {"kind": "llama3", "factor": 8, "low": 4, "high": 4}}},
            "`low` must be less than `high`, but got low=4.0 and high=4.0",
        ),
        (
            {"rotary": {"scaling": {"kind": "linear", "factor": 8, "original_length": 64}}},
            "`original_length` is for `kind: llama3`, but got kind=linear",
        ),
    ],
)
def test_settings_of_positions_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    tree = {"architecture": "transformer", "positions": next(iter(changes)), **changes}
    with pytest.raises(ConfigError, match=message):
        check_settings(TransformerConfig, tree, origin="recipe.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "alibi", "num_kv_heads": 2, "sliding_window": 7},
        {"positions": "relative", "relative": {"buckets": 8, "max_distance": 20}, "normalization": "rms"},
        {"positions": "rotary", "position_layout": "halves", "rotary": {"scaling": {"kind": "linear", "factor": 2}}},
        {"positions": "rotary", "rotary": {"base": 7.0, "scaling": {"kind": "llama3", "factor": 8.0, "low": 2.0}}},
    ],
    ids=["paper", "alibi", "relative", "linear", "llama3"],
)
@every_system
def test_what_is_saved_with_every_default_can_be_read_again(
    changes: dict[str, Any], kind: type[Settings], architecture: str
) -> None:
    settings = check_settings(kind, {"architecture": architecture, **changes}, origin="recipe.yaml")
    saved = yaml.safe_load(dump_settings(settings))
    assert {"rotary", "relative", "num_kv_heads"} <= set(saved)
    assert check_settings(kind, saved, origin="run") == settings


def test_each_system_has_its_own_size_unless_told_otherwise() -> None:
    base, mixer = TransformerConfig(), TokenMixerConfig(architecture="token_mixer")
    decoder, encoder = DecoderOnlyConfig(architecture="decoder_only"), EncoderOnlyConfig(architecture="encoder_only")
    assert [each.d_model for each in (base, mixer, decoder, encoder)] == [512, 512, 256, 256]
    assert [each.d_ff for each in (base, mixer, decoder, encoder)] == [2048, 2048, 1024, 512]
    assert [each.norm for each in (base, mixer, decoder, encoder)] == ["post", "pre", "pre", "pre"]
    assert [each.positions for each in (base, mixer, decoder, encoder)] == [
        "sinusoidal", "sinusoidal", "learned", "sinusoidal",
    ]  # fmt: skip
