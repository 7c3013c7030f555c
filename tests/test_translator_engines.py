"""A translator of a run folder or a packed file says what its engine does, whichever engine it is."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from attento.cli.app import app
from attento.data.pairs.config import CorpusConfig, DataConfig
from attento.decoding.config import SearchConfig
from attento.engines.task import expect_task, run_kind
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, RunFolderError
from attento.interop.exporting import export_run
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import TokenizerPair
from attento.translator import Flag, Translator

MAX_POSITIONS = 13
SENTENCES = ["the animal was too tired", "the street was too wide for the animal to cross", "it slept"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(RunFolderError, match="no such run folder"):
        Translator.load(tmp_path / "nowhere")

    (tmp_path / "config.yaml").write_text("data: {cleaning: {max_tokens: many}}\n", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"model\.safetensors missing"):
        Translator.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        Translator.load(str(tmp_path))
    for setting in ("data.cleaning.max_tokens", "search"):
        assert setting in str(caught.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    tokenizer = train_tokenizer(
        SENTENCES * 20,
        model="bpe",
        vocab_size=307,
        byte_fallback=True,
        character_coverage=1.0,
        normalization="nmt_nfkc",
    )
    TokenizerPair(tokenizer, tokenizer).save(folder.path)
    corpus = CorpusConfig(source="train.en", target="train.fr")
    data = DataConfig(source_language="en", target_language="fr", train=(corpus,), validation=corpus)
    model = TransformerConfig(
        encoder_layers=1,
        decoder_layers=1,
        d_model=16,
        d_ff=11,
        num_heads=2,
        positions="learned",
        max_positions=MAX_POSITIONS,
        tied_embeddings="none",
    )
    search = asdict(SearchConfig(beam_size=3, max_extra_length=5))
    sections = {"data": data.model_dump(mode="json"), "model": model.model_dump(mode="json"), "search": search}
    config = "".join(f"{name}: {json.dumps(section)}\n" for name, section in sections.items())
    folder.config.write_text(config + "training: {max_steps: 17}\n", encoding="utf-8")
    torch.manual_seed(23)
    built = build_translation_model(model, tokenizer.vocab_size, tokenizer.vocab_size)
    save_file(built.state_dict(), folder.weights)
    return folder.path


def test_a_translation_is_what_the_engine_makes_of_each_sentence(run: Path):
    translator = Translator.load(run, device="cpu")
    engine, tokenizers = TorchEngine.load(run, "cpu"), TokenizerPair.load(run)
    text = "The animal was tired. It slept.\n\nThe street was wide!"
    search = SearchConfig(beam_size=3, max_extra_length=5, n_best=2)

    parts = ["The animal was tired.", "It slept.", "The street was wide!"]
    found = engine.translate(tokenizers.source.encode_batch(parts), search)
    translation = translator.translate([text], search=search)[0]

    first, second, third = ([tokenizers.target.decode(h.ids) for h in hypotheses] for hypotheses in found)
    assert translation.text == f"{first[0]} {second[0]}\n\n{third[0]}"
    assert [each.text for each in translation.alternatives] == [f"{first[1]} {second[1]}\n\n{third[1]}"]
    assert translation.score == pytest.approx(sum(hypotheses[0].score for hypotheses in found) / 3, abs=1e-6)


def test_the_run_says_how_to_search_and_what_the_languages_are(run: Path):
    translator = Translator.load(str(run), device="cpu")

    assert translator.search == SearchConfig(beam_size=3, max_extra_length=5)
    assert translator.target_language == "fr"
    assert translator.max_piece_tokens == 256


@pytest.fixture(scope="module")
def packed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "model"
    export_run(run, "native", folder, SENTENCES, compute_type="fp32")
    return RunFolder(folder).packed


def test_a_packed_model_translates_as_its_run_without_torch(run: Path, packed: Path):
    texts = ["The animal was tired. It slept.", SENTENCES[1]]
    expected = Translator.load(run, device="cpu", engine="torch").translate(texts)
    code = (
        "import json, sys\n"
        "sys.modules['torch'] = None\n"
        "from attento import Translator\n"
        f"translator = Translator.load({str(packed)!r}, engine='reference')\n"
        "assert translator.target_language == 'fr' and translator.max_piece_tokens == 256\n"
        f"print(json.dumps([[each.text, each.score] for each in translator.translate({texts!r})]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [text for text, _ in found] == [each.text for each in expected]
    assert [score for _, score in found] == pytest.approx([each.score for each in expected], abs=1e-4)


def test_the_native_engine_translates_as_torch(run: Path, packed: Path):
    pytest.importorskip("attento_native", reason="attento_native is not installed")
    texts, prefixes = ["The animal was tired.", "It slept."], ["the", ""]
    expected = Translator.load(run, device="cpu", engine="torch").translate(texts, prefixes=prefixes)
    found = Translator.load(packed).translate(texts, prefixes=prefixes)
    assert found[0].text.startswith("the")
    assert [each.text for each in found] == [each.text for each in expected]
    assert [each.score for each in found] == pytest.approx([each.score for each in expected], abs=1e-4)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_the_command_needs_nothing_but_the_packed_file(packed: Path, engine: str):
    heavy = {"torch", "jaxtyping", "pyarrow", "sacrebleu", "rich", "yaml", "attento.config", "pydantic"}
    if engine == "native":
        pytest.importorskip("attento_native", reason="attento_native is not installed")
        heavy.add("numpy")
    code = (
        "import sys\n"
        "from attento.cli.app import app\n"
        f"app(['translate', {str(packed)!r}, 'It slept.', '--engine', {engine!r}], standalone_mode=False)\n"
        f"sys.exit(', '.join({heavy!r} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.replace("note: length cap reached in 1 of 1 (number 1)\n", "")) == (0, "")
    (expected,) = Translator.load(packed, engine="reference").translate(["It slept."])
    assert done.stdout == expected.text + "\n"


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("flags", [(), ("--alignment-heads", "0.1")])
def test_words_are_aligned_without_torch(run: Path, packed: Path, engine: str, flags: tuple[str, ...]):
    if engine == "native":
        pytest.importorskip("attento_native", reason="attento_native is not installed")
    arguments = ["it slept", "the wide street", "", "--alignment", *flags, "--engine"]
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['jaxtyping'] = None\n"
        "from attento.cli.app import app\n"
        f"app(['translate', {str(packed)!r}, *{arguments!r}, {engine!r}], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    by_torch = CliRunner().invoke(app, ["translate", str(run), *arguments, "torch"], catch_exceptions=False)
    assert done.stdout == by_torch.stdout
    *lines, empty = done.stdout.splitlines()
    assert all(re.fullmatch(r"[^\t]+\t\d+-\d+( \d+-\d+)*", line) for line in lines)
    assert empty == "\t"


def test_a_translator_needs_no_pydantic(packed: Path):
    code = (
        "import sys\n"
        "from attento import Translator\n"
        f"translator = Translator.load({str(packed)!r}, engine='reference')\n"
        "assert translator.search.beam_size == 3 and translator.translate(['It slept.'])\n"
        "sys.exit(', '.join({'torch', 'pydantic', 'yaml', 'typer'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_packed_model_says_what_it_is_for(packed: Path):
    assert run_kind(packed) == run_kind(packed.parent)
    assert run_kind(packed).task == "translation"
    with pytest.raises(RunFolderError, match=r"model\.attento: holds a translation model .* language model is needed"):
        expect_task(packed, "language_modeling")


def test_a_slow_engine_is_warned_of_unless_it_was_asked_for(packed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("attento.engines.choose._installed", lambda package: package == "torch")
    with pytest.warns(UserWarning, match=r"slow; pip install 'attento\[native\]'"):
        Translator.load(packed)
    Translator.load(packed, engine="reference")


def test_texts_together_are_translated_as_alone(run: Path):
    translator = Translator.load(run, device="cpu")
    texts = [*SENTENCES, "", SENTENCES[1].upper(), "Ça va? 🙂"]

    together = translator.translate(texts)

    assert [each.text for each in together] == [translator.translate([text])[0].text for text in texts]
    assert [each.text for each in reversed(together)] == [each.text for each in translator.translate(texts[::-1])]


def test_a_sentence_beyond_the_model_is_cut_into_parts_that_it_can_read(run: Path):
    (translation,) = Translator.load(run, device="cpu").translate([SENTENCES[1] + " " + SENTENCES[0]])

    assert Flag.SPLIT in translation.flags


def test_a_damaged_model_is_refused(run: Path, tmp_path: Path):
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = RunFolder(tmp_path).weights
    weights.write_bytes(weights.read_bytes()[:-7])

    with pytest.raises(RunFolderError, match=r"model\.safetensors"):
        Translator.load(tmp_path, device="cpu")
