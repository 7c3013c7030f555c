import json
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from attento.text.post_processor import named_ids, prefix_of, write_template

TOKENS = ["[PAD]", "[UNK]", "<s>", "</s>", "x", "lang"]
NUMBERS = {token: number for number, token in enumerate(TOKENS)}


def template(single: str) -> Any:
    return processors.TemplateProcessing(single=single, special_tokens=list(NUMBERS.items()))


@pytest.mark.parametrize(
    ("post_processor", "expected"),
    [
        (None, []),
        (processors.ByteLevel(), []),
        (processors.BertProcessing(("</s>", 3), ("<s>", 2)), ["<s>"]),
        (processors.RobertaProcessing(("</s>", 3), ("<s>", 2)), ["<s>"]),
        (template("$A </s>"), []),
        (template("<s> lang $A </s>"), ["<s>", "lang"]),
        (processors.Sequence([processors.ByteLevel(), template("<s> $A </s>")]), ["<s>"]),
        (processors.Sequence([processors.ByteLevel()]), []),
    ],
)
def test_the_prefix_is_what_the_library_puts_before_a_text(post_processor: Any, expected: list[str]) -> None:
    tokenizer = Tokenizer(models.WordLevel(NUMBERS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    written = json.loads(tokenizer.to_str())["post_processor"]
    assert prefix_of(written) == expected
    tokens = tokenizer.encode("x x").tokens
    assert tokens[: tokens.index("x")] == expected
    # Ours puts the same before it, and nothing behind.
    document = json.loads(tokenizer.to_str()) | {"post_processor": write_template(expected, TOKENS)}
    assert Tokenizer.from_str(json.dumps(document)).encode("x x").tokens == [*expected, "x", "x"]


def test_a_template_of_ours_names_the_four() -> None:
    assert named_ids(write_template(["lang", "<s>"], TOKENS)) == (0, 1, 2, 3)


@pytest.mark.parametrize("post_processor", [processors.ByteLevel(), template("<s> $A")])
def test_others_name_none(post_processor: Any) -> None:
    tokenizer = Tokenizer(models.WordLevel(NUMBERS, unk_token="[UNK]"))
    tokenizer.post_processor = post_processor
    assert named_ids(json.loads(tokenizer.to_str())["post_processor"]) is None
    assert named_ids(None) is None


def test_other_kinds_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="`Magic` is not supported"):
        prefix_of({"type": "Sequence", "processors": [{"type": "Magic"}]})
    with pytest.raises(ValueError, match="2 post-processors in a row are not supported"):
        prefix_of({"type": "Sequence", "processors": [{"type": "BertProcessing"}, {"type": "TemplateProcessing"}]})
