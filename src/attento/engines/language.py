"""Language models with text on both sides: how probable a text is, and how a text goes on."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from attento.data.stream.batching import evaluation_windows
from attento.decoding.config import SamplingConfig
from attento.decoding.greedy import greedy_search
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.sampling import sample
from attento.device import choose_device
from attento.engines.loading import PartOfSettings, evaluating, load_weights, open_run
from attento.engines.prompts import NEVER_WRITTEN, PROMPT_TOKENS, Row, Writer
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import LanguageModel
from attento.models.build import build_language_model
from attento.models.config import LanguageModelConfig
from attento.nn.state import DecoderState, select_rows
from attento.text.special import BOS_ID, EOS_ID, UNK_ID
from attento.text.tokenizer import Tokenizer, load_joint


@dataclass(frozen=True)
class TextScore:
    """How probable a text is to a model.

    Attributes:
        total_nats: minus the natural logarithm of the text's probability.
        tokens: how many tokens it was predicted in, each once.
        unknown: how many of them stand for something that the vocabulary lacks.
    """

    total_nats: float
    tokens: int
    unknown: int


class LanguageEngine(Writer):
    """Scores text and continues it with one language model.

    The model is moved to the device and used as it is at each call, without dropout; its training mode is restored.

    Args:
        model: the model.
        tokenizer: the one it was trained with.
        context: how many tokens are predicted from a fresh start when a text is scored: as many as in training.
        device: where to compute, as torch names it; None for a CUDA device if there is one, else the CPU.
        max_batch_tokens: the most tokens in one batch, but one row at least. It bounds memory and changes speed, not
            results.

    Raises:
        ConfigError: the device cannot be used, or `max_batch_tokens` is not positive.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        *,
        context: int,
        device: torch.device | str | None = None,
        max_batch_tokens: int = 4096,
    ) -> None:
        if max_batch_tokens < 1:
            raise ConfigError(f"`max_batch_tokens` must be at least 1, but got {max_batch_tokens}")
        super().__init__(tokenizer)
        self.device = choose_device("auto" if device is None else str(device))
        self.model = model.to(self.device)
        self.context = context
        self.max_batch_tokens = max_batch_tokens

    @classmethod
    def load(cls, run: Path, device: torch.device | str | None = None) -> "LanguageEngine":
        """Load the trained model of a run folder.

        Raises:
            RunFolderError: the folder holds no finished language model, its weights cannot be read, or they do not fit
                the model that its settings describe.
            ConfigError: the settings in the folder are wrong, or the device cannot be used.
            DataError: the tokenizer in the folder is missing or damaged.
        """
        folder, settings = open_run(run, "language_modeling", _RunSettings)
        tokenizer = load_joint(folder.path)
        model = build_language_model(settings.model, tokenizer.vocab_size)
        load_weights(model, folder.weights)
        return cls(model, tokenizer, context=settings.data.context, device=device)

    @property
    def max_length(self) -> int | None:
        """The most tokens that the model can read, bos among them; None where there is no limit."""
        return self.model.max_length

    def score(self, text: str) -> TextScore:
        """Compute how probable a text is, in windows of `context` tokens that begin afresh; each token counts once.

        Raises:
            InputError: there is no text, or it is not Unicode text.
        """
        ids = np.array([BOS_ID, *self._encode(text)], dtype=np.int32)
        if len(ids) == 1:
            raise InputError("there is no text to score")
        total, tokens = 0.0, 0
        with torch.inference_mode(), evaluating(self.model):
            for batch in evaluation_windows(ids, self.context, self.max_batch_tokens):
                batch = batch.to(self.device)
                logits, _ = self.model.decode(batch.input, self.model.start(batch.num_rows))
                log_probs = logits[batch.mask].float().log_softmax(dim=-1)
                total -= log_probs.gather(1, batch.output[batch.mask][:, None]).double().sum().item()
                tokens += batch.num_target_tokens
        return TextScore(total, tokens, unknown=int((ids == UNK_ID).sum()))

    def write(self, rows: Sequence[Row], max_tokens: int, sampling: SamplingConfig | None) -> list[tuple[int, ...]]:
        """Return for every row the tokens that follow its prompt; prompts of equal length are read side by side.

        Raises:
            RunFolderError: the model's scores are not numbers.
        """
        by_length = defaultdict[int, list[int]](list)
        for place, row in enumerate(rows):
            by_length[len(row.prompt)].append(place)
        written: dict[int, tuple[int, ...]] = {}
        with torch.inference_mode(), evaluating(self.model):
            for length, places in by_length.items():
                at_once = max(1, self.max_batch_tokens // (1 + length + max_tokens))
                for first in range(0, len(places), at_once):
                    batch = places[first : first + at_once]
                    found = self._continue([rows[place] for place in batch], max_tokens, sampling)
                    written |= {place: hypothesis.ids for place, hypothesis in zip(batch, found, strict=True)}
        return [written[place] for place in range(len(rows))]

    def _continue(self, rows: Sequence[Row], max_tokens: int, sampling: SamplingConfig | None) -> list[Hypothesis]:
        """Continue prompts of equal length."""
        prompt = torch.tensor([row.prompt for row in rows], dtype=torch.long, device=self.device)
        state = _Unread(prompt, self.model.start(len(rows)))
        caps = torch.full((len(rows),), max_tokens, device=self.device)
        if sampling is None:
            found = greedy_search(self._step, state, bos_id=BOS_ID, eos_id=EOS_ID, max_lengths=caps)
        else:
            found = sample(
                self._step,
                state,
                bos_id=BOS_ID,
                eos_id=EOS_ID,
                max_lengths=caps,
                seeds=[row.seed(sampling) for row in rows],
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
            )
        if not all(np.isfinite(hypothesis.score) for hypothesis in found):
            raise RunFolderError("the model's scores are not numbers: its weights are damaged or its training diverged")
        return found

    def _step(self, tokens: Int[Tensor, "N 1"], state: DecoderState) -> tuple[Float[Tensor, "N 1 V"], DecoderState]:
        """Read the next tokens; the prompt stands behind bos, before anything is written."""
        logits, after = self._read(tokens, state)
        forbidden = torch.zeros(logits.size(-1), device=logits.device)
        forbidden[list(NEVER_WRITTEN)] = torch.tensor(list(NEVER_WRITTEN.values()), device=logits.device)
        return logits.float() + forbidden, after

    def _read(self, tokens: Int[Tensor, "N 1"], state: DecoderState) -> tuple[Float[Tensor, "N 1 V"], DecoderState]:
        if not isinstance(state, _Unread):
            return self.model.decode(tokens, state)
        unread, read = torch.cat((tokens, state.prompt), dim=1), state.state
        for first in range(0, unread.size(1), PROMPT_TOKENS):
            logits, read = self.model.decode(unread[:, first : first + PROMPT_TOKENS], read)
        return logits[:, -1:], read


@dataclass(frozen=True)
class _Unread:
    """The state before a prompt of which nothing is read."""

    prompt: Int[Tensor, "N P"]
    state: DecoderState

    def select(self, indices: Int[Tensor, " N"]) -> "_Unread":
        return select_rows(self, indices)


class _DataSettings(PartOfSettings):
    context: PositiveInt


class _RunSettings(PartOfSettings):
    data: _DataSettings
    model: LanguageModelConfig = Field(discriminator="architecture")
