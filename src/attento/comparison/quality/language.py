"""Language modelling: nats, perplexity and bits a character of the test text, tokens read a second."""

import math
from collections.abc import Callable

from attento.comparison.config import CostConfig, QualityConfig
from attento.comparison.quality.base import Examination, Quality, Subject
from attento.comparison.results import Quantity
from attento.data.stream.config import TextDataConfig
from attento.data.stream.prepare import read_text
from attento.engines.language import LanguageEngine
from attento.evaluation.language import LanguageReport
from attento.models.base import LanguageModel


class LanguageExamination(Examination):
    """A test text, read in windows of `data.context` tokens that begin afresh."""

    speed_name = "tokens_read_per_second"

    def __init__(self, subject: Subject, batch_tokens: int) -> None:
        super().__init__(subject, batch_tokens)
        data = subject.config.data
        assert isinstance(data, TextDataConfig) and data.test is not None and isinstance(subject.model, LanguageModel)
        self._text = read_text(data.test, subject.data_root)
        self._engine = LanguageEngine(
            subject.model,
            subject.corpus.tokenizer,
            context=data.context,
            device=subject.device,
            max_batch_tokens=batch_tokens,
        )

    def quality(self, config: QualityConfig, seed: int) -> Quality:
        """Score the system; one text has no bootstrap over sentences, and so no interval.

        Raises:
            InputError: the model gives some token no probability.
        """
        score = self._engine.score(self._text)
        report = LanguageReport(score.total_nats, score.tokens, len(self._text), len(self._text.encode("utf-8")))
        note = f"{score.tokens:,} tokens in windows of {self._engine.context}, {score.unknown:,} of them unknown"
        found = {
            "nats": report.nats_per_token,
            "perplexity": report.perplexity,
            "bits_per_character": report.bits_per_character,
        }
        # JSON has no infinity.
        return Quality({name: Quantity(value=each, note=note) for name, each in found.items() if math.isfinite(each)})

    def work(self, config: CostConfig) -> tuple[Callable[[], object], int]:
        """Return the reading of the whole test text, the probability of each token computed."""
        return lambda: self._engine.score(self._text), self._engine.score(self._text).tokens
