"""Bootstrap intervals against corpora that are drawn as texts and scored anew."""

from typing import Literal

import numpy as np
import pytest

from attento.errors import InputError
from attento.evaluation import corpus_bleu, corpus_chrf
from attento.evaluation.intervals import bootstrap_interval

MetricName = Literal["bleu", "chrf"]
METRICS: list[MetricName] = ["bleu", "chrf"]
WORDS = "a man with the red hat plays guitar on stage while two dogs run over green grass near some water".split()


def draw_corpus(sentences: int, seed: int = 3) -> tuple[list[str], list[str]]:
    """Draw references, and translations of which each has some words wrong."""
    generator = np.random.default_rng(seed)
    references, hypotheses = [], []
    for _ in range(sentences):
        words = list(generator.choice(WORDS, size=generator.integers(5, 14)))
        references.append(" ".join(words))
        wrong = generator.random(len(words)) < generator.choice([0.0, 0.2, 0.6])
        hypotheses.append(" ".join(np.where(wrong, generator.choice(WORDS, size=len(words)), words)))
    return hypotheses, references


def score(metric: MetricName, hypotheses: list[str], references: list[str]) -> float:
    return (corpus_bleu if metric == "bleu" else corpus_chrf)(hypotheses, references).value


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_is_that_of_corpora_drawn_as_texts(metric: MetricName):
    hypotheses, references = draw_corpus(11)
    generator = np.random.default_rng(7)
    scores = []
    for _ in range(200):
        rows = generator.integers(11, size=11)
        scores.append(score(metric, [hypotheses[i] for i in rows], [references[i] for i in rows]))
    scores.sort()

    low, high = bootstrap_interval(metric, hypotheses, references, seed=7, resamples=200)

    # 2.5% of 200 are 5 scores: the ends lie between the 5th and 6th from either side.
    assert scores[4] <= low <= scores[5] < scores[-6] <= high <= scores[-5]


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_holds_the_score_and_narrows_with_more_sentences(metric: MetricName):
    few, many = draw_corpus(60), draw_corpus(540)

    few_low, few_high = bootstrap_interval(metric, *few, seed=0)
    many_low, many_high = bootstrap_interval(metric, *many, seed=0)

    assert few_low < score(metric, *few) < few_high
    assert many_low < score(metric, *many) < many_high
    # Nine times the sentences: about a third of the width.
    assert 2 < (few_high - few_low) / (many_high - many_low) < 4.5


def test_the_seed_alone_decides_the_draw():
    corpus = draw_corpus(37)

    first = bootstrap_interval("bleu", *corpus, seed=1)

    assert bootstrap_interval("bleu", *corpus, seed=1) == first
    other = bootstrap_interval("bleu", *corpus, seed=2)
    assert other != first
    assert other == pytest.approx(first, rel=0.1)


@pytest.mark.parametrize("metric", METRICS)
def test_case_and_translations_that_match_in_full_leave_no_doubt(metric: MetricName):
    _, references = draw_corpus(5)
    upper = [text.upper() for text in references]

    assert bootstrap_interval(metric, upper, references, seed=0, resamples=50, lowercase=True) == (
        pytest.approx(100),
        pytest.approx(100),
    )
    assert bootstrap_interval(metric, upper, references, seed=0, resamples=50)[1] < 50


def test_the_tokenizer_is_that_of_the_score():
    hypotheses, references = ["我喜欢在公园里看书。"], ["我喜欢在公园里读书。"]
    expected = corpus_bleu(hypotheses, references, target_language="zh").value

    # One sentence: every corpus drawn is the same.
    interval = bootstrap_interval("bleu", hypotheses, references, seed=0, resamples=5, target_language="zh")
    assert interval == (pytest.approx(expected), pytest.approx(expected))
    assert bootstrap_interval("bleu", hypotheses, references, seed=0, resamples=5, tokenize="13a")[0] < expected / 2


@pytest.mark.parametrize("metric", METRICS)
def test_what_cannot_be_scored_is_refused(metric: MetricName):
    with pytest.raises(InputError, match="1 translations but 2 references"):
        bootstrap_interval(metric, ["a"], ["a", "b"], seed=0)
    with pytest.raises(InputError, match="nothing to score"):
        bootstrap_interval(metric, [], [], seed=0)
    with pytest.raises(InputError, match="no tokenizer `13b`"):
        bootstrap_interval("bleu", ["a"], ["a"], seed=0, tokenize="13b")
