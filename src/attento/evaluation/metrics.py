"""BLEU and chrF of raw translations against raw references, computed by sacreBLEU.

Every score carries sacreBLEU's signature: two BLEU scores are comparable only where their signatures agree. Knows no
model and no file.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from attento.errors import InputError, MissingExtraError
from attento.setting_trees import suggest

# sacreBLEU has more, but they fetch a model from the network when first used.
BLEU_TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")
_LANGUAGE_TOKENIZERS = {"zh": "zh", "yue": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_TOKENIZER_EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}

_SUBWORD_MARKS = {
    "@@": re.compile(r"\w@@(?= |$)"),
    "▁": re.compile(r"(?:^|\s)▁\w"),
    "##": re.compile(r"\S ##\w"),
    "￭": re.compile("￭"),
}
# Real text may hold such a mark here and there; text left in subwords holds one in nearly every line.
_SUBWORD_SHARE = 0.2


@dataclass(frozen=True)
class Score:
    """One corpus score, from 0 to 100, with the signature that says how it was computed."""

    name: str
    value: float
    signature: str

    @property
    def text(self) -> str:
        """The score as one printable line."""
        return f"{self.name} = {self.value:.2f} ({self.signature})"


@dataclass(frozen=True)
class EvaluationReport:
    """The scores of a set of translations."""

    bleu: Score
    chrf: Score
    sentences: int

    @property
    def text(self) -> str:
        """The report as printable lines."""
        return f"{self.bleu.text}\n{self.chrf.text}\n{self.sentences} sentences"

    def to_json(self) -> str:
        """Return the report as a JSON object, values unrounded."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)


def evaluate_translations(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    target_language: str | None = None,
    tokenize: str | None = None,
    lowercase: bool = False,
) -> EvaluationReport:
    """Score translations with BLEU and chrF.

    Args:
        hypotheses: the translations, one string a sentence, detokenised.
        references: one reference a translation, in the same order.
        target_language: chooses BLEU's tokenizer where `tokenize` is not given.
        tokenize: BLEU's tokenizer, one of `BLEU_TOKENIZERS`; "none" for text that is tokenised already.
        lowercase: compare without regard to case.

    Raises:
        InputError: see `corpus_bleu`.
        MissingExtraError: see `corpus_bleu`.
    """
    return EvaluationReport(
        bleu=corpus_bleu(
            hypotheses, references, tokenize=tokenize, target_language=target_language, lowercase=lowercase
        ),
        chrf=corpus_chrf(hypotheses, references, lowercase=lowercase),
        sentences=len(hypotheses),
    )


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    tokenize: str | None = None,
    target_language: str | None = None,
    lowercase: bool = False,
) -> Score:
    """Compute corpus BLEU.

    Papineni et al. 2002, section 2.3, up to 4-grams, with the exponential smoothing and the signature of Post 2018.
    Without `tokenize`, the tokenizer follows from `target_language`: zh, ja-mecab and ko-mecab for Chinese, Japanese
    and Korean, 13a for every other language.

    Raises:
        InputError: the two lists differ in length or are empty, the text is still in subwords, or the tokenizer is
            unknown.
        MissingExtraError: the tokenizer needs a package that is not installed.
    """
    check_texts(hypotheses, references)
    return corpus_score(bleu_metric(tokenize, target_language, lowercase), hypotheses, references)


def corpus_chrf(hypotheses: Sequence[str], references: Sequence[str], *, lowercase: bool = False) -> Score:
    """Compute corpus chrF: character n-gram F-score, beta 2, up to 6-grams (Popović 2015).

    Raises:
        InputError: the two lists differ in length or are empty, or the text is still in subwords.
    """
    check_texts(hypotheses, references)
    return corpus_score(CHRF(lowercase=lowercase), hypotheses, references)


def bleu_metric(tokenize: str | None, target_language: str | None, lowercase: bool) -> BLEU:
    """Return sacreBLEU's BLEU with the tokenizer that was asked for, or that follows from the target language.

    Raises:
        InputError: the tokenizer is unknown.
        MissingExtraError: the tokenizer needs a package that is not installed.
    """
    tokenizer = tokenize or bleu_tokenizer(target_language)
    if tokenizer not in BLEU_TOKENIZERS:
        raise InputError(f"BLEU has no tokenizer `{tokenizer}`{suggest(tokenizer, BLEU_TOKENIZERS)}")
    try:
        # Forced, sacreBLEU does not warn of tokenised text: right where the caller has said that it is.
        return BLEU(tokenize=tokenizer, lowercase=lowercase, force=tokenizer == "none")
    except RuntimeError as problem:
        if tokenizer not in _TOKENIZER_EXTRAS:
            raise
        extra = _TOKENIZER_EXTRAS[tokenizer]
        raise MissingExtraError(f"sacrebleu[{extra}]", extra) from problem


def bleu_tokenizer(target_language: str | None) -> str:
    """Return the name of BLEU's tokenizer for a language code such as "de", "zh" or "zh-Hans" (13a where unknown)."""
    primary = re.split("[-_]", target_language or "")[0].lower()
    return _LANGUAGE_TOKENIZERS.get(primary, "13a")


def corpus_score(metric: Metric, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Score checked texts with one of sacreBLEU's metrics."""
    result = metric.corpus_score(hypotheses, [references])
    return Score(name=result.name, value=float(result.score), signature=metric.get_signature().format())


def check_texts(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Refuse what cannot be scored.

    Raises:
        InputError: the two lists differ in length or are empty, or the text is still in subwords.
    """
    if len(hypotheses) != len(references):
        raise InputError(
            f"there are {len(hypotheses)} translations but {len(references)} references; "
            "give one reference for each translation, in the same order"
        )
    if not hypotheses:
        raise InputError("there is nothing to score: no translations and no references")
    for what, texts in (("translations", hypotheses), ("references", references)):
        for mark, pattern in _SUBWORD_MARKS.items():
            marked = sum(1 for text in texts if pattern.search(text))
            if marked >= _SUBWORD_SHARE * len(texts):
                raise InputError(
                    f"the {what} are still in subwords: {marked} of {len(texts)} hold the mark `{mark}`; "
                    "join the subwords to words first"
                )
