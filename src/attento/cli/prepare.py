"""`attento prepare`: text in, a tokenizer and memory-mapped ids out, and for parallel text a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

import typer

from attento.cli.console import StageProgress, say
from attento.cli.options import DataRoot, Overrides
from attento.cores import available_cores
from attento.errors import ConfigError

if TYPE_CHECKING:
    from attento.data.denoising.config import DenoisingDataConfig
    from attento.data.labels.config import LabelDataConfig
    from attento.data.masked.config import MaskedDataConfig
    from attento.data.pairs.config import DataConfig
    from attento.data.stream.config import TextDataConfig

    AnyDataConfig: TypeAlias = DataConfig | TextDataConfig | LabelDataConfig | MaskedDataConfig | DenoisingDataConfig

VOCAB_SIZE = 8000
_OWN_FILES = "Your own files"

SourceLanguage = Annotated[
    str | None, typer.Option("--source-language", help="For example en.", rich_help_panel=_OWN_FILES)
]
TargetLanguage = Annotated[
    str | None, typer.Option("--target-language", help="For example de.", rich_help_panel=_OWN_FILES)
]
TrainSource = Annotated[
    Path | None,
    typer.Option("--train-source", help="Training text, a sentence a line.", rich_help_panel=_OWN_FILES),
]
TrainTarget = Annotated[
    Path | None, typer.Option("--train-target", help="Its translation, line by line.", rich_help_panel=_OWN_FILES)
]
ValidationSource = Annotated[
    Path | None, typer.Option("--validation-source", help="Text to judge training by.", rich_help_panel=_OWN_FILES)
]
ValidationTarget = Annotated[
    Path | None, typer.Option("--validation-target", help="Its translation.", rich_help_panel=_OWN_FILES)
]
VocabSize = Annotated[
    int | None,
    typer.Option(
        "--vocab-size",
        help=f"Pieces in the shared vocabulary, {VOCAB_SIZE} by default.",
        rich_help_panel=_OWN_FILES,
    ),
]


def prepare(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The prepared folder to make.", show_default=False)
    ],
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="RECIPE.yaml", help="A recipe; its `data` section is read.", show_default=False),
    ] = None,
    data: DataRoot = Path("data"),
    overrides: Overrides = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; one a core by default.", show_default=False)
    ] = None,
    source_language: SourceLanguage = None,
    target_language: TargetLanguage = None,
    train_source: TrainSource = None,
    train_target: TrainTarget = None,
    validation_source: ValidationSource = None,
    validation_target: ValidationTarget = None,
    vocab_size: VocabSize = None,
) -> None:
    """Tokenize and store text for training; parallel text is cleaned first, and reported on.

    Takes the corpora of a recipe, or your own parallel files (all six file and language flags together).
    """
    own = {
        "--source-language": source_language,
        "--target-language": target_language,
        "--train-source": train_source,
        "--train-target": train_target,
        "--validation-source": validation_source,
        "--validation-target": validation_target,
    }
    if recipe is not None and any(value is not None for value in own.values()):
        raise typer.BadParameter("give either a recipe or your own files, not both")
    if recipe is not None and vocab_size is not None:
        raise typer.BadParameter("with a recipe, use --set data.tokenizer.vocab_size=N instead of --vocab-size")
    if recipe is not None:
        config, root = _from_recipe(recipe, overrides or []), data
    else:
        config, root = _from_files(own, vocab_size or VOCAB_SIZE, overrides or []), Path.cwd()
    _run(config, root, output, workers or available_cores())


def _from_recipe(path: Path, overrides: list[str]) -> "AnyDataConfig":
    from attento.setting_trees import apply_overrides, read_yaml

    return _check(apply_overrides(read_yaml(path), _data_only(overrides)), origin=str(path))


def _from_files(own: dict[str, Any], vocab_size: int, overrides: list[str]) -> "AnyDataConfig":
    from attento.setting_trees import apply_overrides

    missing = [flag for flag, value in own.items() if value is None]
    if missing:
        raise ConfigError(f"name a recipe, or all of your own files: {', '.join(missing)} missing")
    # Absolute, so that the paths mean the same from any folder.
    paths = {flag: str(value.absolute()) for flag, value in own.items() if isinstance(value, Path)}
    data = {
        "source_language": own["--source-language"],
        "target_language": own["--target-language"],
        "train": [{"source": paths["--train-source"], "target": paths["--train-target"]}],
        "validation": {"source": paths["--validation-source"], "target": paths["--validation-target"]},
        "tokenizer": {"vocab_size": vocab_size},
    }
    return _check(apply_overrides({"data": data}, _data_only(overrides)), origin="prepare")


def _data_only(overrides: list[str]) -> list[str]:
    for override in overrides:
        if not override.startswith("data."):
            raise ConfigError(f"--set {override}: only `data` settings matter here, as in data.tokenizer.model=unigram")
    return overrides


def _check(tree: dict[str, Any], origin: str) -> "AnyDataConfig":
    from pydantic import Field

    from attento.config import Settings, check_settings
    from attento.data.denoising.config import DenoisingDataConfig
    from attento.data.labels.config import LabelDataConfig
    from attento.data.masked.config import MaskedDataConfig
    from attento.data.pairs.config import DataConfig
    from attento.data.stream.config import TextDataConfig

    class DataSection(Settings, extra="ignore"):
        # The rest of a recipe is for training to check.
        data: DataConfig | TextDataConfig | LabelDataConfig | MaskedDataConfig | DenoisingDataConfig = Field(
            discriminator="task"
        )

    data = tree.get("data")
    if isinstance(data, dict):
        tree = tree | {"data": {"task": "translation"} | data}
    return check_settings(DataSection, tree, origin=origin).data


def _run(config: "AnyDataConfig", root: Path, output: Path, workers: int) -> None:
    with StageProgress() as progress:
        prepared = _prepare(config, root, output, workers, progress)
    if prepared.report is not None:
        print(prepared.report.read_text(encoding="utf-8"))
    for warning in prepared.warnings:
        say(f"warning: {warning}")
    say(f"prepared: {output} ({prepared.size})")


class _Prepared(NamedTuple):
    size: str
    warnings: tuple[str, ...]
    report: Path | None = None


def _prepare(config: "AnyDataConfig", root: Path, output: Path, workers: int, progress: StageProgress) -> _Prepared:
    match config.task:
        case "translation":
            from attento.data.pairs.prepare import prepare as prepare_pairs
            from attento.data.pairs.prepared import REPORT_FILE

            pairs = prepare_pairs(config, root, output, workers=workers, progress=progress)
            size = f"{len(pairs.train):,} training and {len(pairs.validation):,} validation pairs"
            return _Prepared(size, pairs.warnings, output / REPORT_FILE)
        case "language_modeling" | "masked_language_modeling" | "denoising":
            from attento.data.stream.prepare import prepare_stream

            stream = prepare_stream(config, root, output, progress=progress)
            # Before the first token stands bos.
            train, validation = len(stream.train) - 1, len(stream.validation) - 1
            return _Prepared(f"{train:,} training and {validation:,} validation tokens", stream.warnings)
        case "classification":
            from attento.data.labels.prepare import prepare_labels

            labels = prepare_labels(config, root, output, progress=progress)
            size = f"{len(labels.train):,} training and {len(labels.validation):,} validation examples"
            return _Prepared(size, labels.warnings)
