"""BERT, saved by Hugging Face's library, imported, and held against the original."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel, BertTokenizer

from attento.data.masked.config import MASK_PIECE
from attento.engines.embedding import SentenceEncoder
from attento.errors import DataError
from attento.interop.importing import import_model
from attento.models.base import Sentences
from attento.setting_trees import read_yaml
from attento.text.special import BOS_ID, EOS_ID, PAD_ID
from attento.text.tokenizer import load_joint

# Real files, too, have tokens before and between the marks.
WORDS = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sleep", "##s", "##ing", "on"]
WORDS += ["a", "mat", ",", ".", "!", "caf", "##e", "C", "##at", "##é", "[", "]", "mask"]
SIZE = len(WORDS)
# The house's four, then all others of theirs in their order.
ORDER = [0, 2, 3, 4, 1, *range(5, SIZE)]
SHAPE = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 17}
TEXTS = ["The cat sleeps on a mat.", "dog", "", "Café, the xyz DOG sleeping!", "the [MASK] [CLS] cat", "a  mat\t."]


def make(kind: type[Any], **settings: Any) -> Any:
    torch.manual_seed(7)
    model = kind(BertConfig(vocab_size=SIZE, max_position_embeddings=23, **(SHAPE | settings))).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


def save(model: Any, folder: Path) -> Any:
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    return model


def encoder_of(folder: Path) -> SentenceEncoder:
    encoder = SentenceEncoder.load(import_model(folder, folder.parent / "ours").run, "cpu")
    encoder.model.eval()
    return encoder


def padded(ids: list[list[int]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, ids))
    real = torch.tensor([[place < len(row) for place in range(longest)] for row in ids])
    return torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in ids]), real


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(4, SIZE, (length,), generator=generator).tolist() for length in (17, 5, 11)]
    return padded([[BOS_ID, *row, EOS_ID] for row in rows])


def edit(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertForPreTraining])
def test_logits_of_a_padded_batch(kind: type[Any], tmp_path: Path) -> None:
    theirs = save(make(kind, layer_norm_eps=0.01), tmp_path / "theirs")
    encoder, (ids, real) = encoder_of(tmp_path / "theirs"), batch()
    with torch.no_grad():
        found = theirs(torch.tensor(ORDER)[ids], attention_mask=real.long())
        ours = encoder.model(Sentences(ids, real))
    expected = (found.logits if kind is BertForMaskedLM else found.prediction_logits)[..., ORDER]
    torch.testing.assert_close(ours[real], expected[real], rtol=0, atol=1e-4)
    assert expected[real].std() > 0.1


def test_the_first_files_named_normalizations_in_another_way(tmp_path: Path) -> None:
    save(make(BertForMaskedLM), folder := tmp_path / "theirs")
    expected = encoder_of(folder).embed(TEXTS)
    weights = load_file(folder / "model.safetensors")
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for name in list(weights):
        for new, old in names.items():
            if name.endswith(new):
                weights[name.replace(new, old)] = weights.pop(name)
    save_file(weights, folder / "model.safetensors")
    run = import_model(folder, tmp_path / "again").run
    assert np.array_equal(SentenceEncoder.load(run, "cpu").embed(TEXTS), expected)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_without_a_head_a_vector_is_the_layer_over_the_first_token(activation: str, tmp_path: Path) -> None:
    theirs = save(make(BertModel, hidden_act=activation), tmp_path / "theirs")
    encoder, (ids, real) = encoder_of(tmp_path / "theirs"), batch()
    with torch.no_grad():
        expected = theirs(torch.tensor(ORDER)[ids], attention_mask=real.long()).pooler_output
        ours = encoder.model.embed(Sentences(ids, real))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


def test_without_that_layer_it_is_the_mean(tmp_path: Path) -> None:
    torch.manual_seed(7)
    model = BertModel(BertConfig(vocab_size=SIZE, **SHAPE), add_pooling_layer=False).eval()
    check_vectors(encoder_of_text(model, tmp_path / "theirs"), model, "mean")


def encoder_of_text(model: Any, folder: Path) -> SentenceEncoder:
    save(model, folder)
    return encoder_of(folder)


def check_vectors(encoder: SentenceEncoder, model: Any, pooling: str) -> None:
    """Hold vectors of texts against those of one unpadded text after the other."""
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    for text, ours in zip(TEXTS[:4], encoder.embed(TEXTS[:4]), strict=True):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].double()
        expected = hidden.mean(0) if pooling == "mean" else hidden[0]
        np.testing.assert_allclose(ours, expected.numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("mode", "pooling"), [("mean_tokens", "mean"), ("cls_token", "first")])
def test_files_of_sentence_transformers_say_how_vectors_are_made(mode: str, pooling: str, tmp_path: Path) -> None:
    model = save(make(BertModel), folder := tmp_path / "theirs")
    save_modules(folder, {f"pooling_mode_{mode}": True, "pooling_mode_max_tokens": False}, "Normalize")
    encoder = encoder_of(folder)
    assert read_yaml(tmp_path / "ours" / "config.yaml")["model"]["pooling"] == pooling
    check_vectors(encoder, model, pooling)


def save_modules(folder: Path, pooling: dict[str, Any], *others: str) -> None:
    kinds = ["Transformer", "Pooling", *others]
    modules = [
        {"idx": i, "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("file", ["vocab.txt", "tokenizer.json"])
def test_text_is_cut_as_theirs_cuts_it(cased: bool, file: str, tmp_path: Path) -> None:
    save(make(BertModel), folder := tmp_path / "theirs")
    theirs = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, do_lower_case=not cased)
    if file == "tokenizer.json":
        theirs.save_pretrained(folder)
        (folder / "vocab.txt").unlink()
    else:
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": not cased}))
    ours = load_joint(import_model(folder, tmp_path / "ours").run)
    assert ours.vocab_size == SIZE
    for text in TEXTS[:4]:
        assert [ORDER[i] for i in ours.encode(text)] == theirs(text).input_ids[1:-1]
    # Marks that are written out are text.
    assert [ours.pieces([i])[0] for i in ours.encode(TEXTS[4])][:4] == (
        ["the", "[", "[UNK]", "]"] if cased else ["the", "[", "mask", "]"]
    )
    # What hides a token has the name that it has in every run.
    assert ours.piece_id(MASK_PIECE) == ORDER.index(WORDS.index("[MASK]"))


def test_features_that_ours_lacks_are_named_all_at_once(tmp_path: Path) -> None:
    save(make(BertModel), folder := tmp_path / "theirs")
    settings = {"hidden_act": "tanh", "position_embedding_type": "relative_key", "type_vocab_size": 1}
    settings |= {"is_decoder": True, "add_cross_attention": True, "architectures": ["BertForSequenceClassification"]}
    edit(folder, **settings)
    save_modules(folder, {"pooling_mode_max_tokens": True}, "Dense")
    with pytest.raises(DataError) as told:
        import_model(folder, tmp_path / "ours")
    shown = {name: value[0] if isinstance(value, list) else value for name, value in settings.items()}
    for named in (*(f"`{name}: {value}`" for name, value in shown.items()), "pooling by max_tokens", "`Dense`"):
        assert f"{named} is not supported" in str(told.value)


def test_damaged_modules_are_told(tmp_path: Path) -> None:
    save(make(BertModel), folder := tmp_path / "theirs")
    (folder / "modules.json").write_text("{}")
    with pytest.raises(DataError, match=r"modules\.json: must be a list"):
        import_model(folder, tmp_path / "ours")
    (folder / "modules.json").write_text("[")
    with pytest.raises(DataError, match=r"modules\.json: cannot be read"):
        import_model(folder, tmp_path / "ours")


def test_a_tokenizer_that_does_not_fit_is_told(tmp_path: Path) -> None:
    save(make(BertModel), folder := tmp_path / "theirs")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS[:-1]))
    with pytest.raises(DataError, match=rf"vocab.txt: has {SIZE - 1} tokens, but .*says `vocab_size: {SIZE}`"):
        import_model(folder, tmp_path / "ours")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS if word != "[SEP]"))
    with pytest.raises(DataError, match=r"vocab.txt: lacks the special token '\[SEP\]'"):
        import_model(folder, tmp_path / "ours")
    (folder / "vocab.txt").unlink()
    with pytest.raises(DataError, match=r"neither tokenizer.json nor vocab.txt"):
        import_model(folder, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
