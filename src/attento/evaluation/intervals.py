"""How far a score would move on other sentences of the same kind: confidence intervals by bootstrap resampling.

Koehn 2004, "Statistical significance tests for machine translation evaluation". Knows no model and no file.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.chrf import CHRF

from attento.evaluation.metrics import bleu_metric, check_texts


def bootstrap_interval(
    metric_name: Literal["bleu", "chrf"],
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    seed: int,
    resamples: int = 1000,
    target_language: str | None = None,
    tokenize: str | None = None,
    lowercase: bool = False,
) -> tuple[float, float]:
    """Compute the 95% percentile interval of corpus BLEU or chrF.

    As many sentences as there are, are drawn with replacement and scored as a corpus, `resamples` times; the interval
    leaves out 2.5% of the scores at either end. It tells of the choice of sentences, not of the luck of training.

    Args:
        metric_name: which score.
        hypotheses: the translations, one string a sentence, detokenised.
        references: one reference a translation, in the same order.
        seed: draws the sentences.
        resamples: how many corpora are drawn.
        target_language: as in `corpus_bleu`; chrF needs none.
        tokenize: as in `corpus_bleu`; chrF needs none.
        lowercase: compare without regard to case.

    Raises:
        InputError: see `corpus_bleu`.
        MissingExtraError: see `corpus_bleu`.
    """
    check_texts(hypotheses, references)
    metric: Metric
    if metric_name == "bleu":
        metric = bleu_metric(tokenize, target_language, lowercase)
    else:
        metric = CHRF(lowercase=lowercase)
    # A corpus score is a function of counts summed over sentences: each sentence is counted once, not once a resample.
    counts = np.array(metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.int64)
    generator = np.random.default_rng(seed)
    scores = [
        metric._compute_score_from_stats(counts[generator.integers(len(counts), size=len(counts))].sum(axis=0)).score
        for _ in range(resamples)
    ]
    low, high = np.percentile(scores, (2.5, 97.5))
    return float(low), float(high)
