"""Classification: accuracy on the test examples with its interval, examples labelled a second."""

from collections.abc import Callable

from attento.comparison.config import CostConfig, QualityConfig
from attento.comparison.quality.base import Examination, Quality, Subject
from attento.comparison.results import Quantity
from attento.data.labels.config import LabelDataConfig
from attento.data.labels.corpora import read_labelled
from attento.engines.classification import ClassificationEngine
from attento.evaluation.classification import evaluate_labels
from attento.models.base import Classifier


class ClassificationExamination(Examination):
    """Labelled examples."""

    speed_name = "examples_labelled_per_second"

    def __init__(self, subject: Subject, batch_tokens: int) -> None:
        super().__init__(subject, batch_tokens)
        data, corpus = subject.config.data, subject.corpus
        assert isinstance(data, LabelDataConfig) and data.test is not None and isinstance(subject.model, Classifier)
        examples = read_labelled(subject.data_root / data.test.file, data.test)
        self._sentences, self._labels = [each.sentences for each in examples], [each.label for each in examples]
        self._engine = ClassificationEngine(
            subject.model, corpus.tokenizer, corpus.labels, device=subject.device, max_batch_tokens=batch_tokens
        )

    def quality(self, config: QualityConfig, seed: int) -> Quality:
        """Score the system.

        Raises:
            InputError: an example is longer than the model takes.
        """
        report = evaluate_labels([each.name for each in self._engine.classify(self._sentences)], self._labels)
        low, high = report.interval
        interval, note = "95% interval (Wilson 1927)", f"{report.examples:,} examples"
        return Quality({"accuracy": Quantity(value=report.accuracy, low=low, high=high, spread=interval, note=note)})

    def work(self, config: CostConfig) -> tuple[Callable[[], object], int]:
        """Return the labelling of all test examples."""
        return lambda: self._engine.classify(self._sentences), len(self._sentences)
