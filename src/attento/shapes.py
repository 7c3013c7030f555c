"""The one legend of axis letters, and the names of the arrays that travel through the house.

B batch · S source length · T target length · L length of either · D model width (`d_model`) · H heads · K head size ·
F feed-forward width (`d_ff`) · V vocabulary · C classes · W beam · N rows of a search (sentences times beams).

Batch first, everywhere. Masks are Boolean and **True means "may be attended to"**, everywhere.
"""

from typing import TypeAlias

from jaxtyping import Bool, Float, Int
from torch import Tensor

SourceIds: TypeAlias = Int[Tensor, "B S"]
TargetIds: TypeAlias = Int[Tensor, "B T"]
SourceMask: TypeAlias = Bool[Tensor, "B S"]
TokenIds: TypeAlias = Int[Tensor, "B L"]
TokenMask: TypeAlias = Bool[Tensor, "B L"]
Hidden: TypeAlias = Float[Tensor, "B L D"]
Logits: TypeAlias = Float[Tensor, "B T V"]
