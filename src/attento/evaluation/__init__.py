"""How good a translation is: scores against references, each with the signature that makes it comparable."""

from attento.evaluation.metrics import EvaluationReport, Score, corpus_bleu, corpus_chrf, evaluate_translations

__all__ = ["EvaluationReport", "Score", "corpus_bleu", "corpus_chrf", "evaluate_translations"]
