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
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import LanguageModel
from attento.models.build import build_language_model
from attento.models.config import LanguageModelConfig
from attento.nn.state import DecoderState, select_rows
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import Tokenizer, load_joint

# A long prompt is read in parts of so many tokens, since its logits are computed and thrown away.
_PROMPT_TOKENS = 512
# A logit below all that a model gives, and still a number.
_NEVER = -1e9


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


class LanguageEngine:
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
        self.device = choose_device("auto" if device is None else str(device))
        self.model = model.to(self.device)
        self.tokenizer = tokenizer
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

    def room(self, prompts: Sequence[str]) -> int | None:
        """Return how many tokens the model can still write behind the longest prompt; None where there is no limit.

        Raises:
            InputError: a prompt is not Unicode text.
        """
        if self.model.max_length is None:
            return None
        longest = max((len(self._encode(prompt)) for prompt in prompts), default=0)
        return max(self.model.max_length - 1 - longest, 0)

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int, sampling: SamplingConfig | None = None, count: int = 1
    ) -> list[list[str]]:
        """Return for every prompt, in order, `count` texts that follow it; an empty prompt is the beginning of a text.

        Without `sampling` the most probable token is taken each time, and all texts of a prompt are one. What is drawn
        depends on the seed, the number of the draw and the prompt, not on the other prompts. A text has `max_tokens`
        tokens.

        Raises:
            InputError: `prompts` is a single string, a prompt is not Unicode text, or the model cannot read so many
                tokens.
            RunFolderError: the model's scores are not numbers.
        """
        if isinstance(prompts, str):
            raise InputError("generate takes a list of prompts; put a single one into brackets: generate([prompt])")
        rows = [
            _Row(place, tuple(self._encode(prompt)), draw)
            for place, prompt in enumerate(prompts)
            for draw in range(count)
        ]
        self._check_length(rows, max_tokens)
        by_length = defaultdict[int, list[_Row]](list)
        for row in rows:
            by_length[len(row.prompt)].append(row)
        texts: list[list[str]] = [[] for _ in prompts]
        with torch.inference_mode(), evaluating(self.model):
            for length, group in by_length.items():
                at_once = max(1, self.max_batch_tokens // (1 + length + max_tokens))
                for first in range(0, len(group), at_once):
                    batch = group[first : first + at_once]
                    for row, hypothesis in zip(batch, self._continue(batch, max_tokens, sampling), strict=True):
                        texts[row.place].append(self._behind(row.prompt, hypothesis.ids))
        return texts

    def _continue(self, rows: "list[_Row]", max_tokens: int, sampling: SamplingConfig | None) -> list[Hypothesis]:
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
                seeds=[(sampling.seed, row.draw, *row.prompt) for row in rows],
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
            )
        if not all(np.isfinite(hypothesis.score) for hypothesis in found):
            raise RunFolderError("the model's scores are not numbers: its weights are damaged or its training diverged")
        return found

    def _step(self, tokens: Int[Tensor, "N 1"], state: DecoderState) -> tuple[Float[Tensor, "N 1 V"], DecoderState]:
        """Read the next tokens; the prompt stands behind bos, before anything is written.

        What stands in no text is not written: marks, and what the vocabulary lacks. A text has no end of its own, since
        training text is one stream.
        """
        logits, after = self._read(tokens, state)
        forbidden = torch.zeros(logits.size(-1), device=logits.device)
        forbidden[[PAD_ID, UNK_ID, BOS_ID]] = -torch.inf
        # Finite: a search may have to end.
        forbidden[EOS_ID] = _NEVER
        return logits.float() + forbidden, after

    def _read(self, tokens: Int[Tensor, "N 1"], state: DecoderState) -> tuple[Float[Tensor, "N 1 V"], DecoderState]:
        if not isinstance(state, _Unread):
            return self.model.decode(tokens, state)
        unread, read = torch.cat((tokens, state.prompt), dim=1), state.state
        for first in range(0, unread.size(1), _PROMPT_TOKENS):
            logits, read = self.model.decode(unread[:, first : first + _PROMPT_TOKENS], read)
        return logits[:, -1:], read

    def _encode(self, text: str) -> list[int]:
        # In one piece: an imported vocabulary may have pieces that span two lines.
        return self.tokenizer.encode(text)

    def _behind(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of ids as it stands behind a prompt: a first piece may be written without its space."""
        return self.tokenizer.decode([*prompt, *ids])[len(self.tokenizer.decode(prompt)) :]

    def _check_length(self, rows: "list[_Row]", max_tokens: int) -> None:
        if max_tokens < 1:
            raise InputError(f"`max_tokens` must be at least 1, but got {max_tokens}")
        longest = max((len(row.prompt) for row in rows), default=0)
        limit = self.model.max_length
        if limit is not None and 1 + longest + max_tokens > limit:
            raise InputError(
                f"a prompt of {longest} tokens and {max_tokens} more, with the begin of text, are more than the "
                f"{limit} tokens that the model can read; ask for fewer tokens, or train with a larger "
                "`model.max_positions` or other `model.positions`"
            )


@dataclass(frozen=True)
class _Row:
    """One text to write: behind which prompt, given in which place, and which of its draws."""

    place: int
    prompt: tuple[int, ...]
    draw: int


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
