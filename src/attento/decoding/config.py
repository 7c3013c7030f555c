"""The settings of a search. Needs neither torch nor pydantic."""

from dataclasses import dataclass

from attento.plain_settings import PlainSettings, setting


@dataclass(frozen=True)
class SamplingConfig(PlainSettings):
    """How to draw tokens at random; see `decoding.sampling`.

    Raises:
        ValueError: a value is out of range.
    """

    temperature: float = setting(1.0, "below 1 sharper, above 1 flatter", gt=0, allow_inf_nan=False)
    top_k: int | None = setting(None, "draw from so many most probable tokens; from all if null", gt=0)
    top_p: float | None = setting(
        None, "draw from the most probable tokens of this probability; from all if null", gt=0, le=1
    )
    seed: int = setting(1, "the same seed draws the same", ge=0)


@dataclass(frozen=True)
class SearchConfig(PlainSettings):
    """How to look for the best translation; the defaults are the paper's (Vaswani et al. 2017, section 6.1).

    Raises:
        ValueError: a value is out of range, or the values do not go together.
    """

    beam_size: int = setting(
        4, "hypotheses kept at every step; 1 is greedy search; without meaning where `sampling` is given", gt=0
    )
    length_penalty: float = setting(0.6, "GNMT alpha; 0 leaves log-probabilities as they are", ge=0, le=10)
    max_extra_length: int = setting(50, "how many pieces longer than its source an output may be", ge=0)
    min_length: int = setting(0, "pieces that an output has at least, where the cap lets it", ge=0)
    no_repeat_ngram: int = setting(0, "so many pieces in a row never stand twice in an output; 0 lets them", ge=0)
    n_best: int = setting(1, "hypotheses returned for a sentence, best first", gt=0)
    sampling: SamplingConfig | None = setting(None, "draw `n_best` hypotheses at random; search if null")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling is None and self.n_best > self.beam_size:
            raise ValueError(
                "`n_best` must not be greater than `beam_size`, "
                f"but got n_best={self.n_best} and beam_size={self.beam_size}"
            )
