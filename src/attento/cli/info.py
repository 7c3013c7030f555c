"""`attento info`: what a preset or a trained model is made of."""

import difflib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attento.cli.console import say, show_json, show_table
from attento.cli.options import Json
from attento.errors import ConfigError

if TYPE_CHECKING:
    from attento.models.base import EncoderDecoder
    from attento.models.config import ModelConfig

# The shared vocabulary of the paper's English-German models (Vaswani et al. 2017, section 5.1).
PAPER_VOCAB_SIZE = 37_000


@dataclass(frozen=True)
class ParameterInfo:
    """One tensor of weights."""

    name: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class ModelInfo:
    """A model's make and the size of it, in all and by part."""

    name: str
    settings: dict[str, object]
    source_vocab_size: int
    target_vocab_size: int
    parameters: int
    parts: dict[str, int]
    layers: tuple[ParameterInfo, ...]


def info(
    what: Annotated[
        str | None,
        typer.Argument(metavar="PRESET|RUN", help="The name of a preset, or a run folder.", show_default=False),
    ] = None,
    list_presets: Annotated[bool, typer.Option("--list", help="Name the presets.")] = False,
    vocab_size: Annotated[
        int | None,
        typer.Option(
            "--vocab-size", min=5, help=f"For a preset: size of its shared vocabulary, {PAPER_VOCAB_SIZE} by default."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show layers, shapes and parameters of a preset or of a trained model."""
    if list_presets:
        _show_presets(as_json)
        return
    if what is None:
        raise typer.BadParameter("name a preset or a run folder, or use --list")
    if Path(what).is_dir():
        if vocab_size is not None:
            raise typer.BadParameter("--vocab-size is for presets; a run has its own vocabulary")
        described = _describe_run(Path(what))
    else:
        described = _describe_preset(what, vocab_size or PAPER_VOCAB_SIZE)
    if as_json:
        show_json(asdict(described))
    else:
        _show(described)


def _show_presets(as_json: bool) -> None:
    from attento.models.presets import PRESETS

    if as_json:
        show_json({name: preset.about for name, preset in PRESETS.items()})
    else:
        show_table(("preset", "what"), [(name, preset.about) for name, preset in PRESETS.items()])


def _describe_preset(name: str, vocab_size: int) -> ModelInfo:
    from attento.models.presets import PRESETS

    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        mend = f"did you mean `{near[0]}`?" if near else "`attento info --list` names the presets"
        raise ConfigError(f"{name}: is neither a run folder nor a preset; {mend}")
    return _describe(name, PRESETS[name].model, vocab_size, vocab_size)


def _describe_run(path: Path) -> ModelInfo:
    from attento.config import load_settings
    from attento.run_folder import RunFolder
    from attento.text.tokenizer import TokenizerPair
    from attento.training.config import RecipeConfig

    run = RunFolder(path).require()
    tokenizers = TokenizerPair.load(path)
    settings = load_settings(RecipeConfig, run.config)
    return _describe(str(path), settings.model, tokenizers.source.vocab_size, tokenizers.target.vocab_size)


def _describe(name: str, config: "ModelConfig", source_vocab_size: int, target_vocab_size: int) -> ModelInfo:
    import torch

    from attento.models.build import build_model

    # Shapes alone: no memory is taken, whatever the size.
    with torch.device("meta"):
        model = build_model(config, source_vocab_size, target_vocab_size)
    layers = tuple(ParameterInfo(name, tuple(p.shape), p.numel()) for name, p in model.named_parameters())
    return ModelInfo(
        name=name,
        settings=config.model_dump(mode="json"),
        source_vocab_size=source_vocab_size,
        target_vocab_size=target_vocab_size,
        parameters=sum(layer.parameters for layer in layers),
        parts=_parts(model),
        layers=layers,
    )


def _parts(model: "EncoderDecoder") -> dict[str, int]:
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return {name: size for name, size in sizes.items() if size}


def _show(described: ModelInfo) -> None:
    rows = [(each.name, " x ".join(map(str, each.shape)), f"{each.parameters:,}") for each in described.layers]
    show_table(("layer", "shape", "parameters"), rows, numbers=("shape", "parameters"))
    print()
    parts = [(name, f"{size:,}", f"{size / described.parameters:.1%}") for name, size in described.parts.items()]
    parts.append(("in all", f"{described.parameters:,}", "100.0%"))
    show_table(("part", "parameters", "share"), parts, numbers=("parameters", "share"))
    print()
    show_table(("setting", "value"), [(key, str(value)) for key, value in described.settings.items()])
    vocabulary = f"{described.source_vocab_size:,} source and {described.target_vocab_size:,} target pieces"
    say(f"{described.name}: {described.parameters:,} parameters, {vocabulary}")
