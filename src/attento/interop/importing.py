"""Theirs walk in: a Hugging Face folder becomes a run folder, which every verb takes as if it had been trained here."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from attento.config import check_settings
from attento.data.masked.batching import ENDS
from attento.data.partial import partial_folder, put_in_place
from attento.decoding.config import SearchConfig
from attento.engines.task import Task
from attento.errors import ConfigError, DataError, RunFolderError
from attento.interop.families import find_family
from attento.interop.family import Family, ForeignVocabulary
from attento.interop.foreign_config import ForeignConfig
from attento.interop.hub_folder import HubFolder
from attento.interop.reading import read_weights
from attento.interop.vocabulary import SILENCE
from attento.models.build import build_language_model, build_masked_model, build_translation_model
from attento.models.language.config import DecoderOnlyConfig
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder

_ModelConfig: TypeAlias = TransformerConfig | DecoderOnlyConfig | MaskedEncoderConfig

_KINDS: dict[Task, type[_ModelConfig]] = {
    "translation": TransformerConfig,
    "language_modeling": DecoderOnlyConfig,
    "masked_language_modeling": MaskedEncoderConfig,
}
_PLAIN_SEARCH: dict[str, object] = {
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "repetition_penalty": 1.0,
    "min_length": 0,
    "min_new_tokens": 0,
    "forced_bos_token_id": None,
    "do_sample": False,
    "diversity_penalty": 0.0,
    "num_beam_groups": 1,
}
"""What their searches may ask for and ours does not do, and the values that ask for nothing."""
# A language model is scored in windows; longer ones cost memory, and few texts gain.
_LONGEST_CONTEXT = 1024
# Devlin et al. 2019, section 3.1.
_MASK_SHARE = 0.15
# Where there is no limit, their tokenizers write a number beyond all texts.
_NO_LIMIT = 10**6
_USAGE: dict[Task, str] = {
    "translation": "attento translate PATH TEXT",
    "language_modeling": "attento generate PATH PROMPT",
    "masked_language_modeling": "attento embed PATH TEXT",
}


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Attributes:
        run: the run folder.
        model_type: the kind of foreign model.
        parameters: how many numbers the model has.
        notes: what is not as it was there, and what a user should know.
    """

    run: Path
    model_type: str
    parameters: int
    notes: tuple[str, ...]


def import_model(
    folder: Path, output: Path, *, source_language: str | None = None, target_language: str | None = None
) -> Imported:
    """Make a run folder of a Hugging Face folder, whole or not at all.

    Args:
        folder: holds `config.json`, `model.safetensors` (or shards and their index) and the tokenizer's files.
        output: the run folder to make; nothing may be there, or an empty folder.
        source_language: code of what a translation model reads, in place of what its tokenizer says.
        target_language: code of what it writes.

    Raises:
        DataError: a file is missing or damaged, the files do not fit together, or the model has features that ours
            lack, all of a kind at once; or the output cannot be written.
        ConfigError: languages are given for a model that does not translate.
        RunFolderError: the output is not empty.
        MissingExtraError: a package that the tokenizer needs is not installed.
    """
    _refuse_what_is_there(output)
    hub = HubFolder(folder)
    config = hub.config
    family = find_family(config.values.get("model_type"))
    languages = _languages(family, hub, source_language, target_language)
    model = family.settings(config)
    vocabulary = _vocabulary(family, hub, config)
    if vocabulary.renumbering.silent and family.task != "masked_language_modeling":
        model |= {"output_bias": True}
    settings = _checked(family, model, config)
    weights = _weights(family, hub, settings, vocabulary)
    data: dict[str, Any] = {"task": family.task, **languages}
    longest = hub.tokenizer_config.get("model_max_length")
    if family.task == "masked_language_modeling":
        # Begin and end stand around each window.
        data |= {"context": min(settings.max_positions - ENDS, _LONGEST_CONTEXT), "mask_share": _MASK_SHARE}
    elif family.task == "language_modeling":
        data["context"] = min(settings.max_positions, _LONGEST_CONTEXT)
    elif isinstance(longest, int) and 1 < longest < _NO_LIMIT:
        # The end of the sentence counts there, but not here.
        data["cleaning"] = {"max_tokens": longest - 1}
    tree = {"data": data, "model": settings.model_dump(mode="json")}
    notes: list[str] = []
    if family.task == "translation":
        search, notes = search_settings(hub.generation)
        tree["search"] = asdict(search)
    done = Imported(output, family.model_type, sum(each.numel() for each in weights.values()), tuple(notes))
    with partial_folder(output) as place:
        run = RunFolder(place)
        vocabulary.tokenizers.save(place)
        run.config.write_text(_yaml(tree), encoding="utf-8")
        run.card.write_text(_card(hub, done, _USAGE[family.task], tree), encoding="utf-8")
        _save(weights, run.weights)
        put_in_place(place, output)
    return done


def search_settings(generation: Mapping[str, Any]) -> tuple[SearchConfig, list[str]]:
    """Return how a translation is searched for, as near as ours comes, and what it does in another way.

    Hugging Face divides a log-probability by length ** length_penalty, ours by the penalty of Wu et al. 2016 (eq. 14):
    only 0, no penalty, is the same. Its greatest length is a number of tokens, ours follows the source's length.
    """
    notes: list[str] = []
    # Their library searches greedily unless told otherwise.
    beams = 1 if generation.get("num_beams") is None else generation["num_beams"]
    given: dict[str, object] = {"beam_size": beams}
    penalty = generation.get("length_penalty", 1.0)
    if penalty == 0:
        given["length_penalty"] = 0.0
    elif beams != 1:
        notes.append(
            f"search: their `length_penalty: {penalty}` (a power of the length) has no equal here; ours is "
            f"`search.length_penalty: {SearchConfig().length_penalty}` (Wu et al. 2016)"
        )
    asked = [f"`{name}: {generation[name]}`" for name, plain in _PLAIN_SEARCH.items() if _asks(generation, name, plain)]
    if asked:
        notes.append(f"search: {', '.join(asked)} of their search is not done here")
    return check_settings(SearchConfig, given, origin="their search"), notes


def _asks(generation: Mapping[str, Any], name: str, plain: object) -> bool:
    return generation.get(name) not in (None, plain)


def _refuse_what_is_there(output: Path) -> None:
    if os.path.lexists(output) and not output.is_dir():
        raise RunFolderError(f"{output}: is no folder; choose another --output")
    if output.is_dir() and any(output.iterdir()):
        raise RunFolderError(f"{output}: is not empty; choose another --output")


def _languages(family: Family, hub: HubFolder, source: str | None, target: str | None) -> dict[str, str]:
    """Return the languages as far as they are known: what is asked for, else what the tokenizer says."""
    if family.task != "translation":
        if source is not None or target is not None:
            raise ConfigError(f"`{family.model_type}` does not translate; leave the languages out")
        return {}
    told = hub.tokenizer_config
    known = {
        "source_language": source or told.get("source_lang"),
        "target_language": target or told.get("target_lang"),
    }
    return {name: language for name, language in known.items() if isinstance(language, str) and language}


def _vocabulary(family: Family, hub: HubFolder, config: ForeignConfig) -> ForeignVocabulary:
    # Before any file is looked for: a model that ours cannot be needs none.
    _refuse_unsupported(config)
    vocabulary = family.vocabulary(hub.path, config)
    _refuse_unsupported(config)
    rows, pair = len(vocabulary.renumbering.order), vocabulary.tokenizers
    assert rows == pair.source.vocab_size == pair.target.vocab_size
    return vocabulary


def _refuse_unsupported(config: ForeignConfig) -> None:
    if config.problems:
        raise DataError(
            f"{config.path}: describes a model that cannot be imported:\n  "
            + "\n  ".join(dict.fromkeys(config.problems))
        )


def _checked(family: Family, model: Mapping[str, Any], config: ForeignConfig) -> _ModelConfig:
    """Return settings of ours, checked; what is wrong with them is wrong in their file."""
    try:
        return check_settings(_KINDS[family.task], model, origin=f"{config.path}, in the words of our settings")
    except ConfigError as problem:
        raise DataError(str(problem)) from None


def _weights(
    family: Family, hub: HubFolder, settings: _ModelConfig, vocabulary: ForeignVocabulary
) -> dict[str, Tensor]:
    """Return the weights of our model, each of the right shape."""
    renumbering = vocabulary.renumbering
    _refuse_too_many_layers(hub, settings)
    # Shapes alone: no memory is taken, whatever the size.
    with torch.device("meta"):
        model = _build(settings, len(renumbering.order))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wanted = family.weights(settings.model_dump(), renumbering)
    weights = read_weights(hub, family, wanted, shapes)
    lacking = shapes.keys() - weights.keys()
    assert lacking <= {"output_bias", *(weight.ours for weight in wanted if weight.optional)}
    weights |= {name: torch.zeros(shapes[name]) for name in lacking}
    if renumbering.silent and "output_bias" in shapes:
        weights["output_bias"][sorted(renumbering.silent)] = SILENCE
    return weights


def _refuse_too_many_layers(hub: HubFolder, settings: _ModelConfig) -> None:
    """Refuse a model that cannot be meant, before the time is spent to lay it out."""
    for name in ("layers", "encoder_layers", "decoder_layers"):
        if (layers := getattr(settings, name, 0)) > len(hub.files):
            raise DataError(
                f"{hub.config.path}: asks for {layers:,} layers, but there are only {len(hub.files):,} weights; "
                "bring the files of one model together"
            )


def _build(settings: _ModelConfig, vocab_size: int) -> nn.Module:
    match settings:
        case MaskedEncoderConfig():
            return build_masked_model(settings, vocab_size)
        case DecoderOnlyConfig():
            return build_language_model(settings, vocab_size)
        case _:
            return build_translation_model(settings, vocab_size, vocab_size)


def _save(weights: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(weights, path)
    except SafetensorError as problem:
        raise OSError(str(problem)) from problem


def _yaml(tree: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True, width=100)


def _card(hub: HubFolder, done: Imported, usage: str, tree: Mapping[str, Any]) -> str:
    name = hub.config.get("_name_or_path")
    origin = (
        f"`{name}`, in the folder `{hub.path.resolve().name}`" if name else f"the folder `{hub.path.resolve().name}`"
    )
    licence = hub.licence
    terms = (
        f"The README there names the licence `{licence}`: it holds for these weights too."
        if licence
        else "No licence is named there. Ask where the model came from what may be done with its weights."
    )
    notes = "".join(f"- {note}\n" for note in done.notes)
    return f"""# {done.run.name}

Imported with Attento from a model that Hugging Face's library saved (`model_type: {done.model_type}`,
{done.parameters:,} parameters): {origin}. Nothing was trained here.

    {usage.replace("PATH", "THIS_FOLDER")}

{terms}
{f"{chr(10)}Not as it is there:{chr(10)}{chr(10)}{notes}" if notes else ""}
## Settings

```yaml
{_yaml(tree)}```
"""
