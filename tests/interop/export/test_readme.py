"""The code that the README of an exported model holds: it cuts text as the tokenizers do, whatever their kind."""

import pytest
from tokenizers import Tokenizer as Original
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from attento.interop.export.readme import tokenizer_code
from attento.text.hugging_face import HuggingFaceTokenizer
from attento.text.renumbering import renumber_json
from attento.text.tokenizer import TokenizerPair


@pytest.fixture(scope="module")
def json_tokenizer(sentences):
    """Learn a byte-level vocabulary whose texts begin with <s>, as BART's do."""
    original = Original(models.BPE())
    original.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    original.decoder = decoders.ByteLevel()
    specials = ["<pad>", "<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=307,
        special_tokens=specials,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    original.train_from_iterator(sentences, trainer)
    original.post_processor = processors.RobertaProcessing(("</s>", 3), ("<s>", 2))
    tokens = [str(original.id_to_token(i)) for i in range(original.get_vocab_size())]
    return HuggingFaceTokenizer(renumber_json(original.to_str(), tokens))


@pytest.mark.parametrize(
    ("kind", "packages"),
    [
        ("joint", ("sentencepiece",)),
        ("separate", ("sentencepiece",)),
        ("json", ("tokenizers",)),
        ("both", ("tokenizers", "sentencepiece")),
    ],
)
def test_text_is_cut_and_put_together_alike(
    kind, packages, tokenizers, json_tokenizer, sentences, tmp_path, monkeypatch
):
    made = {
        "json": TokenizerPair(json_tokenizer, json_tokenizer),
        "both": TokenizerPair(json_tokenizer, tokenizers["separate"].target),
    }
    pair = (tokenizers | made)[kind]
    pair.save(tmp_path)
    monkeypatch.chdir(tmp_path)
    code = tokenizer_code(pair)
    assert code.packages == packages
    defined = {}
    exec(code.lines, defined)
    for sentence in sentences:
        assert defined["encode"](sentence) == pair.source.encode(sentence)
        ids = pair.target.encode(sentence)
        assert defined["decode"](ids) == pair.target.decode(ids)
