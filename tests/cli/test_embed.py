"""`attento embed`: the same as the encoder, a vector a line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from attento.cli.app import app
from attento.engines.embedding import SentenceEncoder
from attento.errors import InputError
from attento.models.build import build_masked_model
from attento.models.masked.config import MaskedEncoderConfig
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import save_joint

LINES = ["an apple", "", "a bridge and the apple", "the"]


def invoke(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["embed", *map(str, arguments)], input=given, catch_exceptions=False)


@pytest.fixture(scope="module")
def encoder_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("encoder"))
    tokenizer = train_tokenizer(
        LINES, model="word", vocab_size=None, byte_fallback=False, character_coverage=1.0, normalization="identity"
    )
    settings = {"architecture": "encoder_only", "layers": 1, "d_model": 6, "d_ff": 7, "num_heads": 2}
    folder.config.write_text(yaml.safe_dump({"data": {"task": "masked_language_modeling"}, "model": settings}))
    save_joint(tokenizer, folder.path)
    torch.manual_seed(3)
    model = build_masked_model(MaskedEncoderConfig.model_validate(settings), tokenizer.vocab_size)
    save_file(model.state_dict(), folder.weights)
    return folder.path


@pytest.mark.parametrize("way", ["arguments", "file", "stdin"])
def test_a_vector_a_line(encoder_run: Path, tmp_path: Path, way: str) -> None:
    text = "".join(f"{line}\n" for line in LINES)
    if way == "arguments":
        result = invoke(encoder_run, *LINES)
    elif way == "file":
        (tmp_path / "lines").write_text(text)
        result = invoke(encoder_run, "--input", tmp_path / "lines")
    else:
        result = invoke(encoder_run, given=text)
    assert result.exit_code == 0, result.output
    found = np.array([json.loads(line) for line in result.stdout.splitlines()], dtype=np.float32)
    assert np.array_equal(found, SentenceEncoder.load(encoder_run).embed(LINES))
    assert found.shape == (len(LINES), 6)


def test_a_matrix_in_a_file(encoder_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "vectors.npy"
    result = invoke(encoder_run, *LINES, "--unit", "--output", output)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    found = np.load(output, allow_pickle=False)
    assert found.dtype == np.float32
    assert np.array_equal(found, SentenceEncoder.load(encoder_run).embed(LINES, unit=True))
    assert list(tmp_path.iterdir()) == [output]


def test_wrong_use(encoder_run: Path, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("the\n")
    assert invoke(encoder_run, "the", "--input", tmp_path / "lines").exit_code == 2
    with pytest.raises(InputError, match="is read from; name another --output"):
        invoke(encoder_run, "--input", tmp_path / "lines", "--output", tmp_path / "lines")
    assert (tmp_path / "lines").read_text() == "the\n"
    with pytest.raises(InputError, match="is a folder; name a file"):
        invoke(encoder_run, "the", "--output", tmp_path)


def test_a_failure_leaves_no_file(encoder_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="surrogate"):
        invoke(encoder_run, "the", "\udc80", "--output", tmp_path / "vectors.npy")
    assert not list(tmp_path.iterdir())
