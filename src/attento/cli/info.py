"""`attento info`: what a preset or a trained model is made of."""

import difflib
from collections.abc import Iterator
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
    from attento.engines.choose import EngineChoice
    from attento.models.anatomy import Part
    from attento.models.config import ModelConfig


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
    roles: dict[str, int]
    layers: tuple[ParameterInfo, ...]
    tree: "Part"
    engine: "EngineChoice | None"

    def to_json(self) -> dict[str, object]:
        """Return the same as plain values, each size by its name."""
        engine = {} if self.engine is None else {"engine": {"name": self.engine.engine, "why": self.engine.why}}
        left_out = ("sizes", "tree", "engine")
        return {name: value for name, value in asdict(self).items() if name not in left_out} | engine | self.sizes


def info(
    what: Annotated[
        str | None,
        typer.Argument(metavar="PRESET|RUN", help="The name of a preset, or a run folder.", show_default=False),
    ] = None,
    list_presets: Annotated[bool, typer.Option("--list", help="Name the presets.")] = False,
    vocab_size: Annotated[
        int | None,
        typer.Option(
            "--vocab-size", min=5, help="For a preset: size of its shared vocabulary; that of its authors by default."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show layers, shapes and parameters of a preset or of a trained model, and what would compute it."""
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
        described = _describe_preset(what, vocab_size)
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


def _describe_preset(name: str, vocab_size: int | None) -> ModelInfo:
    from attento.models.presets import PRESETS

    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        mend = f"did you mean `{near[0]}`?" if near else "`attento info --list` names the presets"
        if Path(name).is_file():
            mend = "`attento info` describes the run folder that a packed model was made of"
        raise ConfigError(f"{name}: is neither a run folder nor a preset; {mend}")
    preset = PRESETS[name]
    tokens = vocab_size or preset.vocab_size
    model, sizes = _shapes(preset.model, tokens, tokens)
    return _describe(name, preset.model, model, sizes)


def _describe_run(path: Path) -> ModelInfo:
    from attento.engines.choose import choose_engine
    from attento.engines.classification import read_labels
    from attento.engines.loading import load_weights, model_settings
    from attento.engines.task import run_kind
    from attento.models.config import ClassifierModelConfig
    from attento.run_folder import RunFolder
    from attento.text.tokenizer import TokenizerPair

    run = RunFolder(path).require()
    tokenizers = TokenizerPair.load(path)
    config = model_settings(path)
    classes = len(read_labels(run)) if isinstance(config, ClassifierModelConfig) else 0
    model, sizes = _shapes(config, tokenizers.source.vocab_size, tokenizers.target.vocab_size, classes)
    if not list(model.parameters()):
        # It is made of tables, and how long they are is known to the file alone.
        load_weights(model.to_empty(device="cpu"), run.weights)
    choice = choose_engine(path) if run_kind(path).task in ("translation", "language_modeling") else None
    return _describe(str(path), config, model, sizes, choice)


def _shapes(config: "ModelConfig", source: int, target: int, classes: int = 0) -> "tuple[nn.Module, dict[str, int]]":
    """Build a model of shapes alone, which takes no memory whatever its size; return the sizes it was built for too."""
    import torch

    from attento.models.build import (
        build_classifier,
        build_language_model,
        build_masked_model,
        build_translation_model,
    )
    from attento.models.config import ClassifierModelConfig, LanguageModelConfig, MaskedModelConfig

    with torch.device("meta"):
        if isinstance(config, LanguageModelConfig):
            return build_language_model(config, source), {"vocab_size": source}
        if isinstance(config, ClassifierModelConfig):
            return build_classifier(config, source, classes), {"vocab_size": source, "num_classes": classes}
        if isinstance(config, MaskedModelConfig):
            return build_masked_model(config, source), {"vocab_size": source}
        sizes = {"source_vocab_size": source, "target_vocab_size": target}
        return build_translation_model(config, source, target), sizes


def _describe(
    name: str, config: "Settings", model: "nn.Module", sizes: dict[str, int], engine: "EngineChoice | None" = None
) -> ModelInfo:
    from attento.models.anatomy import anatomy, parameters_by_role

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
        roles=parameters_by_role(model),
        layers=layers,
        tree=anatomy(model),
        engine=engine,
    )


def _show(described: ModelInfo) -> None:
    show_table(("layer", "kind", "weights", "parameters"), list(_tree_rows(described.tree)), numbers=("parameters",))
    for what, counts in (("part", described.parts), ("role", described.roles)):
        print()
        rows = [(name, f"{size:,}", f"{size / described.parameters:.1%}") for name, size in counts.items()]
        rows.append(("in all", f"{described.parameters:,}", "100.0%"))
        show_table((what, "parameters", "share"), rows, numbers=("parameters", "share"))
    print()
    show_table(("setting", "value"), [(key, str(value)) for key, value in described.settings.items()])
    sizes = ", ".join(f"{name} {size:,}" for name, size in described.sizes.items())
    say(f"{described.name}: {described.parameters:,} parameters, {sizes}")
    if described.engine is not None:
        say(f"engine: {described.engine.engine} ({described.engine.why})")


def _tree_rows(part: "Part", depth: int = 0) -> Iterator[tuple[str, str, str, str]]:
    kind = part.kind if part.count == 1 else f"{part.count} x {part.kind}"
    label = "  " * depth + (part.name or "model")
    yield label, kind, part.shape, f"{part.count * part.parameters:,}" if part.parameters else ""
    for each in part.parts:
        yield from _tree_rows(each, depth + 1)
