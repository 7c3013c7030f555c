import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from attento.errors import InputError, MissingExtraError
from attento.evaluation import corpus_bleu, corpus_chrf, evaluate_translations
from attento.evaluation.metrics import bleu_tokenizer

HYPOTHESES = [
    "Ein Hund läuft schnell über die grüne Wiese.",
    "Zwei Männer sitzen am Tisch und essen.",
    "Eine Frau liest ein Buch im Park, während es regnet.",
]
REFERENCES = [
    "Ein Hund rennt schnell über die grüne Wiese.",
    "Zwei Männer sitzen an einem Tisch und essen zu Mittag.",
    "Eine Frau liest im Park ein Buch, während es regnet.",
]


def words(text: str) -> list[str]:
    """What 13a makes of such plain sentences: words, with full stop and comma apart."""
    return text.replace(".", " .").replace(",", " ,").split()


def ngrams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu_by_formula(hypotheses: list[list[str]], references: list[list[str]]) -> float:
    """Papineni et al. 2002, section 2.3: brevity penalty times the geometric mean of clipped precisions."""
    log_precision = 0.0
    for n in (1, 2, 3, 4):
        pairs = [(ngrams(h, n), ngrams(r, n)) for h, r in zip(hypotheses, references, strict=True)]
        matched = sum((h & r).total() for h, r in pairs)
        log_precision += math.log(matched / sum(h.total() for h, _ in pairs)) / 4
    c, r = sum(map(len, hypotheses)), sum(map(len, references))
    return 100 * min(1.0, math.exp(1 - r / c)) * math.exp(log_precision)


def test_bleu_is_the_formula_of_the_paper():
    score = corpus_bleu(HYPOTHESES, REFERENCES)

    expected = bleu_by_formula([words(h) for h in HYPOTHESES], [words(r) for r in REFERENCES])
    assert score.value == pytest.approx(expected, abs=1e-9)
    assert 20 < score.value < 80


def test_bleu_of_tokenised_text_splits_at_spaces_only():
    hypotheses = ["the cat sat . on the mat", "a dog barked at the old man"]
    references = ["the cat sat . on a mat", "a dog barked at the young man"]

    score = corpus_bleu(hypotheses, references, tokenize="none")

    expected = bleu_by_formula([h.split() for h in hypotheses], [r.split() for r in references])
    assert score.value == pytest.approx(expected, abs=1e-9)
    assert "tok:none" in score.signature


def test_a_short_translation_pays_the_brevity_penalty():
    # Every n-gram matches; 5 words against 8: exp(1 - 8/5).
    score = corpus_bleu(["one two three four five"], ["one two three four five six seven eight"], tokenize="none")

    assert score.value == pytest.approx(100 * math.exp(1 - 8 / 5), abs=1e-9)


def test_chrf_is_the_formula_of_the_paper():
    # Popović 2015 with beta 2 and n up to 6, by hand on one pair of two-letter strings: only n = 1 and n = 2 exist.
    # "ab" against "ac": unigrams P = R = 1/2; bigrams 0. Averages over the two orders: P = R = 1/4, so F = 1/4.
    assert corpus_chrf(["ab"], ["ac"]).value == pytest.approx(25.0, abs=1e-9)


def test_scores_agree_with_the_sacrebleu_command(tmp_path: Path):
    hypothesis_file, reference_file = tmp_path / "hypotheses", tmp_path / "references"
    hypothesis_file.write_text("\n".join(HYPOTHESES) + "\n", encoding="utf-8")
    reference_file.write_text("\n".join(REFERENCES) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", str(reference_file), "-i", str(hypothesis_file), "-m", "bleu", "chrf"]
    output = subprocess.run([*command, "-w", "9"], check=True, capture_output=True, text=True).stdout
    theirs = {record["name"]: record for record in json.loads(output)}

    report = evaluate_translations(HYPOTHESES, REFERENCES)

    for ours in (report.bleu, report.chrf):
        record = theirs[ours.name]
        assert ours.value == pytest.approx(record["score"], abs=1e-8)
        assert ours.signature == record["signature"]


def test_case_counts_unless_told_otherwise():
    upper = [text.upper() for text in REFERENCES]

    assert corpus_bleu(upper, REFERENCES).value < 50
    assert corpus_chrf(upper, REFERENCES).value < 50
    assert corpus_bleu(upper, REFERENCES, lowercase=True).value == pytest.approx(100)
    assert corpus_chrf(upper, REFERENCES, lowercase=True).value == pytest.approx(100)


def test_the_tokenizer_follows_from_the_target_language():
    assert bleu_tokenizer("de") == "13a"
    assert bleu_tokenizer(None) == "13a"
    assert bleu_tokenizer("zh") == bleu_tokenizer("zh-Hans") == bleu_tokenizer("ZH_tw") == "zh"
    assert bleu_tokenizer("ja") == "ja-mecab"
    assert bleu_tokenizer("ko") == "ko-mecab"

    chinese = corpus_bleu(["我喜欢在公园里看书。"], ["我喜欢在公园里读书。"], target_language="zh")
    assert "tok:zh" in chinese.signature
    # Ten characters, one of them different: precisions 9/10, 7/9, 5/8, 4/7 (the n-grams that hold character 8 fail).
    assert chinese.value == pytest.approx(100 * (9 / 10 * 7 / 9 * 5 / 8 * 4 / 7) ** 0.25, abs=1e-9)


def test_a_missing_tokenizer_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)

    with pytest.raises(MissingExtraError, match=r"sacrebleu\[ja\].*attento\[ja\]"):
        corpus_bleu(["猫がいる。"], ["猫がいる。"], target_language="ja")


@pytest.mark.parametrize("tokenizer", ["13b", "flores200", "spm"])
def test_tokenizers_that_are_unknown_or_fetch_models_are_refused(tokenizer: str):
    with pytest.raises(InputError, match=f"no tokenizer `{tokenizer}`.*13a"):
        corpus_bleu(["a"], ["a"], tokenize=tokenizer)


def test_lists_of_different_lengths_and_empty_lists_are_refused():
    with pytest.raises(InputError, match="2 translations but 3 references"):
        corpus_bleu(HYPOTHESES[:2], REFERENCES)
    with pytest.raises(InputError, match="nothing to score"):
        corpus_chrf([], [])


@pytest.mark.parametrize(
    ("mark", "subwords"),
    [
        ("@@", "ein H@@ und r@@ ennt ."),
        ("▁", "▁ein ▁Hund ▁renn t ."),
        ("##", "ein Hu ##nd rennt ."),
        ("￭", "ein Hund rennt ￭."),
    ],
)
def test_text_in_subwords_is_refused(mark: str, subwords: str):
    plain = ["Ein Hund rennt."]

    with pytest.raises(InputError, match=f"translations are still in subwords: 1 of 1 hold the mark `{mark}`"):
        corpus_bleu([subwords], plain)
    with pytest.raises(InputError, match="references are still in subwords"):
        corpus_chrf(plain, [subwords])


def test_a_mark_here_and_there_is_just_text():
    texts = [f"Satz Nummer {i} steht hier." for i in range(10)] + ["Im Diff steht a@@ und ▁b und x ##y."]

    assert corpus_bleu(texts, texts).value == pytest.approx(100)


def test_the_report_reads_as_text_and_as_json():
    report = evaluate_translations(HYPOTHESES, REFERENCES, target_language="de")

    assert json.loads(report.to_json()) == {
        "bleu": {"name": "BLEU", "value": report.bleu.value, "signature": report.bleu.signature},
        "chrf": {"name": "chrF2", "value": report.chrf.value, "signature": report.chrf.signature},
        "sentences": 3,
    }
    bleu_line, chrf_line, count_line = report.text.splitlines()
    assert bleu_line == f"BLEU = {report.bleu.value:.2f} ({report.bleu.signature})"
    assert chrf_line.startswith("chrF2 = ") and "nc:6" in chrf_line
    assert count_line == "3 sentences"
    assert "tok:13a" in report.bleu.signature and "version:" in report.bleu.signature
