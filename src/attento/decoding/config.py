"""The settings of a search. Needs no torch."""

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from attento.config import Settings


class SearchConfig(Settings):
    """How to look for the best translation; the defaults are the paper's (Vaswani et al. 2017, section 6.1)."""

    beam_size: PositiveInt = Field(4, description="hypotheses kept at every step; 1 is greedy search")
    length_penalty: float = Field(0.6, ge=0, le=10, description="GNMT alpha; 0 leaves log-probabilities as they are")
    max_extra_length: NonNegativeInt = Field(50, description="how many pieces longer than its source an output may be")
    n_best: PositiveInt = Field(1, description="hypotheses returned for a sentence, best first")

    @model_validator(mode="after")
    def _n_best_fits(self) -> "SearchConfig":
        if self.n_best > self.beam_size:
            raise ValueError(
                "`n_best` must not be greater than `beam_size`, "
                f"but got n_best={self.n_best} and beam_size={self.beam_size}"
            )
        return self
