"""The settings of a search. Needs no torch."""

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from attento.config import Settings


class SamplingConfig(Settings):
    """How to draw tokens at random; see `decoding.sampling`."""

    temperature: float = Field(1.0, gt=0, allow_inf_nan=False, description="below 1 sharper, above 1 flatter")
    top_k: PositiveInt | None = Field(None, description="draw from so many most probable tokens; from all if null")
    top_p: float | None = Field(
        None, gt=0, le=1, description="draw from the most probable tokens of this probability; from all if null"
    )
    seed: NonNegativeInt = Field(1, description="the same seed draws the same")


class SearchConfig(Settings):
    """How to look for the best translation; the defaults are the paper's (Vaswani et al. 2017, section 6.1)."""

    beam_size: PositiveInt = Field(
        4, description="hypotheses kept at every step; 1 is greedy search; without meaning where `sampling` is given"
    )
    length_penalty: float = Field(0.6, ge=0, le=10, description="GNMT alpha; 0 leaves log-probabilities as they are")
    max_extra_length: NonNegativeInt = Field(50, description="how many pieces longer than its source an output may be")
    min_length: NonNegativeInt = Field(0, description="pieces that an output has at least, where the cap lets it")
    no_repeat_ngram: NonNegativeInt = Field(
        0, description="so many pieces in a row never stand twice in an output; 0 lets them"
    )
    n_best: PositiveInt = Field(1, description="hypotheses returned for a sentence, best first")
    sampling: SamplingConfig | None = Field(None, description="draw `n_best` hypotheses at random; search if null")

    @model_validator(mode="after")
    def _n_best_fits(self) -> "SearchConfig":
        if self.sampling is None and self.n_best > self.beam_size:
            raise ValueError(
                "`n_best` must not be greater than `beam_size`, "
                f"but got n_best={self.n_best} and beam_size={self.beam_size}"
            )
        return self
