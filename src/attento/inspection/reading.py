"""Let a trained model of any task read one text, and keep what can be seen of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attento.config import check_settings
from attento.data.masked.config import MASK_PIECE
from attento.decoding.config import SearchConfig
from attento.device import choose_device
from attento.engines.classification import read_labels
from attento.engines.loading import PartOfSettings, evaluating, load_weights, model_settings
from attento.engines.task import RunKind, run_kind
from attento.errors import InputError
from attento.inspection.flow import Calls, watch
from attento.inspection.record import available, record
from attento.inspection.sites import OF_PRODUCTS, What
from attento.inspection.steps import BeamTree, Candidate, StepView, make_steps, watch_beam
from attento.inspection.tokens import NULL_ID, Line, read_ids, read_text, rows_of
from attento.inspection.trace import Trace
from attento.models.base import Classifier, EncoderDecoder, LanguageModel, MaskedLanguageModel, Sentences
from attento.models.build import build_classifier, build_language_model, build_masked_model, build_translation_model
from attento.models.classification.self_attentive import SelfAttentive
from attento.models.config import ClassifierModelConfig, LanguageModelConfig, MaskedModelConfig
from attento.run_folder import RunFolder
from attento.setting_trees import read_yaml
from attento.text.special import BOS_ID, EOS_ID
from attento.text.tokenizer import TokenizerPair


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with all that is needed to let it read."""

    name: str
    kind: RunKind
    model: nn.Module
    tokenizers: TokenizerPair
    search: SearchConfig
    labels: tuple[str, ...] = ()


@dataclass
class Reading:
    """What one model made of one text.

    Attributes:
        lines: the texts by name, as the names of the trace's rows and columns say.
        trace: what was recorded.
        calls: what each module made.
        phases: for each phase of the model's work the name of the text whose tokens its vectors stand for.
        texts: what was given to read.
        steps: word by word.
        written: the name of the line that the steps go along.
        tree: the beam search, where there was one.
        said: what the model answered, in words.
        given: whether the translation was given, and not the model's own.
        notes: what a reader should know.
    """

    lines: dict[str, Line]
    trace: Trace
    calls: Calls
    phases: dict[str, str]
    texts: list[str] = field(default_factory=list)
    steps: list[StepView] = field(default_factory=list)
    written: str = ""
    tree: BeamTree | None = None
    said: str = ""
    given: bool = False
    notes: list[str] = field(default_factory=list)


def load_run(path: Path, device: str | None = None) -> LoadedRun:
    """Load the trained model of a run folder, whatever its task.

    Raises:
        RunFolderError: the folder holds no finished model, or its parts do not fit together.
        ConfigError: the settings in the folder are wrong, or the device cannot be used.
        DataError: the tokenizer in the folder is missing or damaged.
    """
    kind, folder = run_kind(path), RunFolder(path).require()
    config, tokenizers = model_settings(path), TokenizerPair.load(path)
    sizes, labels = (tokenizers.source.vocab_size, tokenizers.target.vocab_size), tuple[str, ...]()
    model: nn.Module
    if isinstance(config, LanguageModelConfig):
        model = build_language_model(config, sizes[0])
    elif isinstance(config, ClassifierModelConfig):
        labels = tuple(read_labels(folder))
        model = build_classifier(config, sizes[0], len(labels))
    elif isinstance(config, MaskedModelConfig):
        model = build_masked_model(config, sizes[0])
    else:
        model = build_translation_model(config, *sizes)
    load_weights(model, folder.weights)
    search = check_settings(_RunSettings, read_yaml(folder.config), origin=str(folder.config)).search
    name = path.resolve().name
    return LoadedRun(name, kind, model.to(choose_device(device or "auto")), tokenizers, search, labels)


def read(run: LoadedRun, sentence: str, second: str | None = None) -> Reading:
    """Let a model read a sentence.

    Args:
        run: the model.
        sentence: what it reads: the source of a translation, a text, a sentence to label.
        second: the translation to look at in place of the model's own, or the second sentence of a pair.

    Raises:
        InputError: there is nothing to read, it is longer than the model takes, or `second` has no meaning for the
            model, or is missing.
    """
    if not sentence.split():
        raise InputError("there is no sentence to look at; give one with a word in it")
    model = run.model
    with torch.inference_mode(), evaluating(model):
        if isinstance(model, EncoderDecoder):
            return _translate(run, model, sentence, second)
        if isinstance(model, Classifier):
            return _classify(run, model, sentence, second)
        if second is not None:
            raise InputError(f"{run.name}: holds {run.kind.text}, which reads one text; leave --target out")
        if isinstance(model, LanguageModel):
            return _go_on(run, model, sentence)
        assert isinstance(model, MaskedLanguageModel)
        return _tell_hidden(run, model, sentence)


def force(run: LoadedRun, model: EncoderDecoder, source: Line, target: Line) -> tuple[Reading, Float[Tensor, "T V"]]:
    """Let a translation model read a source and a target that is given; return its logits too.

    `source` ends in the end of sentence; `target` has neither begin nor end.
    """
    device = next(model.parameters()).device
    ids = _row(source.ids, device)
    inputs = _row((BOS_ID, *target.ids), device)
    with record(model, seen_of(model)) as trace, watch(model) as calls:
        calls.phase = "encode"
        memory = model.encode(ids, torch.ones_like(ids, dtype=torch.bool))
        calls.phase = "start"
        state = model.start(memory)
        calls.phase = "decode"
        logits, _ = model.decode(inputs, state)
        calls.add_logits(logits[0])
    lines = {"source": source, "target": target.after(BOS_ID), "output": target.before(EOS_ID)}
    lines["source and target"] = source.then(lines["target"])
    phases = {"encode": "source", "decode": "target"}
    return Reading(lines, trace, calls, phases, written="output"), logits[0]


def seen_of(model: nn.Module) -> list[What]:
    """Return what is recorded for a page: all that can be seen of a model's attention."""
    return [name for name in available(model) if name in OF_PRODUCTS]


def check_length(run: LoadedRun, what: str, tokens: int, limit: int | None) -> None:
    """Check that a model can read so many tokens.

    Raises:
        InputError: it cannot.
    """
    if limit is not None and tokens > limit:
        raise InputError(
            f"the {what} has {tokens} tokens with its marks, but the model of {run.name} takes at most {limit}; "
            "shorten it, or train with a larger `model.max_positions`"
        )


def _translate(run: LoadedRun, model: EncoderDecoder, sentence: str, target: str | None) -> Reading:
    source = read_text(run.tokenizers.source, sentence).before(EOS_ID)
    check_length(run, "sentence", len(source.ids), model.max_source_length)
    ids = _row(source.ids, next(model.parameters()).device)
    search = run.search if run.search.sampling is None else SearchConfig()
    tree = watch_beam(model, model.encode(ids, torch.ones_like(ids, dtype=torch.bool)), search)
    tokenizer = run.tokenizers.target
    written = read_ids(tokenizer, tree.best[0].ids) if target is None else read_text(tokenizer, target)
    check_length(run, "translation", len(written.ids) + 1, model.max_target_length)
    reading, logits = force(run, model, source, written)
    reading.texts = [sentence]
    reading.steps = make_steps(tokenizer, logits, written.ids, (*written.ids, EOS_ID))
    reading.tree, reading.said, reading.given = tree, tokenizer.decode(written.ids), target is not None
    if run.search.sampling is not None:
        reading.notes.append("This run draws its translations at random; the page shows a search for the best instead.")
    return reading


def _go_on(run: LoadedRun, model: LanguageModel, text: str) -> Reading:
    line = read_text(run.tokenizers.source, text)
    check_length(run, "text", len(line.ids) + 1, model.max_length)
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    with record(model, seen_of(model)) as trace, watch(model) as calls:
        calls.phase = "read"
        logits, _ = model.decode(_row((BOS_ID, *line.ids), device), model.start(1))
        calls.add_logits(logits[0])
    steps = make_steps(run.tokenizers.source, logits[0], line.ids, line.ids)
    reading = Reading({"text": line.after(BOS_ID)}, trace, calls, {"read": "text"}, [text], steps, "text")
    reading.said = f"most probable next: {steps[-1].candidates[0].text}"
    return reading


def _classify(run: LoadedRun, model: Classifier, first: str, second: str | None) -> Reading:
    if (second is not None) != (model.num_sentences == 2):
        wanted = (
            "a pair of sentences; give the second by --target" if second is None else "one sentence; leave --target out"
        )
        raise InputError(f"{run.name}: holds {run.kind.text}, which reads {wanted}")
    texts = [text for text in (first, second) if text is not None]
    sentences = [read_text(run.tokenizers.source, text).before(EOS_ID) for text in texts]
    for line in sentences:
        check_length(run, "sentence", len(line.ids), model.max_length)
    device = next(model.parameters()).device
    rows = [_row(line.ids, device) for line in sentences]
    with record(model, seen_of(model)) as trace, watch(model) as calls:
        calls.phase = "read"
        logits = model([Sentences(row, torch.ones_like(row, dtype=torch.bool)) for row in rows])
    lines = {"sentence": sentences[0]}
    if second is not None:
        nulled = [line.after(NULL_ID) for line in sentences]
        lines = {"sentence": sentences[0].then(sentences[1]), "first sentence": nulled[0], "second sentence": nulled[1]}
    if isinstance(model, SelfAttentive):
        lines["annotation"] = rows_of(len(trace.attentions[0].weights[0, 0]))
    likely, order = logits[0].float().softmax(dim=-1).sort(descending=True)
    labels = [Candidate(run.labels[place], float(p)) for p, place in zip(likely, order.tolist(), strict=True)]
    reading = Reading(lines, trace, calls, {"read": "sentence"}, texts, [StepView(0, tuple(labels[:10]))])
    reading.said = f"{labels[0].text} ({labels[0].probability:.1%})"
    return reading


def _tell_hidden(run: LoadedRun, model: MaskedLanguageModel, text: str) -> Reading:
    tokenizer = run.tokenizers.source
    line = read_text(tokenizer, text)
    check_length(run, "text", len(line.ids) + 2, model.max_length)
    line = line.after(BOS_ID).before(EOS_ID)
    ids = _row(line.ids, next(model.parameters()).device)
    real, mask_id = torch.ones_like(ids, dtype=torch.bool), tokenizer.piece_id(MASK_PIECE)
    with record(model, seen_of(model)) as trace, watch(model) as calls:
        calls.phase = "read"
        model.embed(Sentences(ids, real))
    reading = Reading({"sentence": line}, trace, calls, {"read": "sentence"}, [text], written="sentence")
    if mask_id is None or getattr(model, "head", None) is None:
        reading.notes.append("This model tells no hidden tokens, so there is nothing to show word by word.")
        return reading
    inner = line.ids[1:-1]
    rows = torch.arange(len(inner), device=ids.device)
    hidden = ids.repeat(len(inner), 1)
    hidden[rows, rows + 1] = mask_id
    told = model(Sentences(hidden, torch.ones_like(hidden, dtype=torch.bool)))[rows, rows + 1]
    reading.steps = make_steps(tokenizer, told, inner, inner)
    reading.notes.append("Word by word: each token is hidden in turn, and the model tells it from all the others.")
    return reading


def _row(ids: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor([ids], dtype=torch.long, device=device)


class _RunSettings(PartOfSettings):
    search: SearchConfig = SearchConfig()
