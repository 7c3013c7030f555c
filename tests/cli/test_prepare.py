"""`attento prepare`: from a recipe, and from one's own files."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from attento.cli.app import app
from attento.data.labels.prepared import PreparedLabels
from attento.data.pairs.prepared import PreparedCorpus
from attento.errors import ConfigError, DataError

SOURCES = [
    f"the {adjective} {noun} number {n}" for n in range(7) for adjective in ("red", "old") for noun in ("cat", "sea")
]
TARGETS = [
    f"le {noun} {adjective} numéro {n}"
    for n in range(7)
    for adjective in ("rouge", "vieux")
    for noun in ("chat", "lac")
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name, lines in {"train.en": SOURCES, "train.fr": TARGETS, "dev.en": SOURCES[:3], "dev.fr": TARGETS[:3]}.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    recipe = {
        "data": {
            "source_language": "en",
            "target_language": "fr",
            "train": [{"source": "train.en", "target": "train.fr"}],
            "validation": {"source": "dev.en", "target": "dev.fr"},
            "tokenizer": {"vocab_size": 311},
        },
        "training": {"max_steps": 7},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["prepare", "--workers", "1", *map(str, arguments)], catch_exceptions=False)


def test_recipe(corpus: Path) -> None:
    result = invoke(corpus / "recipe.yaml", "--data", corpus, "--output", corpus / "out")
    assert result.exit_code == 0, result.output
    prepared = PreparedCorpus.open(corpus / "out")
    # All pairs are different, and the validation pairs were not left out of training.
    assert len(prepared.train) == len(SOURCES)
    assert prepared.tokenizers.source.vocab_size == 311
    assert (corpus / "out/report.md").read_text() in result.stdout
    assert "3 validation pairs" in result.stderr


def test_data_folder_from_the_environment(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENTO_DATA", str(corpus))
    assert invoke(corpus / "recipe.yaml", "--output", corpus / "out").exit_code == 0


def test_override_changes_the_recipe(corpus: Path) -> None:
    invoke(
        corpus / "recipe.yaml", "--data", corpus, "--output", corpus / "out", "--set", "data.tokenizer.vocab_size=307"
    )
    assert PreparedCorpus.open(corpus / "out").tokenizers.source.vocab_size == 307


def own_files(corpus: Path) -> list[str]:
    return [
        *("--source-language", "en", "--target-language", "fr"),
        *("--train-source", str(corpus / "train.en"), "--train-target", str(corpus / "train.fr")),
        *("--validation-source", str(corpus / "dev.en"), "--validation-target", str(corpus / "dev.fr")),
    ]


def test_own_files_give_what_the_recipe_gives(corpus: Path) -> None:
    invoke(corpus / "recipe.yaml", "--data", corpus, "--output", corpus / "by-recipe")
    result = invoke(*own_files(corpus), "--vocab-size", "311", "--output", corpus / "by-files")
    assert result.exit_code == 0, result.output
    for name in ("tokenizer.model", "train-00000.arrow"):
        assert (corpus / "by-files" / name).read_bytes() == (corpus / "by-recipe" / name).read_bytes()


def test_missing_own_file_flags_are_named(corpus: Path) -> None:
    with pytest.raises(ConfigError, match=r"--validation-source, --validation-target missing"):
        invoke(*own_files(corpus)[:8], "--output", corpus / "out")


def test_recipe_and_own_files_together_are_refused(corpus: Path) -> None:
    assert invoke(corpus / "recipe.yaml", *own_files(corpus), "--output", corpus / "out").exit_code == 2
    assert not (corpus / "out").exists()


def test_vocab_size_is_for_own_files(corpus: Path) -> None:
    result = invoke(corpus / "recipe.yaml", "--data", corpus, "--output", corpus / "out", "--vocab-size", "311")
    assert result.exit_code == 2
    assert "data.tokenizer.vocab_size=N" in result.stderr
    assert not (corpus / "out").exists()


def test_override_outside_data_is_refused(corpus: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set training\.max_steps=3"):
        invoke(corpus / "recipe.yaml", "--output", corpus / "out", "--set", "training.max_steps=3")


def test_unknown_data_setting_is_answered_with_the_nearest(corpus: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.tokenizer\.vocab_sise.*did you mean `vocab_size`"):
        invoke(corpus / "recipe.yaml", "--output", corpus / "out", "--set", "data.tokenizer.vocab_sise=3")


def test_running_text_and_labelled_sentences(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("an old song of the sea\n" * 5, encoding="utf-8")
    (tmp_path / "labelled").write_text("good a fine film\nbad a dull film\n" * 7, encoding="utf-8")
    stream = {"task": "language_modeling", "language": "en", "tokenizer": {"model": "char"}}
    stream |= {"train": [{"text": "text"}], "validation": {"text": "text"}}
    masked = stream | {"task": "masked_language_modeling"}
    denoising = stream | {"task": "denoising", "context": 20}
    labels = {"task": "classification", "language": "en", "train": [{"file": "labelled"}], "validation_share": 0.25}
    for name, data, told in (
        ("stream", stream, "115 training and 115 validation tokens"),
        ("masked", masked, "115 training and 115 validation tokens"),
        ("denoising", denoising, "115 training and 115 validation tokens"),
        ("labels", labels, "10 training and 4 validation examples"),
    ):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"data": data}))
        result = invoke(tmp_path / f"{name}.yaml", "--data", tmp_path, "--output", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert told in result.stderr
    with pytest.raises(DataError, match="was prepared for the task `language_modeling`"):
        PreparedLabels.open(tmp_path / "stream")
