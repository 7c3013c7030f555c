"""A packed language model writes the texts of the torch one, with either engine and without torch."""

import string
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from attento.decoding.config import SamplingConfig, SearchConfig
from attento.engines.choose import choose_engine
from attento.engines.language import LanguageEngine
from attento.engines.writing import PackedWriter, load_writer
from attento.errors import InputError, RunFolderError
from attento.interop.export.base import TrainedModel
from attento.interop.export.native import NativeExporter
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import TokenizerPair

LETTERS = string.ascii_letters[:47]
# Some of equal length; the letter Z is not known.
PROMPTS = ["a cab", "", "dAd bZb", "", LETTERS]
DRAWN = SamplingConfig(temperature=1.3, top_k=13, top_p=0.9, seed=5)
GPT2 = {"positions": "learned", "max_positions": 101, "feed_forward": "gelu_tanh", "norm": "pre"}
LLAMA = {
    "positions": "rotary",
    "position_layout": "halves",
    "feed_forward": "swiglu",
    "normalization": "rms",
    "norm": "pre",
    "num_kv_heads": 2,
    "bias": False,
}
OTHERS = [{"positions": "alibi", "norm": "post"}, {"positions": "relative", "tied_embeddings": True}]


@pytest.fixture(params=["native", "reference"])
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        pytest.importorskip("attento_native", reason="the native engine is not installed: `make native`")
    return str(request.param)


@pytest.fixture
def shape() -> dict[str, int]:
    """Heads as the native engine takes them."""
    return {"d_model": 19, "num_heads": 6, "d_key": 8, "d_value": 16, "d_ff": 23}


@pytest.fixture(scope="module")
def tokenizer():
    found = train_tokenizer(
        [LETTERS + " " + LETTERS],
        model="char",
        vocab_size=None,
        byte_fallback=False,
        character_coverage=1.0,
        normalization="identity",
        keep_whitespace=True,
    )
    assert found.vocab_size == 53
    return found


@pytest.fixture
def save(tmp_path: Path, tokenizer):
    """Make a run folder of a model, with the packed model in it."""

    def write(model, config, task="language_modeling") -> RunFolder:
        folder = RunFolder(tmp_path)
        settings = {"data": {"task": task, "context": 7}, "model": config.model_dump(mode="json")}
        folder.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        tokenizer.save(tmp_path / "tokenizer.model")
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder.weights)
        pair = TokenizerPair(tokenizer, tokenizer)
        run = TrainedModel(tmp_path, "language_modeling", config, model, pair, None, SearchConfig(), 7)
        NativeExporter("fp32").write(run, tmp_path)
        return folder

    return write


@pytest.mark.parametrize("settings", [GPT2, LLAMA, *OTHERS], ids=lambda settings: settings["positions"])
def test_its_texts_are_those_of_torch(save, language, name, settings):
    run = save(*language(**settings))
    torch_engine, writer = LanguageEngine.load(run.path, "cpu"), load_writer(choose_engine(run.path, name))
    assert isinstance(writer, PackedWriter)
    greedy = writer.generate(PROMPTS, max_tokens=13)
    assert greedy == torch_engine.generate(PROMPTS, max_tokens=13)
    assert len({text for [text] in greedy}) > 1
    drawn = writer.generate(PROMPTS, max_tokens=7, sampling=DRAWN, count=3)
    assert drawn == torch_engine.generate(PROMPTS, max_tokens=7, sampling=DRAWN, count=3)
    assert len({text for texts in drawn for text in texts}) > 9
    assert writer.room(PROMPTS) == torch_engine.room(PROMPTS) == (53 if settings == GPT2 else None)


def test_a_packed_file_alone_is_enough(save, language, name):
    run = save(*language(**LLAMA))
    expected = LanguageEngine.load(run.path, "cpu").generate(PROMPTS, max_tokens=7)
    for file in run.path.iterdir():
        if file != run.packed:
            file.unlink()
    for path in (run.path, run.packed):
        assert load_writer(choose_engine(path, name)).generate(PROMPTS, max_tokens=7) == expected


def test_torch_serves_where_it_is_asked_for(save, language):
    run = save(*language(**LLAMA))
    assert isinstance(load_writer(choose_engine(run.path, "torch"), "cpu"), LanguageEngine)


def test_more_than_the_model_can_read_is_refused(save, language, name):
    model, config = language(**GPT2 | {"max_positions": 29})
    writer = load_writer(choose_engine(save(model, config).path, name))
    [[text]] = writer.generate(["a cab"], max_tokens=23)
    assert len(text) == 23
    with pytest.raises(InputError, match=r"prompt of 5 tokens and 24 more.* 29 tokens .*`model\.max_positions`"):
        writer.generate(["a", "a cab"], max_tokens=24)


@pytest.mark.parametrize("sampling", [None, DRAWN])
def test_scores_that_are_no_numbers_are_told(save, language, name, sampling):
    model, config = language(**LLAMA)
    with torch.no_grad():
        model.decoder[1].feed_forward.outer.weight.fill_(3e38)
    writer = load_writer(choose_engine(save(model, config).path, name))
    with pytest.raises(RunFolderError, match="not numbers"):
        writer.generate(["a"], max_tokens=3, sampling=sampling)


def test_a_packed_model_of_another_task_is_refused(save, language, name):
    run = save(*language(**LLAMA), task="translation")
    with pytest.raises(RunFolderError, match=r"model\.attento: holds a translation model.*`attento translate`"):
        PackedWriter.load(run.packed, name)


def test_it_writes_without_torch(save, language, name):
    run = save(*language(**LLAMA))
    expected = load_writer(choose_engine(run.path, name)).generate(["a cab"], max_tokens=5, sampling=DRAWN)
    program = (
        "import sys\n"
        "from attento.cli.app import app\n"
        f"flags = ['--max-tokens', '5', '--engine', {name!r}, '--temperature', '1.3', '--top-k', '13']\n"
        "flags += ['--top-p', '0.9', '--seed', '5']\n"
        "app(['generate', sys.argv[1], 'a cab', *flags], standalone_mode=False)\n"
        "print([name for name in ('torch', 'jaxtyping') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, run.packed], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["a cab" + expected[0][0], "[]"]
