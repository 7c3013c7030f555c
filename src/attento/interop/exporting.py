"""Ours walk out: a run is written in another format, read again by that format's own library, and compared.

What a format must do is `interop.export.base.Exporter`. Knows no argv.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, PositiveInt

from attento.data.pairs.prepared import PreparedCorpus
from attento.data.partial import partial_folder, put_file_in_place, put_in_place
from attento.data.stream.prepared import PreparedStream
from attento.decoding.config import SearchConfig
from attento.engines.language import LanguageEngine
from attento.engines.loading import PartOfSettings, open_run
from attento.engines.packed.panels import ComputeType
from attento.engines.task import Task, run_kind
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, DataError, ExportError, InputError, MissingExtraError
from attento.interop.export.base import Exporter, TrainedModel
from attento.interop.verify import Verification, verify
from attento.models.config import LanguageModelConfig, TranslationModelConfig
from attento.run_folder import RunFolder
from attento.text.tokenizer import TokenizerPair

Format: TypeAlias = Literal["huggingface", "ctranslate2", "onnx", "native"]
Tell: TypeAlias = Callable[[str, int, int | None], None]
"""Called with the stage, how much of it is done, and how much there is (None while unknown)."""

# What a language model's validation text is cut from: enough for the lines that are compared on.
_TOKENS = 20_000


def export_run(
    run: Path,
    format_name: Format,
    output: Path | None,
    sentences: Sequence[str] | None = None,
    tell: Tell | None = None,
    compute_type: ComputeType | None = None,
) -> Verification:
    """Write a run in another format; the folder appears only when what is in it was found to be the same model.

    Args:
        run: the run folder.
        format_name: the format.
        output: a new or empty folder; None, for the native format alone, puts its file into the run folder, in the
            place of an older one.
        sentences: real text to compare on; where None, the run's own validation text, if it is at hand.
        tell: called with each stage of the work.
        compute_type: the numbers of the native format's matrices; int8 if None. Other formats have none to choose.

    Raises:
        ConfigError: `compute_type` is given, or `output` left out, for a format that needs it otherwise; or the
            settings in the run folder are wrong.
        ExportError: the format cannot hold the run (every reason is told), or the exported model differs.
        InputError: there is something at `output`, or no sentence to compare on.
        RunFolderError: the run folder holds no finished model, or a damaged one.
        DataError: its tokenizer or prepared text is damaged, or the output cannot be written.
        MissingExtraError: a package that the format needs is not installed.
    """
    tell = tell or (lambda stage, done, total: None)
    _refuse_options(format_name, output, compute_type)
    if output is not None:
        _refuse_what_is_there(output)
    task = _exported_task(run)
    exporter = choose_exporter(format_name, task, compute_type or "int8")
    trained = load_trained(run, task)
    if problems := exporter.problems(trained):
        raise ExportError(f"{run}: cannot be exported as {format_name}:\n  " + "\n  ".join(problems))
    _require(exporter.packages)
    texts = _real(_validation_sentences(run, task, exporter.enough) if sentences is None else sentences)
    place = output or RunFolder(run).packed
    with partial_folder(place) as folder:
        tell("writing", 0, None)
        exporter.write(trained, folder)
        tell("verifying", 0, len(texts))
        exported = exporter.reread(folder)
        found = verify(trained, exported, texts, lambda done: tell("verifying", done, len(texts)), exporter.criterion)
        if found.problems:
            raise ExportError(
                f"{place}: the exported model is not the run's, and nothing of it is kept:\n  "
                + "\n  ".join(found.problems)
            )
        if output is None:
            put_file_in_place(RunFolder(folder).packed, place)
        else:
            put_in_place(folder, place)
    return found


def choose_exporter(format_name: Format, task: Task, compute_type: ComputeType = "int8") -> Exporter:
    """Return what writes runs for a task in a format; the numbers of its matrices are chosen for the native one."""
    match format_name:
        case "huggingface" if task == "translation":
            from attento.interop.export.huggingface_marian import MarianExporter

            return MarianExporter()
        case "huggingface":
            from attento.interop.export.huggingface_llama import LlamaExporter

            return LlamaExporter()
        case "ctranslate2":
            from attento.interop.export.ctranslate2 import CTranslate2Exporter

            return CTranslate2Exporter()
        case "onnx":
            from attento.interop.export.onnx import OnnxExporter

            return OnnxExporter()
        case "native":
            from attento.interop.export.native import NativeExporter

            return NativeExporter(compute_type)


def load_trained(run: Path, task: Task) -> TrainedModel:
    """Load the model of a run folder with all that an exporter asks of it.

    Raises:
        RunFolderError: the folder holds no finished model for the task, or its weights do not fit.
        ConfigError: its settings are wrong.
        DataError: its tokenizer is missing or damaged.
    """
    if task == "translation":
        _, translation = open_run(run, task, _TranslationSettings)
        model = TorchEngine.load(run, "cpu").model
        # An imported run may not know them.
        source, target = translation.data.source_language, translation.data.target_language
        return TrainedModel(
            path=run,
            task=task,
            config=translation.model,
            model=model.eval(),
            tokenizers=TokenizerPair.load(run),
            languages=(source, target) if source and target else None,
            search=translation.search,
            context=None,
        )
    _, language = open_run(run, task, _LanguageSettings)
    return TrainedModel(
        path=run,
        task=task,
        config=language.model,
        model=LanguageEngine.load(run, "cpu").model.eval(),
        tokenizers=TokenizerPair.load(run),
        languages=None,
        search=SearchConfig(),
        context=language.data.context,
    )


def _exported_task(run: Path) -> Task:
    kind = run_kind(run)
    if kind.task not in ("translation", "language_modeling"):
        raise ExportError(f"{run}: holds {kind.text}; only translation models and language models can be exported")
    return kind.task


def _refuse_options(format_name: Format, output: Path | None, compute_type: ComputeType | None) -> None:
    if format_name == "native":
        return
    if compute_type is not None:
        raise ConfigError(
            f"a compute type ({compute_type}) is for the format native, but the format is {format_name}; leave it out"
        )
    if output is None:
        raise ConfigError(f"the format {format_name} needs a folder to write to; name a new or empty one (--output)")


def _refuse_what_is_there(output: Path) -> None:
    if output.is_dir():
        if any(output.iterdir()):
            raise InputError(f"{output}: is not empty; name a new or empty folder")
    elif output.exists() or output.is_symlink():
        raise InputError(f"{output}: is a file; name a folder")


def _require(packages: Sequence[str]) -> None:
    for package in packages:
        try:
            there = find_spec(package) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            raise MissingExtraError(package, "interop")


def _real(sentences: Sequence[str]) -> list[str]:
    real = [sentence for sentence in sentences if sentence.strip()]
    if not real:
        raise InputError("there is no sentence to compare the exported model on: all lines are empty")
    return real


def _validation_sentences(run: Path, task: Task, count: int) -> list[str]:
    """Return the first sentences of the text that a run was validated with.

    Raises:
        InputError: it is not in the run folder.
    """
    prepared = RunFolder(run).prepared
    try:
        if task == "translation":
            lines = PreparedCorpus.open(prepared).validation_texts()[0]
        else:
            stream = PreparedStream.open(prepared)
            lines = stream.tokenizer.decode(stream.validation[:_TOKENS].tolist()).split("\n")
    except DataError as problem:
        raise InputError(
            f"{run}: the text that it was validated with, to compare the exported model on, is not at hand "
            f"({problem}); name a file of sentences, one a line, with --sentences"
        ) from problem
    return list(islice((line for line in lines if line.strip()), count))


class _Languages(PartOfSettings):
    source_language: str | None = None
    target_language: str | None = None


class _TranslationSettings(PartOfSettings):
    data: _Languages
    model: TranslationModelConfig = Field(discriminator="architecture")
    search: SearchConfig = SearchConfig()


class _Context(PartOfSettings):
    context: PositiveInt


class _LanguageSettings(PartOfSettings):
    data: _Context
    model: LanguageModelConfig = Field(discriminator="architecture")
