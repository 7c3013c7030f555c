"""Contrasts from the built-in language and from a file, as tokens whose places are known."""

import json
from itertools import islice
from pathlib import Path

import pytest

from attento.errors import DataError
from attento.inspection.probes.contrasts import Contrast, LeftOut, from_examples, read_contrasts, tokenize
from attento.synthetic import sentences
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import TokenizerPair

STARS, HEAVENS = "Les étoiles brillent.", "Les astres brillent."
BLOCK = {
    "src": ["The stars shine.", "They are far."],
    "trg": [
        {"correct": [STARS, "Elles sont loin."], "incorrect": [STARS, "Ils sont loin."]},
        {"semi-correct": [HEAVENS, "Ils sont loin."], "incorrect": [HEAVENS, "Elles sont loin."]},
    ],
}


def test_the_built_in_language_knows_what_stands_where() -> None:
    examples = list(islice(sentences(3), 200))
    found = from_examples(examples)
    contrastive = [each for each in examples if each.anaphora is not None and each.anaphora.is_contrastive]
    assert [each.source for each in found] == [each.english for each in contrastive]
    for each, example in zip(found, contrastive, strict=True):
        words, anaphora = each.words, example.anaphora
        assert words is not None and anaphora is not None
        assert each.source.split()[words.pronoun] in ("it", "they")
        assert (words.antecedent, words.adjective) == (anaphora.antecedent, anaphora.adjective)
        assert words.target_antecedent == {
            french for english, french in example.alignment if english == words.antecedent
        }
        assert each.wrong == anaphora.wrong_french != each.right == example.french


def test_words_are_found_among_the_tokens() -> None:
    contrasts = from_examples(islice(sentences(3), 120))
    lines = [text for each in contrasts for text in (each.source, each.right)]
    tokenizer = train_tokenizer(
        lines, model="bpe", vocab_size=300, byte_fallback=False, character_coverage=1.0, normalization="identity"
    )
    for each, contrast in zip(tokenize(contrasts, TokenizerPair(tokenizer, tokenizer)), contrasts, strict=True):
        words = contrast.words
        assert words is not None
        source, target = contrast.source.split(), contrast.right.split()
        for name in ("pronoun", "antecedent", "distractor", "adjective"):
            assert tokenizer.decode([each.source[i] for i in each.places[name]]) == source[getattr(words, name)]
        wanted = [target[i] for i in sorted(words.target_antecedent)]
        assert tokenizer.decode([each.right[i] for i in each.places["target antecedent"]]).split() == wanted
        assert each.right[: each.step] == tuple(each.wrong[: each.step])
        assert each.right[each.step] != each.wrong[each.step]
        # The first difference is in the pronoun's word.
        pronoun = len(tokenizer.decode(each.right[: each.step + 1]).split()) - 1
        assert target[pronoun].endswith(("il", "elle", "ils", "elles"))


def test_a_file_holds_pairs_of_sentences(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"1": BLOCK}), encoding="utf-8")
    assert read_contrasts(path) == [
        Contrast("The stars shine. They are far.", "Les étoiles brillent. Elles sont loin.",
                 "Les étoiles brillent. Ils sont loin."),
        Contrast("The stars shine. They are far.", "Les astres brillent. Ils sont loin.",
                 "Les astres brillent. Elles sont loin."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("left_out", "source", "before"),
    [
        ("source", "They are far.", "Les étoiles brillent. "),
        ("translation", "The stars shine. They are far.", ""),
        ("both", "They are far.", ""),
    ],
)
def test_the_sentence_before_is_left_out(left_out: LeftOut, source: str, before: str, tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"1": BLOCK | {"trg": BLOCK["trg"][:1]}}), encoding="utf-8")
    assert read_contrasts(path, left_out) == [Contrast(source, f"{before}Elles sont loin.", f"{before}Ils sont loin.")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a contrastive set"),
        ('{"1": {"src": ["a"]}}', "is not a contrastive set .*'trg'"),
        ('{"1": {"src": ["a"], "trg": [{"correct": ["b"]}]}}', "is not a contrastive set .*'incorrect'"),
        ('{"1": {"src": ["a"], "trg": [{"incorrect": ["b"]}]}}', "is not a contrastive set .*'semi-correct'"),
        ("{}", "holds no contrast"),
    ],
)
def test_what_is_no_contrastive_set(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"set\.json: {problem}"):
        read_contrasts(path)


def test_a_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: cannot be read: No such file"):
        read_contrasts(tmp_path / "nowhere.json")


@pytest.mark.shared_data
def test_the_set_of_bawden_and_others(shared_data: Path) -> None:
    found = read_contrasts(shared_data / "pronoun" / "anaphora.json")
    # Both orders of 50 blocks: four right translations each.
    assert len(found) == 200 and len({each.source for each in found}) == 50
    assert all(each.right != each.wrong for each in found)
