"""The settings of a stack are checked by every system that has one, each under its own name."""

from typing import Any

import pytest

from attento.config import Settings, check_settings
from attento.errors import ConfigError
from attento.models.classification.config import EncoderOnlyConfig
from attento.models.language.config import DecoderOnlyConfig
from attento.models.translation.config import TokenMixerConfig, TransformerConfig

every_system = pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        (TransformerConfig, "transformer"),
        (TokenMixerConfig, "token_mixer"),
        (DecoderOnlyConfig, "decoder_only"),
        (EncoderOnlyConfig, "encoder_only"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
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
    ],
    ids=["heads", "projections", "uniform"],
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
    [("scores", "cosine"), ("feed_forward", "tanh"), ("normalization", "group"), ("positions", "rotary")],
)
def test_what_is_not_there_is_refused_by_name(
    setting: str, value: str, kind: type[Settings], architecture: str
) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`: .*, but got {value!r}"):
        check_settings(kind, {"architecture": architecture, setting: value}, origin="recipe.yaml")


def test_each_system_has_its_own_size_unless_told_otherwise() -> None:
    base, mixer = TransformerConfig(), TokenMixerConfig(architecture="token_mixer")
    decoder, encoder = DecoderOnlyConfig(architecture="decoder_only"), EncoderOnlyConfig(architecture="encoder_only")
    assert [each.d_model for each in (base, mixer, decoder, encoder)] == [512, 512, 256, 256]
    assert [each.d_ff for each in (base, mixer, decoder, encoder)] == [2048, 2048, 1024, 512]
    assert [each.norm for each in (base, mixer, decoder, encoder)] == ["post", "pre", "pre", "pre"]
    assert [each.positions for each in (base, mixer, decoder, encoder)] == [
        "sinusoidal", "sinusoidal", "learned", "sinusoidal",
    ]  # fmt: skip
