"""Which device and number format to compute on. Holds the one choice; knows no model."""

from collections.abc import Mapping
from typing import Literal

import torch

from attento.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" is the GPU where there is one.

    Raises:
        ConfigError: the device is unknown, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device `{name}` is unknown; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device `{name}` is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device `{name}` is not there: torch sees {torch.cuda.device_count()} CUDA devices; use auto"
        )
    return device


def choose_precision(name: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """Return the number format to train in; "auto" is bfloat16 where the device is faster with it.

    Raises:
        ConfigError: the device has no bfloat16.
    """
    if name == "bf16" and device.type == "cuda" and not has_fast_bf16(device):
        raise ConfigError(
            f"precision `bf16` is not for {torch.cuda.get_device_name(device)}: bfloat16 needs a CUDA device of "
            "capability 8.0 or more; use `precision: fp32` or `auto`"
        )
    return torch.bfloat16 if name == "bf16" or (name == "auto" and has_fast_bf16(device)) else torch.float32


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Not in every torch that we take; where nothing can be asked, float32 is never wrong.
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
