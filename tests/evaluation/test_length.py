import re

import pytest

from attento.errors import InputError
from attento.evaluation import corpus_bleu
from attento.evaluation.length import LengthBucket, bleu_by_length

SOURCES = [
    "one two three",
    "one two three four five six seven",
    "one  two\tthree four",
    "one two three four five",
    "",
    "one two three four five six seven eight nine",
]
REFERENCES = [
    "ein zwei drei vier",
    "zwei Hunde laufen schnell über die Wiese",
    "eine Frau liest ein Buch",
    "ein Mann sitzt auf der Bank",
    "nichts steht hier und da",
    "viele Kinder spielen am Strand mit einem roten Ball",
]
HYPOTHESES = [
    "ein zwei drei vier",
    "zwei Hunde rennen schnell über die Wiese",
    "eine Frau liest ein Heft",
    "der Mann sitzt auf der Bank",
    "nichts steht hier und dort",
    "viele Kinder spielen am Meer mit einem roten Ball",
]


def bleu_of(*rows: int) -> float:
    return corpus_bleu([HYPOTHESES[i] for i in rows], [REFERENCES[i] for i in rows]).value


def test_each_bucket_is_scored_as_a_corpus_of_its_own():
    buckets = bleu_by_length(SOURCES, HYPOTHESES, REFERENCES, (4, 7))

    assert [(b.shortest, b.longest, b.sentences) for b in buckets] == [(0, 4, 3), (5, 7, 2), (8, None, 1)]
    scores = [bucket.bleu.value for bucket in buckets if bucket.bleu is not None]
    assert scores == pytest.approx([bleu_of(0, 2, 4), bleu_of(1, 3), bleu_of(5)])
    assert len(set(scores)) == 3


def test_without_edges_there_is_one_bucket_with_the_score_of_all():
    (bucket,) = bleu_by_length(SOURCES, HYPOTHESES, REFERENCES, ())

    assert bucket == LengthBucket(0, None, 6, corpus_bleu(HYPOTHESES, REFERENCES))


def test_an_empty_bucket_has_no_score():
    buckets = bleu_by_length(SOURCES, HYPOTHESES, REFERENCES, (9, 20))

    assert [bucket.bleu is None for bucket in buckets] == [False, True, True]
    assert [bucket.text for bucket in buckets] == [
        f"0 to 9 words: BLEU = {bleu_of(*range(6)):.2f}, 6 sentences",
        "10 to 20 words: no sentence",
        "21 words or more: no sentence",
    ]


def test_a_mark_of_subwords_in_a_small_bucket_is_just_text():
    sources = ["a b c d e f", *["a b"] * 10]
    texts = ["Im Diff steht a@@ und b.", *["Ein Satz steht hier."] * 10]

    long = bleu_by_length(sources, texts, texts, (2,))[1]

    assert long.bleu is not None and long.bleu.value == pytest.approx(100)


def test_the_settings_of_the_score_are_passed_on():
    upper = [text.upper() for text in HYPOTHESES]

    (bucket,) = bleu_by_length(SOURCES, upper, REFERENCES, (), tokenize="char", lowercase=True)

    assert bucket.bleu == corpus_bleu(upper, REFERENCES, tokenize="char", lowercase=True)
    (chinese,) = bleu_by_length(["a"], ["我在公园"], ["我在公园"], (), target_language="zh")
    assert chinese.bleu is not None and "tok:zh" in chinese.bleu.signature


@pytest.mark.parametrize("edges", [(0, 5), (5, 5), (7, 3), (-1,)])
def test_edges_that_do_not_rise_are_refused(edges: tuple[int, ...]):
    with pytest.raises(InputError, match=rf"must rise.*{re.escape(str(list(edges)))}"):
        bleu_by_length(SOURCES, HYPOTHESES, REFERENCES, edges)


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="5 sources but 6 translations"):
        bleu_by_length(SOURCES[:5], HYPOTHESES, REFERENCES, (5,))
    with pytest.raises(InputError, match="6 translations but 5 references"):
        bleu_by_length(SOURCES, HYPOTHESES, REFERENCES[:5], (5,))
