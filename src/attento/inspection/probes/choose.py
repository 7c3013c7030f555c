"""From a run folder and the name of a task to the probe that answers it; what a run cannot be asked is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from torch import nn

from attento.data.lines import read_lines
from attento.decoding.config import SearchConfig
from attento.engines.torch import TorchEngine
from attento.errors import ConfigError, DataError
from attento.inspection.probes.alignment import probe_alignment
from attento.inspection.probes.contrasts import LEFT_OUT, LeftOut, Tokens, from_examples, read_contrasts, tokenize
from attento.inspection.probes.cost import probe_cost
from attento.inspection.probes.order import probe_order
from attento.inspection.probes.pronouns import probe_pronouns
from attento.inspection.probes.result import Result
from attento.inspection.probes.scale import probe_scale
from attento.inspection.reading import LoadedRun, check_length, load_run
from attento.inspection.record import available
from attento.inspection.sites import sites
from attento.models.base import EncoderDecoder
from attento.nn.attention import MultiHeadAttention
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml, suggest
from attento.synthetic import Example, sentences

Task: TypeAlias = Literal["pronouns", "order", "scale", "cost", "alignment"]
TASKS: tuple[Task, ...] = get_args(Task)
SEED = 20190525
"""Of the built-in language's sentences that are asked; next to none of them are among those of `attento demo`."""


@dataclass(frozen=True)
class Asking:
    """What a run is asked with.

    Attributes:
        sentences: how many sentences, at most.
        data: text of the user's own: a contrastive set for "pronouns", a text a line for "order" and "scale"; the
            built-in language if None.
        device: as torch names it; the best at hand if None.
        seed: of all draws but that of the sentences.
    """

    sentences: int = 200
    data: Path | None = None
    device: str | None = None
    seed: int = 1


def probe(path: Path, task: str, asking: Asking) -> Result:
    """Put a task to the run of a folder.

    Raises:
        ConfigError: there is no such task, the run cannot be asked it, or not with this text; the message names what
            there is.
        DataError: the text cannot be read.
        InputError: a sentence is longer than the model can take.
        RunFolderError: the folder holds no finished model.
    """
    if task not in TASKS:
        raise ConfigError(f"`attento probe` has no task `{task}`{suggest(task, TASKS)}; its tasks: {', '.join(TASKS)}")
    run = load_run(path, asking.device)
    why_not = _why_not(run.model)
    if task in why_not:
        possible = [each for each in TASKS if each not in why_not]
        there_is = f"it can be asked: {', '.join(possible)}" if possible else "no task can be put to it"
        raise ConfigError(f"{path}: holds {run.kind.text}, which cannot be asked `{task}`: {why_not[task]}; {there_is}")
    if asking.data is not None and task in ("cost", "alignment"):
        raise ConfigError(f"--data is not for `{task}`, which takes no text of yours; leave it out")
    match task:
        case "pronouns":
            return _pronouns(path, run, asking)
        case "order":
            return probe_order(run.name, run.model, _texts(path, run, task, asking), asking.seed)
        case "scale":
            return probe_scale(run.name, run.model, _texts(path, run, task, asking), asking.seed)
        case "cost":
            return probe_cost(run.name, run.model)
    return _alignment(path, run, asking)


def _why_not(model: nn.Module) -> dict[Task, str]:
    """Return the tasks that a model cannot be asked, each with the reason."""
    reasons: dict[Task, str] = {}
    recorded = available(model)
    if not isinstance(model, EncoderDecoder):
        reasons["pronouns"] = reasons["alignment"] = "it does not translate"
    elif not _looks_at_source(model):
        reasons["alignment"] = "it has no attention to its source"
    if not isinstance(model, EncoderDecoder) and "weights" not in recorded:
        reasons["order"] = "it has no encoder and no attention"
    if not any(isinstance(part, MultiHeadAttention) for part in model.modules()):
        reasons["scale"] = reasons["cost"] = "it has no multi-head attention"
    return reasons


def _looks_at_source(model: nn.Module) -> bool:
    return any(site.kind == "cross" or ("source and target",) * 2 in site.views for site in sites(model))


def _pronouns(path: Path, run: LoadedRun, asking: Asking) -> Result:
    assert isinstance(run.model, EncoderDecoder)
    _check_languages(path, "pronouns", ("en", "fr"))
    shortened: dict[LeftOut, list[Tokens]] = {}
    if asking.data is not None:
        contrasts, name = read_contrasts(asking.data)[: asking.sentences], asking.data.name
        for each in LEFT_OUT:
            shortened[each] = tokenize(read_contrasts(asking.data, each)[: asking.sentences], run.tokenizers)
    else:
        contrasts, name = from_examples(islice(_with_pronouns(), asking.sentences)), "the built-in language"
    tokens = tokenize(contrasts, run.tokenizers)
    _check_lengths(run, [(each.source, each.right) for each in tokens] + [(each.source, each.wrong) for each in tokens])
    return probe_pronouns(run.name, run.model, tokens, name, asking.seed, shortened=shortened)


def _alignment(path: Path, run: LoadedRun, asking: Asking) -> Result:
    assert isinstance(run.model, EncoderDecoder)
    _check_languages(path, "alignment", ("en", "fr"))
    examples = list(islice(sentences(SEED), asking.sentences))
    sources, targets = run.tokenizers.source, run.tokenizers.target
    _check_lengths(run, [(sources.encode(each.english), targets.encode(each.french)) for each in examples])
    return probe_alignment(run.name, run.model, run.tokenizers, examples)


def _with_pronouns() -> Iterator[Example]:
    return (each for each in sentences(SEED) if each.anaphora is not None and each.anaphora.is_contrastive)


def _texts(path: Path, run: LoadedRun, task: str, asking: Asking) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Return texts as ids, each with the model's own greedy translation where it translates."""
    if asking.data is None:
        _check_languages(path, task, ("en",))
        lines = [each.english for each in islice(sentences(SEED), asking.sentences)]
    else:
        lines = [line for line in islice(read_lines(asking.data), asking.sentences) if line.strip()]
        if not lines:
            raise DataError(f"{asking.data}: holds no text; there is nothing to read")
    sources: list[Sequence[int]] = [run.tokenizers.source.encode(line) for line in lines]
    _check_lengths(run, [(source, ()) for source in sources])
    if not isinstance(run.model, EncoderDecoder):
        return [(source, ()) for source in sources]
    engine = TorchEngine(run.model, device=next(run.model.parameters()).device)
    found = engine.translate(sources, SearchConfig(beam_size=1))
    return [(source, best.ids) for source, (best, *_) in zip(sources, found, strict=True)]


def _check_lengths(run: LoadedRun, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
    model: Any = run.model
    writes = isinstance(model, EncoderDecoder)
    for source, target in pairs:
        # Marks before and behind.
        check_length(run, "sentence", len(source) + 2, model.max_source_length if writes else model.max_length)
        check_length(run, "translation", len(target) + 1, model.max_target_length if writes else None)


def _check_languages(path: Path, task: str, wanted: tuple[str, ...]) -> None:
    """Refuse the built-in language to a run of others; a run that does not tell its languages is believed."""
    data = read_yaml(RunFolder(path).config).get("data")
    told = data if isinstance(data, dict) else {}
    known = told.get("source_language", told.get("language")), told.get("target_language")
    if any(mine not in (None, theirs) for mine, theirs in zip(known, wanted, strict=False)):
        mine = " to ".join(str(each) for each in known[: len(wanted)] if each)
        needed = " to ".join(wanted)
        mend = "name a file of text that it reads with --data" if len(wanted) == 1 else "take a run of these languages"
        raise ConfigError(f"{path}: `{task}` asks in {needed}, but this run knows {mine}; {mend}")
