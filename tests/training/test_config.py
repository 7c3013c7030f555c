"""Every recipe is whole, and a recipe's mistakes are told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from attento.config import check_settings, dump_settings, load_settings
from attento.errors import ConfigError
from attento.models.build import build_translation_model
from attento.training.config import RecipeConfig

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
DATA: dict[str, Any] = {
    "source_language": "de",
    "target_language": "en",
    "train": [{"pairs": "train.tsv"}],
    "validation": {"pairs": "dev.tsv"},
}


def check(**tree: Any) -> RecipeConfig:
    return check_settings(RecipeConfig, {"data": DATA} | tree, origin="here.yaml")


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds_its_model(path: Path) -> None:
    config = load_settings(RecipeConfig, path)
    size = config.data.tokenizer.vocab_size
    model = build_translation_model(config.model, size, size)
    assert sum(parameter.numel() for parameter in model.parameters()) > size
    assert check_settings(RecipeConfig, yaml.safe_load(dump_settings(config)), origin="saved") == config


def test_saved_settings_are_complete() -> None:
    config = check(preset="transformer_d_smoothing_02", training={"schedule": {"name": "cosine"}})
    tree = yaml.safe_load(dump_settings(config))
    assert check_settings(RecipeConfig, tree, origin="saved") == config
    # The preset is spelt out, and what nobody wrote stands there too.
    assert tree.keys() == {"data", "model", "search", "training"}
    assert tree["training"]["label_smoothing"] == 0.2
    assert tree["training"]["schedule"] == {"name": "cosine", "peak": 1.0, "warmup": 4000, "cooldown": 0}
    assert tree["model"]["d_ff"] == 2048
    assert tree["data"]["cleaning"]["max_tokens"] == 256


def test_what_the_recipe_says_goes_before_the_preset() -> None:
    config = check(preset="transformer_big", model={"dropout": 0.1}, training={"label_smoothing": 0.0})
    assert (config.model.d_model, config.model.dropout, config.training.label_smoothing) == (1024, 0.1, 0.0)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"preset": "transformer_bas"}, "did you mean `transformer_base`"),
        ({"preset": 7}, "no preset `7`"),
        ({"preset": "transformer_base", "model": None}, "`model`"),
        ({"training": {"max_step": 5}}, r"unknown setting `training\.max_step` \(did you mean `max_steps`"),
        ({"training": {"max_steps": 0}}, r"`training\.max_steps`.*got 0"),
        ({"training": {"optimizer": {"weight_decay": 0.1}}}, "`weight_decay` is for `name: adamw`"),
        ({"training": {"label_smoothing": 1.0}}, r"`training\.label_smoothing`.*less than 1"),
        ({"model": {"d_model": 10, "num_heads": 3}}, "num_heads=3 and d_model=10"),
        ({"data": DATA | {"tokenizer": {"joint": False}}}, r"tied_embeddings: all.*joint: true.*`target` or `none`"),
    ],
)
def test_mistakes_are_told(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(**tree)


def test_two_vocabularies_with_a_matrix_each() -> None:
    config = check(data=DATA | {"tokenizer": {"joint": False}}, model={"tied_embeddings": "target"})
    assert not config.data.tokenizer.joint
