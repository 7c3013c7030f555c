"""BLEU by the length of the source: where a system forgets far words, long sentences score worse than short ones.

The figures of Bahdanau et al. 2015 (figure 2) and Luong et al. 2015 (figure 6). Knows no model and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from attento.errors import InputError
from attento.evaluation.metrics import Score, bleu_metric, check_texts, corpus_score


@dataclass(frozen=True)
class LengthBucket:
    """The translations whose sources have so many words."""

    shortest: int
    longest: int | None
    """None for the last bucket, which has no upper end."""
    sentences: int
    bleu: Score | None
    """None where the bucket is empty."""

    @property
    def text(self) -> str:
        """The bucket as one printable line."""
        words = f"{self.shortest} words or more" if self.longest is None else f"{self.shortest} to {self.longest} words"
        score = "no sentence" if self.bleu is None else f"BLEU = {self.bleu.value:.2f}, {self.sentences} sentences"
        return f"{words}: {score}"


def bleu_by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    edges: Sequence[int],
    *,
    target_language: str | None = None,
    tokenize: str | None = None,
    lowercase: bool = False,
) -> tuple[LengthBucket, ...]:
    """Compute the corpus BLEU of each bucket of sources; a source is as long as it has words between white space.

    Args:
        sources: what was translated, one string a sentence.
        hypotheses: the translations, detokenised.
        references: one reference a translation, in the same order.
        edges: the longest length of each bucket but the last, rising: (10, 20) gives 0 to 10, 11 to 20 and 21 or more.
        target_language: as in `corpus_bleu`.
        tokenize: as in `corpus_bleu`.
        lowercase: compare without regard to case.

    Raises:
        InputError: the edges do not rise from at least 1, the sources are not as many as the translations, or what
            `corpus_bleu` refuses.
        MissingExtraError: see `corpus_bleu`.
    """
    if any(high <= low for low, high in pairwise((0, *edges))):
        raise InputError(f"the edges of the buckets must rise, the first at least 1, but are {list(edges)}")
    check_texts(hypotheses, references)
    if len(sources) != len(hypotheses):
        raise InputError(
            f"there are {len(sources)} sources but {len(hypotheses)} translations; "
            "give one source for each translation, in the same order"
        )
    metric = bleu_metric(tokenize, target_language, lowercase)
    lengths = [len(source.split()) for source in sources]
    buckets = []
    for shortest, longest in zip((0, *(edge + 1 for edge in edges)), (*edges, None), strict=True):
        rows = [i for i, n in enumerate(lengths) if n >= shortest and (longest is None or n <= longest)]
        score = corpus_score(metric, [hypotheses[i] for i in rows], [references[i] for i in rows]) if rows else None
        buckets.append(LengthBucket(shortest, longest, len(rows), score))
    return tuple(buckets)
