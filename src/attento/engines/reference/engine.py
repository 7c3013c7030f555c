"""Translation and text in numpy alone: slow, readable, and installed wherever Attento is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.inputs import OF_NOTHING, check_prefixes, check_sources, output_cap
from attento.engines.packed.file import read_packed
from attento.engines.packed.panels import Floats
from attento.engines.prompts import NEVER_WRITTEN, PROMPT_TOKENS, Row
from attento.engines.reference.linear import Ids
from attento.engines.reference.model import ReferenceModel, State
from attento.engines.reference.search import Wanted, greedy_search, log_softmax, sample, search_one
from attento.errors import InputError


class ReferenceEngine:
    """An engine around a packed model, one sentence at a time; every number that it computes can be asked for."""

    def __init__(self, model: ReferenceModel) -> None:
        self.model = model

    @classmethod
    def load(cls, path: Path) -> "ReferenceEngine":
        """Load a model file.

        Raises:
            RunFolderError: it cannot be read, is damaged, or its weights do not fit its settings.
        """
        return cls(ReferenceModel(read_packed(path)))

    @property
    def max_source_length(self) -> int | None:
        """The most tokens a source may have, with the eos that the engine adds; None where there is no limit."""
        return self.model.settings.max_source_length

    @property
    def max_length(self) -> int | None:
        """The most tokens that what writes can read, bos among them; None where there is no limit."""
        return self.model.settings.max_target_length

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return for every source, in order, its hypotheses, best first: those of `engines.torch.TorchEngine`.

        Raises:
            InputError: the model is a language model, a source is longer than it can read, a prefix is longer than the
                output may be, there are not as many prefixes as sources, or an id is not in the model's vocabulary.
            RunFolderError: the model's scores are not numbers.
        """
        s = self.model.settings
        if s.architecture == "language_model":
            raise InputError("the model is a language model, which translates nothing; name a translation model")
        check_sources(sources, s.max_source_length, s.source_vocab_size)
        caps = [output_cap(source, search, s.max_target_length) for source in sources]
        if prefixes is None:
            prefixes = [()] * len(sources)
        check_prefixes(prefixes, caps, s.target_vocab_size)
        results = []
        for source, cap, prefix in zip(sources, caps, prefixes, strict=True):
            wanted = Wanted(s.bos_id, s.eos_id, cap, search, tuple(prefix))
            results.append(self._search(source, wanted) if len(source) else [OF_NOTHING])
        return results

    def write(self, rows: Sequence[Row], max_tokens: int, sampling: SamplingConfig | None) -> list[tuple[int, ...]]:
        """Return for every row the tokens that a language model writes behind its prompt, as the torch engine does.

        Raises:
            InputError: the model is a translation model.
            RunFolderError: the model's scores are not numbers.
        """
        if self.model.settings.architecture != "language_model":
            raise InputError("the model is a translation model, which goes on with no text; name a language model")
        # What is no number is told by the search, and not by numpy's warnings before.
        with np.errstate(over="ignore", invalid="ignore"):
            return [self._continue(row, max_tokens, sampling).ids for row in rows]

    def encode_source(self, source: Sequence[int]) -> Floats:
        """Return the vectors that a source is read into, those of its eos among them, (S, D)."""
        return self._encode(source)[0]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Floats:
        """Return the logits of each piece of a target and of what follows it, (T + 1, V).

        A language model reads the source, as a prompt, between bos and the target; its logits are told too.
        """
        s = self.model.settings
        if s.architecture == "language_model":
            read, state = [s.bos_id, *source, *target], self.model.start()
        else:
            read, state = [s.bos_id, *target], self._encode(source)[1]
        found: Floats = self.model.decode(np.array([read]), state)[0][0]
        return found

    def score(self, source: Sequence[int], target: Sequence[int]) -> Floats:
        """Return the natural logarithms of how probable each piece of a target is, and eos behind them, (T + 1,)."""
        following = [*target, self.model.settings.eos_id]
        log_probs = log_softmax(self.logits(source, target)[-len(following) :])
        scores: Floats = log_probs[np.arange(len(following)), following]
        return scores

    def source_attention(self, source: Sequence[int], target: Sequence[int]) -> list[Floats]:
        """Return where each layer looks in the source while it writes a given target: (H, T + 1, S + 1), eos included.

        A decoder-only model looks at its source as a part of its one text.

        Raises:
            InputError: the model is a language model.
        """
        s = self.model.settings
        if s.architecture == "language_model":
            raise InputError("the model is a language model, which has no source to look at")
        _, state = self.model.decode(np.array([[s.bos_id, *target]]), self._encode(source)[1])
        return [weights[0, :, :, : len(source) + 1] for weights in state.looks()]

    def _continue(self, row: Row, max_tokens: int, sampling: SamplingConfig | None) -> Hypothesis:
        s, state = self.model.settings, self.model.start()
        # What follows the last token of a prompt is the first that is looked for.
        *before, last = s.bos_id, *row.prompt
        for first in range(0, len(before), PROMPT_TOKENS):
            _, state = self.model.decode(np.array([before[first : first + PROMPT_TOKENS]]), state)
        wanted = Wanted(last, s.eos_id, max_tokens, SearchConfig(length_penalty=0.0))
        if sampling is None:
            return greedy_search(self._write_step, state, wanted)
        return sample(self._write_step, state, wanted, sampling, row.seed(sampling))

    def _write_step(self, tokens: Ids, state: State) -> tuple[Floats, State]:
        logits, state = self.model.decode(tokens, state)
        logits[..., list(NEVER_WRITTEN)] += np.array(list(NEVER_WRITTEN.values()), dtype=np.float32)
        return logits, state

    def _search(self, source: Sequence[int], wanted: Wanted) -> list[Hypothesis]:
        # What is no number is told by the search, and not by numpy's warnings before.
        with np.errstate(over="ignore", invalid="ignore"):
            return search_one(self.model.decode, self._encode(source)[1], wanted, source)

    def _encode(self, source: Sequence[int]) -> tuple[Floats, State]:
        hidden, state = self.model.encode(np.array([*source, self.model.settings.eos_id]))
        return hidden[0], state
