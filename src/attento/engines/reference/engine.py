"""Translation in numpy alone: slow, readable, and installed wherever Attento is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attento.decoding.config import SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.inputs import OF_NOTHING, check_prefixes, check_sources, output_cap
from attento.engines.packed import read_packed
from attento.engines.panels import Floats
from attento.engines.reference.model import ReferenceModel, State
from attento.engines.reference.search import Wanted, log_softmax, search_one
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

    def _search(self, source: Sequence[int], wanted: Wanted) -> list[Hypothesis]:
        # What is no number is told by the search, and not by numpy's warnings before.
        with np.errstate(over="ignore", invalid="ignore"):
            return search_one(self.model.decode, self._encode(source)[1], wanted, source)

    def _encode(self, source: Sequence[int]) -> tuple[Floats, State]:
        hidden, state = self.model.encode(np.array([*source, self.model.settings.eos_id]))
        return hidden[0], state
