"""Every recipe is whole, and a recipe's mistakes are told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from attento.config import check_settings, dump_settings, load_settings
from attento.errors import ConfigError
from attento.models.build import build_translation_model
from attento.models.classification.config import EncoderOnlyConfig
from attento.models.masked.config import MaskedEncoderConfig
from attento.training.config import RecipeConfig
from attento.training.run import load_recipe

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
DATA: dict[str, Any] = {
    "source_language": "de",
    "target_language": "en",
    "train": [{"pairs": "train.tsv"}],
    "validation": {"pairs": "dev.tsv"},
}


TEXT: dict[str, Any] = {
    "task": "language_modeling",
    "language": "en",
    "train": [{"text": "text"}],
    "validation": {"text": "more"},
}
SENTENCES: dict[str, Any] = {"task": "classification", "language": "en", "train": [{"file": "labelled"}]}
MASKED, DENOISING = TEXT | {"task": "masked_language_modeling"}, TEXT | {"task": "denoising"}
OF_TASK: dict[str, dict[str, Any]] = {
    "translation": {"data": DATA},
    "language_modeling": {"data": TEXT, "model": {"architecture": "rnn"}},
    "classification": {"data": SENTENCES, "model": {"architecture": "self_attentive"}},
    "masked_language_modeling": {"data": MASKED, "model": {"architecture": "encoder_only"}},
    "denoising": {"data": DENOISING, "model": {"architecture": "transformer"}},
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


def test_a_preset_is_for_the_tasks_of_its_model() -> None:
    gpt2 = check(data=TEXT, preset="gpt2", model={"layers": 3})
    assert (gpt2.model.architecture, gpt2.model.layers, gpt2.model.d_model) == ("decoder_only", 3, 768)
    assert (gpt2.training.label_smoothing, gpt2.training.validation.metric) == (0.0, "loss")
    assert check_settings(RecipeConfig, yaml.safe_load(dump_settings(gpt2)), origin="saved") == gpt2
    t5 = check(preset="t5_small")
    assert (t5.model.positions, t5.training.label_smoothing) == ("relative", 0.0)
    for preset, data, task, able in (
        ("gpt2", DATA, "translation", "language_modeling"),
        ("bert_base", SENTENCES, "classification", "masked_language_modeling"),
        ("transformer_base", TEXT, "language_modeling", "translation or denoising"),
    ):
        with pytest.raises(ConfigError) as caught:
            check(data=data, preset=preset)
        assert str(caught.value) == f"here.yaml: `preset: {preset}` cannot do `data.task: {task}`; it is for {able}"


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


@pytest.mark.parametrize(
    ("task", "architecture", "able"),
    [
        (
            "translation",
            "ngram",
            "transformer, decoder_only, rnn_encoder_decoder, rnn_attention, convs2s, bytenet, token_mixer",
        ),
        (
            "translation",
            "encoder_only",
            "transformer, decoder_only, rnn_encoder_decoder, rnn_attention, convs2s, bytenet, token_mixer",
        ),
        ("language_modeling", "transformer", "ngram, window_mlp, rnn, causal_convolution, decoder_only"),
        ("language_modeling", "self_attentive", "ngram, window_mlp, rnn, causal_convolution, decoder_only"),
        ("classification", "decoder_only", "self_attentive, decomposable_attention, encoder_only"),
        ("classification", "bytenet", "self_attentive, decomposable_attention, encoder_only"),
        ("masked_language_modeling", "transformer", "encoder_only"),
        ("masked_language_modeling", "decoder_only", "encoder_only"),
        ("denoising", "rnn_attention", "transformer"),
        ("denoising", "encoder_only", "transformer"),
    ],
)
def test_a_model_of_another_task_is_refused_with_those_that_can(task: str, architecture: str, able: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(**OF_TASK[task] | {"model": {"architecture": architecture}})
    assert str(caught.value).endswith(
        f"`model.architecture: {architecture}` cannot do `data.task: {task}`; architectures that can: {able}"
    )


def test_language_and_sentence_models_have_no_default() -> None:
    for data in (TEXT, SENTENCES):
        with pytest.raises(ConfigError, match=r"`model\.architecture: transformer` cannot do"):
            check(data=data)


@pytest.mark.parametrize(
    ("task", "metric", "able"),
    [
        ("translation", "accuracy", "bleu or loss"),
        ("language_modeling", "bleu", "loss"),
        ("language_modeling", "accuracy", "loss"),
        ("classification", "bleu", "accuracy or loss"),
        ("masked_language_modeling", "bleu", "loss or accuracy"),
        ("denoising", "bleu", "loss or accuracy"),
    ],
)
def test_a_metric_of_another_task_is_refused(task: str, metric: str, able: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(**OF_TASK[task], training={"validation": {"metric": metric}})
    assert str(caught.value).endswith(
        f"`training.validation.metric: {metric}` is not for `data.task: {task}`; set it to {able}"
    )


@pytest.mark.parametrize(
    ("task", "smoothing", "metric"),
    [
        ("translation", 0.1, "bleu"),
        ("language_modeling", 0.0, "loss"),
        ("classification", 0.0, "accuracy"),
        ("masked_language_modeling", 0.0, "loss"),
        ("denoising", 0.0, "loss"),
    ],
)
def test_each_task_has_its_own_defaults(task: str, smoothing: float, metric: str) -> None:
    config = check(**OF_TASK[task])
    assert (config.training.label_smoothing, config.training.validation.metric) == (smoothing, metric)
    assert config.data.task == task
    # What the recipe says goes before them.
    own = {"label_smoothing": 0.3, "validation": {"metric": "loss", "patience": 3}}
    training = check(**OF_TASK[task], training=own).training
    assert (training.label_smoothing, training.validation.metric, training.validation.patience) == (0.3, "loss", 3)


def test_a_name_that_two_tasks_have_is_that_of_the_task() -> None:
    classifier = check(data=SENTENCES, model={"architecture": "encoder_only", "num_sentences": 2}).model
    masked = check(data=MASKED, model={"architecture": "encoder_only", "segments": 2}).model
    assert (type(classifier), type(masked)) == (EncoderOnlyConfig, MaskedEncoderConfig)
    for config in (check(data=MASKED, model=masked.model_dump()), check(data=MASKED, model=masked)):
        assert check_settings(RecipeConfig, yaml.safe_load(dump_settings(config)), origin="saved").model == masked
    with pytest.raises(ConfigError, match=r"unknown setting `model\.segments`"):
        check(data=SENTENCES, model={"architecture": "encoder_only", "segments": 2})
    with pytest.raises(ConfigError, match=r"unknown setting `model\.num_sentences`"):
        check(data=MASKED, model={"architecture": "encoder_only", "num_sentences": 2})


def test_where_the_data_are_wrong_too_the_model_is_not_taken_for_anothers() -> None:
    with pytest.raises(ConfigError) as caught:
        check(data=MASKED | {"context": 0}, model={"architecture": "encoder_only", "segments": 2})
    assert str(caught.value) == "here.yaml: `data.context`: input should be greater than 0, but got 0"
    with pytest.raises(ConfigError, match=r"`data\.context`(?s:.*)`model\.layers`: .* got 0"):
        check(data=MASKED | {"context": 0}, model={"architecture": "encoder_only", "layers": 0})


@pytest.mark.parametrize(("task", "setting"), [("denoising", "mask_share"), ("masked_language_modeling", "mean_span")])
def test_how_another_task_corrupts_is_unknown(task: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown setting `data\.{setting}`"):
        check(**OF_TASK[task] | {"data": TEXT | {"task": task, setting: 2}})
    for wrong in (0, 1):
        with pytest.raises(ConfigError, match=r"`data\.(mask|noise)_share`"):
            name = "mask_share" if task == "masked_language_modeling" else "noise_share"
            check(**OF_TASK[task] | {"data": TEXT | {"task": task, name: wrong}})


@pytest.mark.parametrize(("task", "message"), [("language_modelling", "language_modeling"), (7, "7")])
def test_a_task_that_is_none_is_told(task: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"`data.*{message}"):
        check(data=TEXT | {"task": task}, model={"architecture": "rnn"})


def test_settings_of_another_architecture_are_unknown() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting `model\.window` \(known: architecture, cell, "):
        check(data=TEXT, model={"architecture": "rnn", "window": 5})
    with pytest.raises(ConfigError, match=r"`model\.order`: .*, but got 0"):
        check(data=TEXT, model={"architecture": "ngram", "order": 0})


@pytest.mark.parametrize("minutes", [0, -1])
def test_minutes_must_be_some(minutes: float) -> None:
    with pytest.raises(ConfigError, match=rf"`training\.max_minutes`.*got {minutes}"):
        check(training={"max_minutes": minutes})


@pytest.mark.parametrize("setting", ["tokenize=none", "lowercase=true", "max_sentences=7"])
def test_what_only_translations_are_judged_by_is_refused_elsewhere(tmp_path: Path, setting: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = {"text": "some.txt"}
    data = {"task": "language_modeling", "language": "en", "train": [text], "validation": text}
    recipe.write_text(yaml.safe_dump({"data": data, "model": {"architecture": "rnn"}}))
    load_recipe(recipe, tmp_path)
    with pytest.raises(ConfigError, match=rf"`training\.validation\.{setting.partition('=')[0]}` is for"):
        load_recipe(recipe, tmp_path, [f"training.validation.{setting}"])


def test_a_comparison_is_told_as_what_it_is(tmp_path: Path) -> None:
    recipe = tmp_path / "ladder.yaml"
    recipe.write_text(yaml.safe_dump({"data": {}, "systems": {"lstm": {}}}))
    with pytest.raises(ConfigError, match=r"ladder\.yaml: holds several systems; `attento compare"):
        load_recipe(recipe, tmp_path)
