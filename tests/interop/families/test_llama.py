"""What is LLaMA's alone: how text is cut, older settings, what is refused (logits: `test_every_decoder`)."""

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from attento.engines.language import LanguageEngine
from attento.errors import DataError
from attento.interop.families.llama import Llama, Mistral
from attento.interop.foreign_config import ForeignConfig
from attento.interop.importing import import_model
from attento.text.tokenizer import load_joint

LINES = ("the small dog sleeps in the garden", "a cat is sitting on the old roof", "two children play by the river")
TEXTS = [*LINES, "", "The cat, is ö\nsleeping.", "  two  dogs </s>"]
SHAPE: dict[str, Any] = {
    "hidden_size": 12,
    "intermediate_size": 17,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 97,
}


def train_pieces(path: Path) -> sentencepiece.SentencePieceProcessor:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 3),
        model_prefix=str(path.with_suffix("")),
        vocab_size=307,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose tokenizer is sentencepiece's."""
    torch.manual_seed(7)
    theirs = tmp_path / "theirs"
    LlamaForCausalLM(LlamaConfig(vocab_size=307, **SHAPE)).save_pretrained(theirs)
    train_pieces(theirs / "tokenizer.model")
    return theirs


def edit(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_text_is_cut_as_theirs_cuts_it(folder: Path) -> None:
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    ours = load_joint(import_model(folder, folder.parent / "ours").run)
    # Theirs are <unk>, <s>, </s>; ours stand behind a padding that theirs lacks.
    for text in TEXTS:
        assert [i - 1 for i in ours.encode(text)] == theirs.encode(text)
    assert ours.vocab_size == 308


def test_text_goes_on_as_the_originals(folder: Path) -> None:
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    engine = LanguageEngine.load(import_model(folder, folder.parent / "ours").run, "cpu")
    prompt = theirs.encode(LINES[0])
    written = LlamaForCausalLM.from_pretrained(folder).generate(
        torch.tensor([[1, *prompt]]), do_sample=False, max_new_tokens=13, suppress_tokens=[0, 1, 2], pad_token_id=2
    )
    [[text]] = engine.generate([LINES[0]], max_tokens=13)
    assert LINES[0] + text == engine.tokenizer.decode([i + 1 for i in written[0, 1:].tolist()])
    assert len(text) > 3


def test_added_tokens_are_tokens_of_the_model(folder: Path) -> None:
    torch.manual_seed(7)
    LlamaForCausalLM(LlamaConfig(vocab_size=309, **SHAPE, pad_token_id=308)).save_pretrained(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"<pad>": 308, "<turn>": 307}))
    ours = load_joint(import_model(folder, folder.parent / "ours").run)
    assert ours.vocab_size == 309
    assert ours.pieces([0, 1, 2, 3, 308]) == ["<pad>", "<unk>", "<s>", "</s>", "<turn>"]


def test_of_several_ends_the_first_counts(folder: Path) -> None:
    edit(folder, eos_token_id=[2, 7])
    ours = load_joint(import_model(folder, folder.parent / "ours").run)
    assert ours.pieces([3]) == ["</s>"]
    edit(folder, eos_token_id=[7, 2])
    with pytest.raises(DataError, match="is a piece of text"):
        import_model(folder, folder.parent / "others")


OLD: dict[str, Any] = {
    "hidden_size": 12,
    "intermediate_size": 17,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def read_settings(family: Llama, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    config = ForeignConfig(OLD | settings, Path("config.json"))
    return family.settings(config), config.problems


def test_settings_as_older_files_have_them() -> None:
    scaling = {"type": "linear", "factor": 3.0}
    found, problems = read_settings(Llama(), rope_theta=700.0, rope_scaling=scaling)
    assert found["rotary"] == {"base": 700.0, "scaling": {"kind": "linear", "factor": 3.0}}
    assert not problems
    assert read_settings(Llama())[0]["rotary"] == {"base": 10000.0}
    # What the file leaves out is as it was when the format had no name for it.
    assert read_settings(Llama())[0]["num_kv_heads"] is None
    assert read_settings(Mistral())[0]["num_kv_heads"] == 8
    assert read_settings(Mistral())[0]["sliding_window"] == 4096
    assert read_settings(Mistral(), sliding_window=None)[0]["sliding_window"] is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "factor": 3.0}}, "`rope_type: yarn` is not supported"),
        ({"rope_scaling": {"type": "dynamic", "factor": 3.0}}, "`rope_type: dynamic` is not supported"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "`partial_rotary_factor: 0.5` is not supported"),
        ({"attention_bias": True}, "`attention_bias: True` with `mlp_bias: False` is not supported"),
        ({"mlp_bias": True}, "`attention_bias: False` with `mlp_bias: True` is not supported"),
        ({"hidden_act": "gelu"}, "`hidden_act: gelu` is not supported"),
        ({"architectures": ["LlamaForTokenClassification"]}, "`architectures: LlamaForTokenClassification`"),
        ({"hidden_size": None}, "`hidden_size` is missing"),
    ],
)
def test_features_that_ours_lacks_are_named(settings: dict[str, Any], named: str) -> None:
    _, problems = read_settings(Llama(), **settings)
    assert len(problems) == 1
    assert named in problems[0]


@pytest.mark.parametrize("name", ["bos_token_id", "eos_token_id"])
def test_a_model_without_a_begin_or_an_end_is_refused(folder: Path, name: str) -> None:
    edit(folder, **{name: None})
    with pytest.raises(DataError, match=f"`{name}` is missing"):
        import_model(folder, folder.parent / "ours")


def test_a_tokenizer_of_another_size_is_refused(folder: Path) -> None:
    edit(folder, vocab_size=311)
    with pytest.raises(DataError, match=r"tokenizer\.model: has 307 tokens, but .*says `vocab_size: 311`"):
        import_model(folder, folder.parent / "ours")
    assert not (folder.parent / "ours").exists()


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    torch.manual_seed(7)
    LlamaForCausalLM(LlamaConfig(vocab_size=311, **SHAPE)).save_pretrained(folder)
    edit(folder, vocab_size=307)
    with pytest.raises(DataError, match=r"`model.embed_tokens.weight` has shape \(311, 12\)"):
        import_model(folder, folder.parent / "ours")


def test_a_missing_or_damaged_tokenizer_is_told(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"no pieces")
    with pytest.raises(DataError, match="is not a sentencepiece model"):
        import_model(folder, folder.parent / "ours")
    (folder / "tokenizer.model").unlink()
    with pytest.raises(DataError, match=r"holds no tokenizer \(neither tokenizer.json nor tokenizer.model\)"):
        import_model(folder, folder.parent / "ours")


@pytest.mark.parametrize("name", ["bos_token_id", "eos_token_id", "pad_token_id"])
@pytest.mark.parametrize("number", ["1", [], -2, 307])
def test_a_special_token_must_have_a_number_of_the_tokenizer(folder: Path, name: str, number: object) -> None:
    edit(folder, **{name: number})
    with pytest.raises(DataError, match="says a special token of number"):
        import_model(folder, folder.parent / "ours")


def test_a_piece_that_is_no_text_is_told(folder: Path) -> None:
    path = folder / "tokenizer.model"
    path.write_bytes(path.read_bytes().replace(b"the", b"t\xb6e", 1))
    with pytest.raises(DataError, match="is not a sentencepiece model"):
        import_model(folder, folder.parent / "ours")
