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
    from torch import Tensor, nn

    from attento.config import Settings

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
    sizes: dict[str, int]
    parameters: int
    parts: dict[str, int]
    layers: tuple[ParameterInfo, ...]

    def to_json(self) -> dict[str, object]:
        """Return the same as plain values, each size by its name."""
        return {name: value for name, value in asdict(self).items() if name != "sizes"} | self.sizes


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
        show_json(described.to_json())
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
    import torch

    from attento.models.build import build_translation_model

    config = PRESETS[name].model
    # Shapes alone: no memory is taken, whatever the size.
    with torch.device("meta"):
        model = build_translation_model(config, vocab_size, vocab_size)
    return _describe(name, config, model, {"source_vocab_size": vocab_size, "target_vocab_size": vocab_size})


def _describe_run(path: Path) -> ModelInfo:
    import torch

    from attento.config import load_settings
    from attento.engines.classification import read_labels
    from attento.engines.loading import load_weights
    from attento.models.build import build_classifier, build_language_model, build_translation_model
    from attento.models.config import ClassifierModelConfig, LanguageModelConfig
    from attento.run_folder import RunFolder
    from attento.text.tokenizer import TokenizerPair
    from attento.training.config import RecipeConfig

    run = RunFolder(path).require()
    tokenizers = TokenizerPair.load(path)
    source, target = tokenizers.source.vocab_size, tokenizers.target.vocab_size
    config = load_settings(RecipeConfig, run.config).model
    model: nn.Module
    with torch.device("meta"):
        if isinstance(config, LanguageModelConfig):
            model, sizes = build_language_model(config, source), {"vocab_size": source}
        elif isinstance(config, ClassifierModelConfig):
            sizes = {"vocab_size": source, "num_classes": len(read_labels(run))}
            model = build_classifier(config, source, sizes["num_classes"])
        else:
            sizes = {"source_vocab_size": source, "target_vocab_size": target}
            model = build_translation_model(config, source, target)
    if not list(model.parameters()):
        # It is made of tables, and how long they are is known to the file alone.
        load_weights(model.to_empty(device="cpu"), run.weights)
    return _describe(str(path), config, model, sizes)


def _describe(name: str, config: "Settings", model: "nn.Module", sizes: dict[str, int]) -> ModelInfo:
    tensors: list[tuple[str, Tensor]] = [*model.named_parameters()] or [*model.named_buffers()]
    layers = tuple(ParameterInfo(name, tuple(tensor.shape), tensor.numel()) for name, tensor in tensors)
    parts: dict[str, int] = {}
    for layer in layers:
        part = layer.name.partition(".")[0]
        parts[part] = parts.get(part, 0) + layer.parameters
    return ModelInfo(
        name=name,
        settings=config.model_dump(mode="json"),
        sizes=sizes,
        parameters=sum(layer.parameters for layer in layers),
        parts=parts,
        layers=layers,
    )


def _show(described: ModelInfo) -> None:
    rows = [(each.name, " x ".join(map(str, each.shape)), f"{each.parameters:,}") for each in described.layers]
    show_table(("layer", "shape", "parameters"), rows, numbers=("shape", "parameters"))
    print()
    parts = [(name, f"{size:,}", f"{size / described.parameters:.1%}") for name, size in described.parts.items()]
    parts.append(("in all", f"{described.parameters:,}", "100.0%"))
    show_table(("part", "parameters", "share"), parts, numbers=("parameters", "share"))
    print()
    show_table(("setting", "value"), [(key, str(value)) for key, value in described.settings.items()])
    sizes = ", ".join(f"{name} {size:,}" for name, size in described.sizes.items())
    say(f"{described.name}: {described.parameters:,} parameters, {sizes}")
