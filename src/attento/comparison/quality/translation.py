"""Translation: BLEU and chrF with their intervals, perplexity of the references, BLEU by length, sentences a second."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from attento.comparison.config import CostConfig, QualityConfig
from attento.comparison.quality.base import Examination, Quality, Subject
from attento.comparison.results import LengthScore, Quantity
from attento.data.pairs.config import DataConfig
from attento.data.pairs.corpora import Languages, read_pairs
from attento.engines.loading import evaluating
from attento.engines.torch import TorchEngine
from attento.evaluation.intervals import bootstrap_interval
from attento.evaluation.length import bleu_by_length
from attento.evaluation.metrics import Score, evaluate_translations
from attento.models.base import EncoderDecoder
from attento.training.tasks.translation import mean_loss
from attento.training.validation import perplexity
from attento.translator import Translator

_INTERVAL = "95% bootstrap interval over sentences (Koehn 2004)"


class TranslationExamination(Examination):
    """A test set of sentences and their right translations."""

    speed_name = "sentences_translated_per_second"

    def __init__(self, subject: Subject, batch_tokens: int) -> None:
        super().__init__(subject, batch_tokens)
        data = subject.config.data
        assert isinstance(data, DataConfig) and data.test is not None and isinstance(subject.model, EncoderDecoder)
        pairs = list(read_pairs(data.test, Languages(data.source_language, data.target_language), subject.data_root))
        self._sources, self._references = [source for source, _ in pairs], [target for _, target in pairs]
        self._model, self._language = subject.model, data.target_language
        engine = TorchEngine(subject.model, device=subject.device, max_batch_tokens=batch_tokens)
        self._translator = Translator(subject.corpus.tokenizers, engine, subject.config.search)

    def quality(self, config: QualityConfig, seed: int) -> Quality:
        """Score the system; it translates each line in one piece, by its own search.

        Raises:
            InputError: the test set cannot be scored.
        """
        found = [each.text for each in self._translator.translate(self._sources, split_sentences=False)]
        report = evaluate_translations(found, self._references, target_language=self._language)
        scores = {
            "bleu": self._with_interval("bleu", report.bleu, found, config, seed),
            "chrf": self._with_interval("chrf", report.chrf, found, config, seed),
            **self._perplexity(),
        }
        buckets = bleu_by_length(
            self._sources, found, self._references, config.length_edges, target_language=self._language
        )
        by_length = tuple(
            LengthScore(
                shortest=each.shortest,
                longest=each.longest,
                sentences=each.sentences,
                bleu=None if each.bleu is None else each.bleu.value,
            )
            for each in buckets
        )
        return Quality(scores, by_length)

    def work(self, config: CostConfig) -> tuple[Callable[[], object], int]:
        """Return the translation of the first sentences of the test set."""
        some = self._sources[: config.sentences]
        return lambda: self._translator.translate(some, split_sentences=False), len(some)

    def _with_interval(
        self, name: Literal["bleu", "chrf"], score: Score, found: list[str], config: QualityConfig, seed: int
    ) -> Quantity:
        low, high = bootstrap_interval(
            name, found, self._references, seed=seed, resamples=config.resamples, target_language=self._language
        )
        return Quantity(value=score.value, low=low, high=high, spread=_INTERVAL, note=score.signature)

    def _perplexity(self) -> dict[str, Quantity]:
        tokenizers, model = self.subject.corpus.tokenizers, self._model
        sides = zip(
            tokenizers.source.encode_batch(self._sources), tokenizers.target.encode_batch(self._references), strict=True
        )
        limits = model.max_source_length, model.max_target_length
        pairs = [
            (np.array(source, dtype=np.int32), np.array(target, dtype=np.int32))
            for source, target in sides
            # With the eos or bos that the model reads besides.
            if all(limit is None or len(ids) < limit for ids, limit in zip((source, target), limits, strict=True))
        ]
        if not pairs:
            return {}
        with evaluating(model):
            loss = mean_loss(model, pairs, self.subject.device, batch_tokens=self.batch_tokens)
        left_out = len(self._sources) - len(pairs)
        note = f"{left_out} pairs left out, longer than the model takes" if left_out else "a token, eos included"
        found = {"nats": loss, "perplexity": perplexity(loss)}
        # JSON has no infinity.
        return {name: Quantity(value=each, note=note) for name, each in found.items() if math.isfinite(each)}
