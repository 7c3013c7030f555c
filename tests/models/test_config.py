from typing import Any

import pytest

from attento.config import check_settings
from attento.errors import ConfigError
from attento.models.translation.config import TransformerConfig


def check(**tree: Any) -> TransformerConfig:
    return check_settings(TransformerConfig, tree, origin="recipe.yaml")


@pytest.mark.parametrize("widths", [{}, {"d_key": 5}, {"d_value": 5}])
def test_heads_that_do_not_divide_the_model_are_refused(widths: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(d_model=512, num_heads=6, **widths)
    assert str(caught.value) == ("recipe.yaml: `num_heads` must divide `d_model`, but got num_heads=6 and d_model=512")


def test_heads_need_not_divide_where_both_widths_are_given() -> None:
    assert check(d_model=512, num_heads=6, d_key=5, d_value=7).num_heads == 6


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("d_model", 0), ("d_ff", -1), ("num_heads", 0), ("encoder_layers", 0), ("decoder_layers", 1.5), ("d_key", 0),
        ("dropout", 1.0), ("dropout", -0.1), ("norm", "both"), ("positions", "rotary"), ("tied_embeddings", True),
        ("max_positions", 0), ("architecture", "perceptron"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`: .*, but got {value!r}"):
        check(**{setting: value})
