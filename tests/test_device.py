from typing import Literal

import pytest
import torch

from attento.device import choose_device, choose_precision, has_fast_bf16
from attento.errors import ConfigError


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int, capability: tuple[int, int] = (9, 0)) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpus=0)
    assert choose_device() == choose_device("auto") == torch.device("cpu")
    pretend(monkeypatch, gpus=1)
    assert choose_device() == choose_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend(monkeypatch, gpus=2)
    assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("cuda:7", 1)])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, gpus: int) -> None:
    pretend(monkeypatch, gpus)
    with pytest.raises(ConfigError, match=f"device `{name}` is not there: torch sees {gpus} CUDA devices; use auto"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:-1", "cuda:x", "CPU"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device `{name}` is unknown; use auto, cpu, cuda or cuda:N"):
        choose_device(name)


@pytest.mark.parametrize("name", ["meta", "mps", "xla"])
def test_other_kinds_of_device_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device `{name}` is not supported; use auto, cpu, cuda or cuda:N"):
        choose_device(name)


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_from_ampere_on_are_fast_in_bf16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], fast: bool
) -> None:
    pretend(monkeypatch, 1, capability)
    assert has_fast_bf16(torch.device("cuda")) is fast


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [({}, False), ({"avx512": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_cpus_with_bf16_instructions_are_fast_in_bf16(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_fast_bf16(torch.device("cpu")) is fast


def test_an_older_torch_that_cannot_tell_takes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert has_fast_bf16(torch.device("cpu")) is False


def test_this_machine_can_be_asked() -> None:
    assert has_fast_bf16(choose_device("cpu")) in (True, False)


@pytest.mark.parametrize(
    ("name", "capability", "dtype"),
    [
        ("auto", (7, 5), torch.float32),
        ("auto", (8, 0), torch.bfloat16),
        ("fp32", (9, 0), torch.float32),
        ("bf16", (8, 0), torch.bfloat16),
    ],
)
def test_a_gpus_number_format(
    monkeypatch: pytest.MonkeyPatch,
    name: Literal["auto", "fp32", "bf16"],
    capability: tuple[int, int],
    dtype: torch.dtype,
) -> None:
    pretend(monkeypatch, 1, capability)
    assert choose_precision(name, torch.device("cuda")) == dtype


def test_a_gpu_without_bf16_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 1, (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(ConfigError, match=r"`bf16` is not for Tesla T4.*8\.0 or more; use `precision: fp32` or `auto`"):
        choose_precision("bf16", torch.device("cuda"))


@pytest.mark.parametrize("fast", [True, False])
def test_a_cpus_number_format(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast})
    found = [choose_precision(name, torch.device("cpu")) for name in ("auto", "fp32", "bf16")]
    # Slow is not wrong: who asks for it by name gets it.
    assert found == [torch.bfloat16 if fast else torch.float32, torch.float32, torch.bfloat16]
