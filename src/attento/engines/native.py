"""Translation and text by the native engine: C++ on the CPU, from a packed model file, without torch."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attento.cores import available_cores
from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.inputs import check_prefixes, check_sources, output_cap
from attento.engines.prompts import Row
from attento.errors import AttentoError, ConfigError, InputError, MissingExtraError, RunFolderError

if TYPE_CHECKING:
    import attento_native
    import numpy as np
    from numpy.typing import NDArray

_NO_NUMBERS = "scores are not numbers"
# The engine's whole numbers have 32 bits; an output may have one piece less, and eos.
_MOST = 2**31 - 2
# Outputs are drawn with random numbers for so many pieces at first, however long they may be.
_DRAWN_FIRST = 4096


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
        cls, path: Path, *, threads: int | None = None, max_rows: int = 64, kernels: str | None = None
    ) -> "NativeEngine":
        """Map a packed model file.

        Args:
            path: the file, as `attento export RUN --format native` writes it.
            threads: workers; as many as this process may use cores if None.
            max_rows: the most hypotheses that a worker carries at once; it bounds memory and changes no result.
            kernels: the set of kernels; if None the one that the environment variable ATTENTO_KERNELS names, or the
                fastest that this processor runs.

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
        chosen = kernels or os.environ.get("ATTENTO_KERNELS", "")
        try:
            engine = attento_native.Engine(
                str(path), threads=min(workers, _MOST), max_rows=min(max_rows, _MOST), kernels=chosen
            )
        except attento_native.FileError as problem:
            raise RunFolderError(str(problem)) from None
        except ValueError as problem:
            raise ConfigError(str(problem)) from None
        return cls(engine)

    @property
    def max_source_length(self) -> int | None:
        """The most tokens a source may have, with the eos that the engine adds; None where there is no limit."""
        return self._engine.max_source_length or None

    @property
    def max_length(self) -> int | None:
        """The most tokens that what writes can read, bos among them; None where there is no limit."""
        return self._engine.max_target_length or None

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
            InputError: the model is a language model, a source is longer than it can read, a prefix is longer than the
                output may be, there are not as many prefixes as sources, an id is not in the model's vocabulary, or a
                sentence needs more memory than there is.
            RunFolderError: the model's scores are not numbers.
            ConfigError: the search keeps more hypotheses than the engine can.
        """
        found = self.translate_each(sources, search, prefixes)
        for index, each in enumerate(found):
            if isinstance(each, str):
                raise _error(f"source {index} (counted from 0)", each)
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
        if not self._engine.translates:
            raise InputError("the model is a language model, which translates nothing; name a translation model")
        check_sources(sources, self.max_source_length, self._engine.source_vocab_size)
        limit = self._engine.max_target_length or _MOST
        caps = [output_cap(source, search, limit) for source in sources]
        if prefixes is not None:
            check_prefixes(prefixes, caps, self._engine.target_vocab_size)
        try:
            found = self._search(sources, caps, prefixes or [()] * len(sources), search, _DRAWN_FIRST)
        except ValueError as problem:
            raise ConfigError(str(problem)) from None
        return [each if isinstance(each, str) else [Hypothesis(*fields) for fields in each] for each in found]

    def _search(
        self,
        sources: Sequence[Sequence[int]],
        caps: Sequence[int],
        prefixes: Sequence[Sequence[int]],
        search: SearchConfig,
        drawn: int,
    ) -> list[Any]:
        """Search; where a draw has not ended after `drawn` pieces, draw the same again and on."""
        bounds = caps
        if search.sampling is not None:
            bounds = [min(cap, max(drawn, len(prefix))) for cap, prefix in zip(caps, prefixes, strict=True)]
        uniform = _uniform(sources, bounds, search)
        settings = _native_search(search)
        found = list(self._engine.translate(sources, bounds, prefixes=prefixes, uniform=uniform, search=settings))
        longer = [
            place
            for place, each in enumerate(found)
            if bounds[place] < caps[place] and not isinstance(each, str) and not all(fields[-1] for fields in each)
        ]
        if longer:
            further = self._search(
                [sources[place] for place in longer],
                [caps[place] for place in longer],
                [prefixes[place] for place in longer],
                search,
                4 * drawn,
            )
            for place, each in zip(longer, further, strict=True):
                found[place] = each
        return found

    def write(self, rows: Sequence[Row], max_tokens: int, sampling: SamplingConfig | None) -> list[tuple[int, ...]]:
        """Return for every row the tokens that a language model writes behind its prompt, as the torch engine does.

        Raises:
            InputError: the model is a translation model, a prompt and what follows it are longer than it can read, an
                id is not in its vocabulary, or a prompt needs more memory than there is.
            RunFolderError: the model's scores are not numbers.
        """
        if self._engine.translates:
            raise InputError("the model is a translation model, which goes on with no text; name a language model")
        most = min(max_tokens, _MOST)
        found = self._engine.generate(
            [row.prompt for row in rows],
            most,
            uniform=[] if sampling is None else [_numbers(row.seed(sampling), most + 1) for row in rows],
            search=_native_search(SearchConfig(beam_size=1, length_penalty=0.0, sampling=sampling)),
        )
        written = []
        for row, each in zip(rows, found, strict=True):
            if isinstance(each, str):
                raise _error(f"prompt {row.place} (counted from 0)", each)
            written.append(each[0][0])
        return written

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Any:
        """Return the logits of the token after bos and after each token of a given target: float32, (T + 1, V).

        A language model reads the source, as a prompt, between bos and the target; its logits are told too.

        Raises:
            InputError: a text is longer than the model can read, or an id is not in the vocabulary.
        """
        try:
            return self._engine.logits(source, target)
        except ValueError as problem:
            raise InputError(str(problem)) from None

    def source_attention(self, source: Sequence[int], target: Sequence[int]) -> list["NDArray[np.float32]"]:
        """Return where each layer looks in the source while it writes a given target: (H, T + 1, S + 1), eos included.

        A decoder-only model looks at its source as a part of its one text.

        Raises:
            InputError: the model is a language model, or as in `logits`.
        """
        try:
            found = self._engine.source_attention(source, target)
        except ValueError as problem:
            raise InputError(str(problem)) from None
        return list(found.transpose(1, 2, 0, 3))  # (T, L, H, S) -> (L, H, T, S)

    def product_rate(self) -> float:
        """Return how many multiplications a second the kernels do on data in the nearest cache; takes a moment."""
        return float(self._engine.product_rate())

    def read_rate(self, size: int) -> float:
        """Return how many bytes a second one thread reads of a stretch of `size` bytes; takes a moment."""
        import attento_native

        return float(attento_native.read_rate(size))


def _error(what: str, problem: str) -> AttentoError:
    if _NO_NUMBERS in problem:
        return RunFolderError("the model's scores are not numbers: its weights are damaged or its training diverged")
    return InputError(f"{what} {problem}")


def _native_search(search: SearchConfig) -> "attento_native.SearchSettings":
    import attento_native

    sampling = search.sampling
    drawing = {}
    if sampling is not None:
        drawing = {
            "temperature": sampling.temperature,
            "top_k": min(sampling.top_k or 0, _MOST),
            "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        }
    return attento_native.SearchSettings(
        beam_size=min(search.beam_size, _MOST),
        n_best=min(search.n_best, _MOST),
        length_penalty=search.length_penalty,
        min_length=min(search.min_length, _MOST),
        no_repeat_ngram=min(search.no_repeat_ngram, _MOST),
        sample=sampling is not None,
        **drawing,
    )


def _uniform(sources: Sequence[Sequence[int]], caps: Sequence[int], search: SearchConfig) -> list[list[float]]:
    """Return what each source's draws are made of, as the torch engine draws; nothing where nothing is drawn."""
    if search.sampling is None:
        return []
    seed, draws = search.sampling.seed, range(search.n_best)
    return [
        [number for draw in draws for number in _numbers((seed, draw, *source), cap + 1)]
        for source, cap in zip(sources, caps, strict=True)
    ]


def _numbers(seed: Sequence[int], count: int) -> list[float]:
    import numpy as np

    numbers: list[float] = np.random.default_rng(list(seed)).random(count).tolist()
    return numbers
