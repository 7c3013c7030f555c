"""The settings of what a denoising model is trained on. Opens no file."""

from typing import Literal

from pydantic import Field

from attento.data.denoising.spans import Noise
from attento.data.stream.config import StreamDataConfig


class DenoisingDataConfig(StreamDataConfig):
    """What a denoising model is trained on, and what it is validated with."""

    task: Literal["denoising"] = "denoising"
    noise_share: float = Field(default=0.15, gt=0, lt=1)
    """The share of a window's tokens that is cut out (Raffel et al. 2020, section 3.1.4)."""
    mean_span: float = Field(default=3.0, ge=1)
    """How many tokens that follow each other are cut out together, on average (section 3.3.4)."""

    @property
    def noise(self) -> Noise:
        """How much is cut out of a window."""
        return Noise(self.noise_share, self.mean_span)

    @property
    def special_pieces(self) -> tuple[str, ...]:
        """A sentinel for each span of a full window, and the one behind the last."""
        return sentinel_pieces(self.noise.counts(self.context)[1] + 1)


def sentinel_pieces(count: int) -> tuple[str, ...]:
    """Return the names of so many sentinels, in their order."""
    return tuple(f"<extra_id_{number}>" for number in range(count))
