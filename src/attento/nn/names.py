"""What the variants of the parts are called, so that settings can name them without loading torch."""

from typing import Literal

Plain = Literal["relu", "gelu", "gelu_tanh", "silu"]
"""Activations of a feed-forward network."""
Gated = Literal["glu", "reglu", "geglu", "geglu_tanh", "swiglu", "bilinear"]
"""Gates of a feed-forward network."""
Layout = Literal["interleaved", "halves"]
"""The order in which sines and cosines, or the two features of a rotated pair, stand in a vector."""
Normalization = Literal["layer", "rms", "batch"]
NormOrder = Literal["post", "pre"]
Scores = Literal["scaled", "unscaled", "uniform"]
