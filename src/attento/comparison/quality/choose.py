"""From a system to its examination: one `match`."""

from attento.comparison.quality.base import Examination
from attento.comparison.quality.classification import ClassificationExamination
from attento.comparison.quality.language import LanguageExamination
from attento.comparison.quality.translation import TranslationExamination
from attento.comparison.results import Task


def examination_of(task: Task) -> type[Examination]:
    """Return the examination of a kind of work."""
    match task:
        case "translation":
            return TranslationExamination
        case "language_modeling":
            return LanguageExamination
        case "classification":
            return ClassificationExamination
