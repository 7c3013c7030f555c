"""What is GPT-2's alone: how text is cut, where weights may lie, what is refused (logits: `test_every_decoder`)."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2Model, GPT2Tokenizer

from attento.engines.language import LanguageEngine
from attento.errors import DataError
from attento.interop.importing import import_model
from attento.text.special import EOS_ID
from attento.text.tokenizer import load_joint

MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "a"), ("in", "g"), ("Ċ", "Ċ")]
TOKENS = [*"abcdefghijklmnopqrstuvwxyz.,<|>ÃĠĊ©", *("".join(pair) for pair in MERGES), "<|endoftext|>"]
VOCABULARY = {token: number for number, token in enumerate(TOKENS)}
END = len(TOKENS) - 1
SHAPE = {"n_positions": 13, "n_embd": 6, "n_layer": 1, "n_head": 3, "bos_token_id": END, "eos_token_id": END}
TEXTS = ["the thing, is a\n\nthe bee.", "", " the", "é", "a<|endoftext|>b"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(7)
    GPT2Model(GPT2Config(vocab_size=len(TOKENS), **SHAPE)).save_pretrained(tmp_path / "theirs")
    GPT2Tokenizer(vocab=VOCABULARY, merges=MERGES).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def edit(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("files", ["tokenizer.json", "vocab.json"])
def test_text_is_cut_as_theirs_cuts_it(folder: Path, files: str) -> None:
    if files == "vocab.json":
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES))
    ours = load_joint(import_model(folder, folder.parent / "ours").run)
    theirs = GPT2Tokenizer(vocab=VOCABULARY, merges=MERGES)
    for text in TEXTS[:-1]:
        ids = ours.encode(text)
        # All but the end of text follow the house's four in their order.
        assert [i - 4 for i in ids] == theirs(text).input_ids
        assert ours.decode(ids) == text
    # A mark that is written out is text here.
    assert EOS_ID not in ours.encode(TEXTS[-1])
    assert ours.decode(ours.encode(TEXTS[-1])) == TEXTS[-1]


def test_a_model_saved_without_its_head_is_the_same_model(folder: Path) -> None:
    run = import_model(folder, folder.parent / "ours").run
    engine = LanguageEngine.load(run, "cpu")
    engine.model.eval()
    torch.manual_seed(3)
    ids = torch.randint(EOS_ID, len(TOKENS) + 3, (2, 11))
    theirs = GPT2Model.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = theirs(torch.tensor([END] * 4 + list(range(END)))[ids]).last_hidden_state
        ours, _ = engine.model.decode(ids, engine.model.start(2))
        expected = hidden @ theirs.wte.weight.T
    torch.testing.assert_close(ours[..., 4:], expected[..., :END], rtol=0, atol=1e-4)


def test_features_that_ours_lacks_are_named_all_at_once(folder: Path) -> None:
    edit(
        folder,
        architectures=["GPT2ForSequenceClassification"],
        activation_function="tanh",
        scale_attn_by_inverse_layer_idx=True,
        reorder_and_upcast_attn=True,
        add_cross_attention=True,
    )
    with pytest.raises(DataError) as told:
        import_model(folder, folder.parent / "ours")
    for name in (
        "architectures: GPT2ForSequenceClassification",
        "activation_function: tanh",
        "scale_attn_by_inverse_layer_idx: True",
        "reorder_and_upcast_attn: True",
        "add_cross_attention: True",
    ):
        assert f"`{name}` is not supported" in str(told.value)
    assert not (folder.parent / "ours").exists()


def test_a_tokenizer_of_another_size_is_refused(folder: Path) -> None:
    edit(folder, vocab_size=47)
    with pytest.raises(DataError, match=rf"tokenizer.json: has {len(TOKENS)} tokens, but .*says `vocab_size: 47`"):
        import_model(folder, folder.parent / "ours")


def test_a_tokenizer_without_the_end_of_text_is_refused(folder: Path) -> None:
    edit(folder, eos_token_id=50256)
    with pytest.raises(DataError, match="says a special token of number 50256"):
        import_model(folder, folder.parent / "ours")


def test_a_missing_tokenizer_is_told(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(DataError, match=r"neither tokenizer.json nor vocab.json and merges.txt"):
        import_model(folder, folder.parent / "ours")


@pytest.mark.parametrize("text", ["{}", '{"model": {"vocab": {"a": 0, "b": 2}}, "added_tokens": []}', "[]", "{"])
def test_a_damaged_tokenizer_is_told(folder: Path, text: str) -> None:
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        import_model(folder, folder.parent / "ours")


@pytest.mark.parametrize("change", [{"version": "x"}, {"added_tokens": {}}, {"normalizer": {"type": "None such"}}])
def test_a_tokenizer_that_its_package_does_not_read_is_told(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"tokenizer\.json: (cannot be used|does not say which)"):
        import_model(folder, folder.parent / "ours")


@pytest.mark.parametrize("number", ["50256", [], True, -2])
def test_a_special_token_must_have_a_number(folder: Path, number: object) -> None:
    edit(folder, eos_token_id=number)
    with pytest.raises(DataError, match=r"eos_token_id|special token of number"):
        import_model(folder, folder.parent / "ours")
