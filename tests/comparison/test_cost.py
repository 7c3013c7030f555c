"""The memory of training, measured in a process of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attento.comparison.cost import peak_memory
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
