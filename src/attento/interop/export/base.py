"""What every format that a run goes out in must do, so that one road writes them all, and one check reads them all."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from attento.config import Settings
from attento.decoding.config import SearchConfig
from attento.decoding.greedy import greedy_search
from attento.engines.task import Task
from attento.models.base import EncoderDecoder, LanguageModel
from attento.models.config import LanguageModelConfig, TranslationModelConfig
from attento.nn.state import DecoderState
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import TokenizerPair

NEVER_WRITTEN: dict[Task, tuple[int, ...]] = {
    "translation": (PAD_ID, UNK_ID, BOS_ID),
    # Training text is one stream: a text has no end of its own.
    "language_modeling": (PAD_ID, UNK_ID, BOS_ID, EOS_ID),
}
"""The ids that no search in an exported model may write."""
# Below all that a model gives, and still a number: a search may have to end.
_NEVER = -1e9


@dataclass(frozen=True)
class Criterion:
    """When an exported model is the run's own.

    Attributes:
        difference: how far a logit may be off, in float32; greedy outputs must then be equal too. None where weights
            were rounded, and neither is asked.
        cosine: the least mean over sentences of the cosine between both models' logits; None where it is not asked.
    """

    difference: float | None
    cosine: float | None


EXACT = Criterion(difference=1e-3, cosine=None)
"""The same model in the same numbers."""
ROUNDED = Criterion(difference=None, cosine=0.9995)
"""The same model in coarser numbers."""


@runtime_checkable
class Runner(Protocol):
    """A model that takes ids and gives logits, whoever computes them: one sentence at a time, on the CPU, in float32.

    A `source` has neither bos nor eos: the runner adds what its model was trained to see (eos behind the source of a
    translation). The source of a language model is a prompt, read behind bos.
    """

    def encode(self, text: str) -> list[int]:
        """Return the ids of a source text, without bos and eos, by the tokenizer that was written beside the model."""
        ...

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the logits of the token after each token that the decoder reads: bos, a prompt, then `target`."""
        ...

    def greedy(self, source: Sequence[int], max_length: int) -> list[int]:
        """Return the most probable tokens behind bos (and a prompt), without eos; at most `max_length` of them.

        Those of `NEVER_WRITTEN` are never among them.
        """
        ...


@dataclass(frozen=True)
class TrainedModel:
    """A run as an exporter sees it: its model in float32 on the CPU, without dropout, and all that goes with it."""

    path: Path
    task: Task
    config: TranslationModelConfig | LanguageModelConfig
    model: EncoderDecoder | LanguageModel
    tokenizers: TokenizerPair
    """The same tokenizer twice for a language model."""
    languages: tuple[str, str] | None
    """Of source and target, in a translation run."""
    search: SearchConfig
    """How a translation run searches, unless told otherwise."""
    context: int | None
    """How many tokens a language model was trained to predict at once."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a source text, without bos and eos."""
        return self.tokenizers.source.encode(text)

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the logits of the token after each token that the decoder reads: bos, a prompt, then `target`."""
        prompt = [] if isinstance(self.model, EncoderDecoder) else source
        with torch.inference_mode():
            found, _ = self.model.decode(torch.tensor([[BOS_ID, *prompt, *target]]), self._start(source))
        return found[0]

    def greedy(self, source: Sequence[int], max_length: int) -> list[int]:
        """Return the most probable tokens behind bos (and a prompt), without eos; at most `max_length` of them."""
        forbidden = torch.zeros(self.tokenizers.target.vocab_size)
        forbidden[list(NEVER_WRITTEN[self.task])] = _NEVER
        unread = [] if isinstance(self.model, EncoderDecoder) else list(source)

        def step(tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
            read = torch.cat((tokens, torch.tensor([unread], dtype=torch.long)), dim=1)
            unread.clear()
            logits, state = self.model.decode(read, state)
            return logits[:, -1:] + forbidden, state

        with torch.inference_mode():
            (found,) = greedy_search(
                step, self._start(source), bos_id=BOS_ID, eos_id=EOS_ID, max_lengths=torch.tensor([max_length])
            )
        return list(found.ids)

    def _start(self, source: Sequence[int]) -> DecoderState:
        if not isinstance(self.model, EncoderDecoder):
            return self.model.start(1)
        ids = torch.tensor([[*source, EOS_ID]])
        return self.model.start(self.model.encode(ids, torch.ones_like(ids, dtype=torch.bool)))


class Exporter(ABC):
    """One format that a run goes out in. Makes no output folder, leaves none behind: it is given an empty one."""

    packages: tuple[str, ...]
    """What must be installed to write it and to read it again, by the names that are imported (extra `interop`)."""
    criterion: Criterion = EXACT
    """When what was written is the same model."""
    enough: int = 100
    """How many sentences of the run's own text it is compared on."""

    @abstractmethod
    def problems(self, run: TrainedModel) -> list[str]:
        """Return every reason why the format cannot hold the run, each naming the setting; nothing is written."""

    @abstractmethod
    def write(self, run: TrainedModel, folder: Path) -> None:
        """Write the model and its tokenizer into an empty folder."""

    @abstractmethod
    def reread(self, folder: Path) -> Runner:
        """Load what was written, from its files alone, by the format's own library."""


def misfits(config: Settings, allowed: Mapping[str, Sequence[Any]], format_name: str) -> list[str]:
    """Return a line for each setting of a model whose value the format has no word for.

    Args:
        config: the model's settings.
        allowed: for each setting that matters, the values that the format can hold.
        format_name: what the lines call the format.
    """
    problems = []
    for name, values in allowed.items():
        value = getattr(config, name)
        if value not in values:
            only = " or ".join(dict.fromkeys(map(_text, values)))
            problems.append(f"`model.{name}: {_text(value)}` cannot be said in {format_name}; only {only}")
    return problems


def _text(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
