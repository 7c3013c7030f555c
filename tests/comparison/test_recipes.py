"""The comparisons that the project publishes can be loaded, and their systems built."""

from pathlib import Path

import pytest
import torch

from attento.comparison.recipe import load_comparison
from attento.models.build import build_classifier, build_language_model, build_translation_model
from attento.models.config import ClassifierModelConfig, LanguageModelConfig, TranslationModelConfig

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "compare").glob("*.yaml"))


def test_there_are_some() -> None:
    assert len(RECIPES) > 4


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_system_can_be_built(path: Path) -> None:
    comparison = load_comparison(path, Path("data"))
    sizes = {}
    for name, config in comparison.systems.items():
        model = config.model
        with torch.device("meta"):
            if isinstance(model, TranslationModelConfig):
                built: torch.nn.Module = build_translation_model(model, 6000, 6000)
            elif isinstance(model, LanguageModelConfig):
                built = build_language_model(model, 69)
            else:
                assert isinstance(model, ClassifierModelConfig)
                built = build_classifier(model, 6000, 6)
        sizes[name] = sum(parameter.numel() for parameter in built.parameters())
    trained = [size for name, size in sizes.items() if comparison.systems[name].model.architecture != "ngram"]
    # Side by side, no system shall win by its size alone.
    assert max(trained) < 4 * min(trained), sizes
