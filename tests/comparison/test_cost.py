"""The memory of training, measured in a process of its own, and of a decoder's state, by its formula."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from architectures import language_model, translation_model

from attento.comparison.cost import kept_per_token, peak_memory
from attento.comparison.ladder import prepare_once
from attento.comparison.recipe import load_comparison
from attento.errors import TrainingError
from attento.models.language.config import NGramConfig
from attento.training.run import Recipe


def test_training_takes_weights_gradients_and_moments_at_least(
    tmp_path: Path, write_comparison: Callable[..., Path]
) -> None:
    wide = "systems.wide.model={encoder_layers: 1, decoder_layers: 1, d_model: 256, d_ff: 4096, num_heads: 2}"
    comparison = load_comparison(write_comparison(tmp_path, wide), tmp_path)
    prepare_once(comparison, tmp_path / "text", lambda message: None)
    recipe = Recipe(comparison.systems["wide"], tmp_path, tmp_path / "text")
    taken = peak_memory(recipe, tmp_path / "run", steps=2)
    # Two feed-forward networks of 2 x 256 x 4096 weights, each in float32 and four times.
    least = 2 * 2 * 256 * 4096 * 4 * 4
    assert least < taken.value < 10 * least
    assert not (tmp_path / "run").exists()


def test_n_grams_are_not_trained(tmp_path: Path, write_comparison: Callable[..., Path]) -> None:
    comparison = load_comparison(write_comparison(tmp_path), tmp_path)
    ngrams = comparison.systems["wide"].model_copy(update={"model": NGramConfig(architecture="ngram")})
    with pytest.raises(TrainingError, match="counted"):
        peak_memory(Recipe(ngrams, tmp_path, tmp_path / "text"), tmp_path / "run", steps=2)


# Keys and values of three heads (or one) of 4 features in each of 3 layers, 4 bytes a number.
@pytest.mark.parametrize(
    ("changes", "source", "target"),
    [
        ({}, 3 * 2 * 12 * 4, 3 * 2 * 12 * 4),
        ({"num_kv_heads": 1}, 3 * 2 * 4 * 4, 3 * 2 * 4 * 4),
        ({"sliding_window": 3}, 3 * 2 * 12 * 4, 0),
    ],
)
def test_state_of_a_transformer_grows_by_keys_and_values(changes: dict[str, Any], source: int, target: int) -> None:
    settings = {"architecture": "transformer", "decoder_layers": 3, "encoder_layers": 1, "d_model": 12, "num_heads": 3}
    kept = kept_per_token(translation_model(settings | {"d_ff": 5} | changes, 11, 11))
    # The source's mask is a byte a token.
    assert kept["state_per_source_token"].value == source + 1
    assert kept["state_per_target_token"].value == target


def test_state_of_a_recurrent_network_does_not_grow() -> None:
    kept = kept_per_token(language_model({"architecture": "rnn", "cell": "gru", "d_model": 7}, 11))
    assert {name: each.value for name, each in kept.items()} == {"state_per_target_token": 0}
    assert kept_per_token(language_model({"architecture": "decoder_only", "d_model": 8, "max_positions": 15}, 11)) == {}
