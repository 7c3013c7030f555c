"""What `attento evaluate` does for each task: read the test set, let the model work, score."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from attento.cli.console import say
from attento.cli.files import open_output, read_text, refuse_overwriting
from attento.cli.options import change_search, load_translator
from attento.config import Settings, check_settings
from attento.data.labels.config import LabelDataConfig, LabelledCorpusConfig
from attento.data.stream.config import TextCorpusConfig
from attento.engines.choose import EngineName
from attento.errors import InputError
from attento.evaluation.classification import ClassificationReport, evaluate_labels
from attento.evaluation.language import LanguageReport
from attento.evaluation.metrics import EvaluationReport, corpus_bleu, evaluate_translations
from attento.evaluation.telling import TellingReport
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml

Report: TypeAlias = EvaluationReport | LanguageReport | ClassificationReport | TellingReport


@dataclass(frozen=True)
class TranslationOptions:
    """How to translate a test set and how to compare; None is the run's own way."""

    tokenize: str | None
    lowercase: bool
    split_sentences: bool
    search: Mapping[str, float | None]
    engine: EngineName


def score_translations(
    run: Path, source: Path, reference: Path, options: TranslationOptions, *, device: str | None, output: Path | None
) -> EvaluationReport:
    """Translate a test set and compare it with its reference.

    Raises:
        InputError: the files do not belong together or are empty, or BLEU cannot be computed as asked for.
    """
    refuse_overwriting(output, source, reference)
    sources, references = _read_test_set(source, reference)
    translator = load_translator(run, device, options.engine)
    search = change_search(translator.search, **options.search)
    language, tokenize, lowercase = translator.target_language, options.tokenize, options.lowercase
    # What is wrong with the references or the tokenizer shall show before the long work, not after.
    corpus_bleu([""] * len(references), references, target_language=language, tokenize=tokenize, lowercase=lowercase)
    with nullcontext() if output is None else open_output(output) as file:
        translations = translator.translate(sources, search=search, split_sentences=options.split_sentences)
        hypotheses = [translation.text for translation in translations]
        if file is not None:
            file.writelines(hypothesis + "\n" for hypothesis in hypotheses)
    return evaluate_translations(
        hypotheses, references, target_language=language, tokenize=tokenize, lowercase=lowercase
    )


def score_text(run: Path, text: Path, *, start: float | None, stop: float | None, device: str | None) -> LanguageReport:
    """Let a language model foretell a text, or the part of it between two shares of its characters.

    Raises:
        ConfigError: the shares do not name a part.
        DataError: the text cannot be read, or the part is empty.
    """
    from attento.engines.language import LanguageEngine

    content = _read_part(text, start, stop)
    score = LanguageEngine.load(run, device).score(content)
    _tell_unknown(score.unknown, score.tokens)
    return LanguageReport(score.total_nats, score.tokens, len(content), len(content.encode("utf-8")))


def score_hidden(
    run: Path, text: Path, *, start: float | None, stop: float | None, device: str | None
) -> TellingReport:
    """Let a masked language model tell tokens that are hidden in a text, or in a part of it.

    Raises:
        ConfigError: the shares do not name a part.
        DataError: the text cannot be read, or the part is empty.
    """
    from attento.engines.masked import MaskedEngine

    content = _read_part(text, start, stop)
    score = MaskedEngine.load(run, device).score(content)
    _tell_unknown(score.unknown, score.tokens)
    return TellingReport(score.total_nats, score.tokens, score.right)


def score_spans(run: Path, text: Path, *, start: float | None, stop: float | None, device: str | None) -> TellingReport:
    """Let a denoising model write the spans that are cut out of a text, or of a part of it.

    Raises:
        ConfigError: the shares do not name a part.
        DataError: the text cannot be read, or the part is empty.
    """
    from attento.engines.denoising import DenoisingEngine

    content = _read_part(text, start, stop)
    score = DenoisingEngine.load(run, device).score(content)
    _tell_unknown(score.unknown, score.tokens)
    return TellingReport(score.total_nats, score.tokens, score.right)


def score_labels(run: Path, labelled: Path, *, device: str | None, output: Path | None) -> ClassificationReport:
    """Let a sentence model label a test set and compare with the right labels.

    Raises:
        DataError: the file cannot be read in the form of the run's own files.
    """
    refuse_overwriting(output, labelled)
    from attento.data.labels.corpora import read_labelled
    from attento.engines.classification import ClassificationEngine

    examples = read_labelled(labelled, _form_of_labelled(run))
    engine = ClassificationEngine.load(run, device)
    with nullcontext() if output is None else open_output(output) as file:
        found = [label.name for label in engine.classify([example.sentences for example in examples])]
        if file is not None:
            file.writelines(name + "\n" for name in found)
    return evaluate_labels(found, [example.label for example in examples])


def _tell_unknown(unknown: int, tokens: int) -> None:
    if unknown:
        say(
            f"note: {unknown:,} of {tokens:,} tokens are not in the vocabulary and count as <unk>, "
            "which is easier to foretell than what stands there"
        )


def _read_part(text: Path, start: float | None, stop: float | None) -> str:
    shares = {name: share for name, share in (("start", start), ("stop", stop)) if share is not None}
    part = check_settings(TextCorpusConfig, {"text": str(text), **shares}, origin="evaluate")
    from attento.data.stream.prepare import read_text as read_part

    return read_part(part, Path())


def _read_test_set(source: Path, reference: Path) -> tuple[Sequence[str], Sequence[str]]:
    sources, references = list(read_text(source)), list(read_text(reference))
    if len(sources) != len(references):
        raise InputError(
            f"{source} has {len(sources)} lines and {reference} has {len(references)}: a source and its reference must "
            r'have the same number (lines end at "\n" alone)'
        )
    if not sources:
        raise InputError(f"{source}: is empty; there is nothing to score")
    return sources, references


class _LabelRun(Settings, extra="ignore"):
    # The rest of a run's settings is others' to check.
    data: LabelDataConfig


def _form_of_labelled(run: Path) -> LabelledCorpusConfig:
    """Return the settings of the file of a run that a test set most likely looks like."""
    config = RunFolder(run).config
    data = check_settings(_LabelRun, read_yaml(config), origin=str(config)).data
    return data.test or data.validation or data.train[0]
