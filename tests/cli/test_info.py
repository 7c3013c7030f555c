"""`attento info`: what it says must be what the model is."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from attento.cli.app import app
from attento.errors import ConfigError
from attento.models.presets import PRESETS


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["info", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_names_every_preset() -> None:
    listed = invoke("--list")
    assert all(name in listed for name in PRESETS)
    assert json.loads(invoke("--list", "--json")) == {name: preset.about for name, preset in PRESETS.items()}


def test_preset_by_part_and_in_all() -> None:
    described = json.loads(invoke("transformer_base", "--json"))
    # Six encoder and six decoder layers by the formulas of section 3, written out: attention, feed-forward, LayerNorm.
    attention, norm = 4 * 512 * 512, 2 * 512
    feed_forward = 512 * 2048 + 2048 + 2048 * 512 + 512
    assert described["parts"]["encoder"] == pytest.approx(6 * (attention + feed_forward + 2 * norm), rel=0.01)
    assert described["parts"]["decoder"] == pytest.approx(6 * (2 * attention + feed_forward + 3 * norm), rel=0.01)
    assert described["parameters"] == sum(described["parts"].values())
    assert described["parameters"] == sum(layer["parameters"] for layer in described["layers"])
    assert described["settings"]["d_model"] == 512


def test_vocabulary_is_counted() -> None:
    small, large = (json.loads(invoke("transformer_base", "--json", "--vocab-size", str(n))) for n in (1009, 1013))
    assert large["parameters"] - small["parameters"] == 4 * 512


def test_text_shows_total_and_shapes() -> None:
    shown = invoke("transformer_base", "--vocab-size", "1009")
    described = json.loads(invoke("transformer_base", "--json", "--vocab-size", "1009"))
    assert f"{described['parameters']:,}" in shown
    assert "1009 x 512" in shown


@pytest.mark.parametrize(
    ("name", "parameters", "size"),
    [("gpt2", 124_439_808, 50_257), ("bert_base", 110_104_890, 30_522), ("t5_small", 60_506_624, 32_128)],
)
def test_a_preset_of_any_task_is_counted_with_its_own_vocabulary(name: str, parameters: int, size: int) -> None:
    described = json.loads(invoke(name, "--json"))
    assert described["parameters"] == parameters
    assert {value for key, value in described.items() if key.endswith("vocab_size")} == {size}
    smaller = json.loads(invoke(name, "--json", "--vocab-size", "1009"))
    assert {value for key, value in smaller.items() if key.endswith("vocab_size")} == {1009}
    assert smaller["parameters"] < parameters


def test_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean `transformer_base`"):
        CliRunner().invoke(app, ["info", "transformer_bse"], catch_exceptions=False)


def test_what_is_neither_run_nor_preset_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^runs/my: is neither a run folder nor a preset; `attento info --list`"):
        CliRunner().invoke(app, ["info", "runs/my"], catch_exceptions=False)


def test_vocabulary_of_a_run_cannot_be_chosen(run: Path) -> None:
    assert CliRunner().invoke(app, ["info", str(run), "--vocab-size", "307"]).exit_code == 2


def test_nothing_named_is_wrong_use() -> None:
    assert CliRunner().invoke(app, ["info"]).exit_code == 2


def test_run_folder(run: Path) -> None:
    described = json.loads(invoke(str(run), "--json"))
    stored = load_file(run / "model.safetensors")
    assert described["parameters"] == sum(tensor.numel() for tensor in stored.values())
    assert {layer["name"]: tuple(layer["shape"]) for layer in described["layers"]} == {
        name: tuple(tensor.shape) for name, tensor in stored.items()
    }
    assert described["source_vocab_size"] == described["target_vocab_size"] == 307


def test_says_which_engine_would_be_used(run: Path, language_run: Path, label_run: Path) -> None:
    described = json.loads(invoke(str(run), "--json"))
    assert described["engine"]["name"] == "torch"
    assert "there is no model.attento" in described["engine"]["why"]
    shown = CliRunner().invoke(app, ["info", str(run)], catch_exceptions=False)
    assert "engine: torch (there is no model.attento" in shown.stderr
    assert json.loads(invoke(str(language_run), "--json"))["engine"] == {
        "name": "torch",
        "why": "the native and the reference engine do not run `model.architecture: rnn`; torch does",
    }
    assert "engine" not in json.loads(invoke(str(label_run), "--json"))


@pytest.mark.parametrize(
    ("which", "sizes"),
    [
        ("language_run", {"vocab_size"}),
        ("ngram_run", {"vocab_size"}),
        ("label_run", {"vocab_size", "num_classes"}),
        ("masked_run", {"vocab_size"}),
        ("denoising_run", {"source_vocab_size", "target_vocab_size"}),
    ],
)
def test_runs_of_other_tasks(request: pytest.FixtureRequest, which: str, sizes: set[str]) -> None:
    path = request.getfixturevalue(which)
    described = json.loads(invoke(str(path), "--json"))
    stored = load_file(path / "model.safetensors")
    assert {layer["name"]: tuple(layer["shape"]) for layer in described["layers"]} == {
        name: tuple(tensor.shape) for name, tensor in stored.items()
    }
    assert described["parameters"] == sum(tensor.numel() for tensor in stored.values())
    assert described["parameters"] == sum(described["parts"].values()) > 0
    assert {name for name in described if name.endswith(("_size", "_classes"))} == sizes
    assert f"{described['parameters']:,}" in invoke(str(path))
