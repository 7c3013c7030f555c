"""The settings of what a masked language model is trained on. Opens no file."""

from typing import Literal

from pydantic import Field

from attento.data.stream.config import StreamDataConfig

MASK_PIECE = "<mask>"


class MaskedDataConfig(StreamDataConfig):
    """What a masked language model is trained on, and what it is validated with."""

    task: Literal["masked_language_modeling"] = "masked_language_modeling"
    mask_share: float = Field(default=0.15, gt=0, lt=1)
    """The share of a window's tokens that the model has to tell (Devlin et al. 2019, section 3.1)."""

    @property
    def special_pieces(self) -> tuple[str, ...]:
        """The piece that stands for a hidden token."""
        return (MASK_PIECE,)
