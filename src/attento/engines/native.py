"""Translation by the native engine: C++ on the CPU, from a packed model file, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attento.cores import available_cores
from attento.decoding.config import SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.inputs import check_prefixes, check_sources, output_cap
from attento.errors import ConfigError, InputError, MissingExtraError, RunFolderError

if TYPE_CHECKING:
    import attento_native

_NO_NUMBERS = "scores are not numbers"


class NativeEngine:
    """An engine around a packed model file, which is mapped: engines and processes that use one file share its memory.

    Sentences are translated by workers of one thread each, in batches that sentences join and leave at every step. What
    a sentence becomes does not depend on their number, nor on what is translated beside it. Calls from several threads
    at once are safe. After a `fork` the workers are gone: make the engine in the process that uses it.

    Args:
        engine: the engine of the `attento_native` package.
    """

    def __init__(self, engine: "attento_native.Engine") -> None:
        self._engine = engine

    @classmethod
    def load(
        cls, path: Path, *, threads: int | None = None, max_rows: int = 256, kernels: str | None = None
    ) -> "NativeEngine":
        """Map a packed model file.

        Args:
            path: the file, as `attento export RUN --format native` writes it.
            threads: workers; as many as this process may use cores if None.
            max_rows: the most hypotheses that a worker carries at once; it bounds memory and changes no result.
            kernels: the set of kernels; the fastest that this processor runs if None.

        Raises:
            MissingExtraError: the native package is not installed.
            RunFolderError: the file is missing, damaged or made by a newer version.
            ConfigError: `threads`, `max_rows` or `kernels` cannot be had.
        """
        try:
            import attento_native
        except ModuleNotFoundError as problem:
            raise MissingExtraError(problem.name or "attento_native", "native") from problem
        workers = available_cores() if threads is None else threads
        try:
            return cls(attento_native.Engine(str(path), threads=workers, max_rows=max_rows, kernels=kernels or ""))
        except attento_native.FileError as problem:
            raise RunFolderError(f"{path}: {problem}; `attento export RUN --format native` makes it again") from None
        except ValueError as problem:
            raise ConfigError(str(problem)) from None

    @property
    def max_source_length(self) -> int | None:
        """The most tokens a source may have, with the eos that the engine adds; None where there is no limit."""
        return self._engine.max_source_length or None

    @property
    def kernels(self) -> str:
        """The set of kernels that is used, as `amx` or `avx512_vnni`."""
        return str(self._engine.kernels)

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return for every source, in order, its hypotheses, best first: what the torch engine finds, up to rounding.

        Sampling draws by the same random numbers as the torch engine.

        Raises:
            InputError: a source is longer than the model can read, a prefix is longer than the output may be, there are
                not as many prefixes as sources, an id is not in the model's vocabulary, or a sentence needs more memory
                than there is.
            RunFolderError: the model's scores are not numbers.
            ConfigError: the search keeps more hypotheses than the engine can.
        """
        found = self.translate_each(sources, search, prefixes)
        for index, each in enumerate(found):
            if isinstance(each, str):
                if _NO_NUMBERS in each:
                    raise RunFolderError(
                        "the model's scores are not numbers: its weights are damaged or its training diverged"
                    )
                raise InputError(f"source {index} (counted from 0) {each}")
        return [each for each in found if not isinstance(each, str)]

    def translate_each(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis] | str]:
        """The same, but what goes wrong with one sentence while others are translated is its own result, in words.

        Raises:
            InputError: as in `translate`, where it can be told before anything is translated.
            ConfigError: the search keeps more hypotheses than the engine can.
        """
        check_sources(sources, self.max_source_length, self._engine.source_vocab_size)
        caps = [output_cap(source, search, self._engine.max_target_length or None) for source in sources]
        if prefixes is not None:
            check_prefixes(prefixes, caps, self._engine.target_vocab_size)
        try:
            found = self._engine.translate(
                sources,
                caps,
                prefixes=prefixes or [],
                uniform=_uniform(sources, caps, search),
                search=_native_search(search),
            )
        except ValueError as problem:
            raise ConfigError(str(problem)) from None
        return [each if isinstance(each, str) else [Hypothesis(*fields) for fields in each] for each in found]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Any:
        """Return the logits of the token after bos and after each token of a given target: float32, (T + 1, V)."""
        return self._engine.logits(source, target)

    def cross_attention(self, source: Sequence[int], target: Sequence[int], layer: int) -> Any:
        """Return where a decoder layer looks while it writes a given target: float32, (T + 1, H, S + 1).

        Raises:
            InputError: there is no such layer, or the model has no attention to a source.
        """
        try:
            return self._engine.cross_attention(source, target, layer)
        except ValueError as problem:
            raise InputError(str(problem)) from None

    def product_rate(self) -> float:
        """Return how many multiplications a second the kernels do on data in the nearest cache; takes a moment."""
        return float(self._engine.product_rate())

    def read_rate(self, size: int) -> float:
        """Return how many bytes a second one thread reads of a stretch of `size` bytes; takes a moment."""
        import attento_native

        return float(attento_native.read_rate(size))


def _native_search(search: SearchConfig) -> "attento_native.SearchSettings":
    import attento_native

    sampling = search.sampling
    drawing = {}
    if sampling is not None:
        drawing = {
            "temperature": sampling.temperature,
            "top_k": sampling.top_k or 0,
            "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        }
    return attento_native.SearchSettings(
        beam_size=search.beam_size,
        n_best=search.n_best,
        length_penalty=search.length_penalty,
        min_length=search.min_length,
        no_repeat_ngram=search.no_repeat_ngram,
        sample=sampling is not None,
        **drawing,
    )


def _uniform(sources: Sequence[Sequence[int]], caps: Sequence[int], search: SearchConfig) -> list[list[float]]:
    """Return what each source's draws are made of, as the torch engine draws; nothing where nothing is drawn."""
    if search.sampling is None:
        return []
    import numpy as np

    seed = search.sampling.seed
    return [
        [
            number
            for draw in range(search.n_best)
            for number in np.random.default_rng([seed, draw, *source]).random(cap + 1).tolist()
        ]
        for source, cap in zip(sources, caps, strict=True)
    ]
