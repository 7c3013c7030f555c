"""Several processes that share each step's batch: how they meet, agree, and compute what one of them alone would.

Weights are whole in every process (`ddp`; Li et al. 2020, "PyTorch Distributed") or shared out (`fsdp`; `sharding`).
"""

import inspect
import itertools
import json
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any, ClassVar, cast

import torch
import torch.distributed as dist
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.distributed import GradBucket, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # not in __all__
from torch.nn.parallel import DistributedDataParallel

from attento import __version__
from attento.cores import available_cores
from attento.data.batches import TrainingBatch
from attento.errors import AttentoError, ConfigError, TrainingError
from attento.training.config import RecipeConfig, flatten
from attento.training.parallel.alone import COMMAND, Alone, Made
from attento.training.parallel.watch import Watch
from attento.training.process import is_out_of_memory
from attento.training.update.objective import Objective
from attento.training.update.precision import MasterWeights

# Never: the watch, which can tell whose fault it is, keeps the time.
_NO_TIMEOUT = timedelta(days=365)
_joined = itertools.count()


class Ranks(Alone):
    """One of several processes that `torchrun` started; a context manager, entered before any of its methods is used.

    All processes call the same methods in the same order.
    """

    _ended: ClassVar[dist.ProcessGroup | None] = None

    def __init__(self, config: RecipeConfig, environment: Mapping[str, str]) -> None:
        """Find out which process this is, and take a device.

        Raises:
            ConfigError: the environment or the device does not fit.
        """
        self._environment = environment
        self.rank, self.size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
        self._local_rank = _number(environment, "LOCAL_RANK")
        self._local_size = _number(environment, "LOCAL_WORLD_SIZE")
        self._meeting = environment.get("MASTER_ADDR", "localhost"), _number(environment, "MASTER_PORT")
        super().__init__(config.training)
        self._settings = dict(flatten(config.model_dump(mode="json")))
        if self.config.parallel == "fsdp" and torch.__version__ < "2.7":
            raise ConfigError(f"`training.parallel: fsdp` needs torch 2.7 or newer, and this is {torch.__version__}")
        self._take_device()
        self.host = socket.gethostname()
        self._lap = next(_joined)
        self._handler: Any = None

    def _take_device(self) -> None:
        if self.device.type == "cpu":
            # What torchrun says for several processes if the user does not; too little where there are more cores.
            if self._local_size > 1 and self._environment.get("OMP_NUM_THREADS") == "1":
                torch.set_num_threads(max(1, available_cores() // self._local_size))
            return
        if self.config.device not in ("auto", "cuda"):
            raise ConfigError(
                f"`training.device: {self.config.device}` is one device for {self.size} processes; set it to `cuda`, "
                "and each takes its own"
            )
        found = torch.cuda.device_count()
        if self._local_size > found:
            raise ConfigError(
                f"there are {self._local_size} processes on {socket.gethostname()}, but torch sees {found} CUDA "
                f"devices there; start torchrun with --nproc-per-node {found}"
            )
        self.device = torch.device("cuda", self._local_rank)
        torch.cuda.set_device(self.device)

    def __enter__(self) -> "Ranks":
        """Meet the others.

        Raises:
            ConfigError: the settings are not the same in all processes.
            TrainingError: a process does not come.
        """
        self._store = self._connect()
        self._check_same_settings()
        backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
        store = PrefixStore("group", self._store)
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=_NO_TIMEOUT)
        watched = PrefixStore("watch", self._connect())
        self._watch = Watch(watched, self.rank, self.size, self.config.hang_timeout_s)
        self._watch.start()
        if threading.current_thread() is threading.main_thread():
            # torchrun ends the others when one has died, and sooner than anybody could say which.
            self._handler = signal.signal(signal.SIGTERM, self._terminate)
        return self

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._watch.lose()
        raise SystemExit(128 + number)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if problem is None:
            self.any(False)
            if self._handler is not None:
                signal.signal(signal.SIGTERM, self._handler)
            self._watch.leave()
            # Nobody ends while another still looks for it.
            self._exchange("left", "")
            # What has summed up gradients may be freed last. It would end gloo's threads without letting go of Python's
            # lock, for which they may wait: the group has to outlive it.
            Ranks._ended = dist.group.WORLD
            dist.destroy_process_group()
            return
        if _is_broken_connection(problem):
            self._watch.lose()
        if not self._watch.fail(problem) and isinstance(problem, AttentoError):
            # One process of a host has told it, and the others have nothing to add.
            raise SystemExit(1) from None

    def _connect(self) -> Store:
        timeout = timedelta(seconds=self.config.hang_timeout_s)
        try:
            store = TCPStore(*self._meeting, is_master=False, timeout=timeout)
        except RuntimeError as problem:
            host, port = self._meeting
            raise TrainingError(
                f"rank {self.rank} (host {self.host}) cannot reach {host}:{port}, where torchrun lets the processes "
                f"meet: {problem}"
            ) from problem
        # What is stored stays: neither another run of these processes nor a restart must find it.
        restart = self._environment.get("TORCHELASTIC_RESTART_COUNT", "0")
        return PrefixStore(f"attento/{restart}/{self._lap}", store)

    def _exchange(self, topic: str, text: str) -> list[str]:
        """Give all processes a text and return theirs, by rank.

        Raises:
            TrainingError: a process gives none in time.
        """
        self._store.set(f"{topic}/{self.rank}", text)
        found = []
        for rank in range(self.size):
            try:
                found.append(self._store.get(f"{topic}/{rank}").decode())
            except RuntimeError as problem:
                raise TrainingError(
                    f"rank {self.rank} of {self.size} (host {self.host}) waited for rank {rank} for "
                    f"{self.config.hang_timeout_s} s, in vain; start all processes with the same command"
                ) from problem
        return found

    def _check_same_settings(self) -> None:
        own = {"host": self.host, "attento": __version__, "torch": torch.__version__, **self._settings}
        records = [json.loads(text) for text in self._exchange("settings", json.dumps(own))]
        first = records[0]
        for rank, record in enumerate(records):
            wrong = [name for name in first | record if name != "host" and record.get(name) != first.get(name)]
            if wrong and not self.first:
                # The first one tells it.
                raise SystemExit(2)
            if wrong:
                there, here = (f"{each.get(wrong[0])!r} for rank" for each in (record, first))
                raise ConfigError(
                    f"`{wrong[0]}` is {here} 0 (host {first['host']}) and {there} {rank} (host {record['host']}); "
                    "start all processes with the same command"
                )

    def begin(self, phase: str, step: int, *, unhurried: bool = False) -> None:
        """Note what begins; it may be unhurried where it takes long without harm."""
        self._watch.begin(phase, step, unhurried=unhurried)

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is true in any process."""
        return self._sum(float(flag)) > 0

    def gathered(self, number: float) -> float:
        """Return the sum over all processes to the first one, and zero to the others."""
        total = self._sum(number)
        return total if self.first else 0.0

    def from_first(self, make: Callable[[], Made]) -> Made:
        """Return what the first process makes; the others wait for it."""
        made = [make() if self.first else None]
        with self._watch.waiting():
            dist.broadcast_object_list(made, device=torch.device("cpu"))
        return cast(Made, made[0])

    def after_first(self, make: Callable[[], Made]) -> Made:
        """Return what each process makes, the first one before all others."""
        made = make() if self.first else None
        self.any(False)
        return cast(Made, made) if self.first else make()

    def shares(self, batch: TrainingBatch, parts: int) -> list[TrainingBatch | None]:
        """Return this process's rows in parts; with fewer rows than others have, the last parts are None.

        Rows of a batch are of nearly the same length, so as many rows are as many tokens, but for a few.
        """
        groups = batch.split(self.size)
        own: list[TrainingBatch | None] = [*groups[self.rank].split(parts)] if self.rank < len(groups) else []
        most_rows = -(-batch.num_rows // self.size)
        return own + [None] * (min(parts, most_rows) - len(own))

    def spread(self, objective: Objective[Any, Any], dtype: torch.dtype) -> MasterWeights:
        """Make ready to compute `loss` in a number format; return the weights that an optimizer is to change."""
        if self.config.parallel == "fsdp":
            # Here: it takes a second or two to import.
            from attento.training.parallel.sharding import ShardedWeights, shard

            self._module = _AllTakePart(objective)
            shard(self._module, self.device, self.size, dtype)
            return ShardedWeights(objective.model, dtype)
        weights = MasterWeights(objective.model, dtype)
        module = DistributedDataParallel(_AllTakePart(objective), gradient_as_bucket_view=True, **_no_buffers())
        if dtype != torch.float32:
            module.register_comm_hook(self.size, _average_in_float32)
        self._module = module
        return weights

    def loss(self, batch: TrainingBatch | None) -> Float[Tensor, ""]:
        """Compute the summed loss of this process's rows; nothing but zero where there are none.

        Raises:
            RuntimeError: also out of memory, and then in all processes.
        """
        try:
            loss: Tensor | None = self._module(batch)
        except (MemoryError, RuntimeError) as problem:
            if not is_out_of_memory(problem):
                raise
            loss = None
        if self.any(loss is None) or loss is None:
            raise torch.OutOfMemoryError("out of memory in one of the processes")
        return loss

    def backward(self, loss: Float[Tensor, ""]) -> None:
        """Add to each parameter's gradient that of the sum of all processes' losses.

        Raises:
            TrainingError: memory ran out; the others are amid exchanging gradients, and nothing can be repeated.
        """
        try:
            # Gradients are averaged.
            (loss * self.size).backward()  # type: ignore[no-untyped-call]
        except (MemoryError, RuntimeError) as problem:
            if not is_out_of_memory(problem):
                raise
            raise TrainingError(
                f"rank {self.rank} (host {self.host}) ran out of the memory of {self.device} amid the backward pass; "
                f"set `training.accumulation` to {2 * self.config.accumulation} or more, and run the same command again"
            ) from problem

    def random_state(self) -> dict[str, UInt8[Tensor, " _"]]:
        """Return the states of all processes' random streams."""
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda:0"] = torch.cuda.get_rng_state(self.device)
        states: list[Any] = [None] * self.size
        with self._watch.waiting():
            dist.all_gather_object(states, state)
        return {_prefix(rank) + name: tensor for rank, own in enumerate(states) for name, tensor in own.items()}

    def _sum(self, number: float) -> float:
        total = torch.tensor(number, dtype=torch.float64)
        with self._watch.waiting():
            # On the CPU: what a GPU still has to do need not be waited for.
            dist.all_reduce(total)
        return total.item()

    def _own_state(self, state: Mapping[str, UInt8[Tensor, " _"]]) -> Mapping[str, UInt8[Tensor, " _"]]:
        own = {"cpu": state[_prefix(self.rank) + "cpu"]}
        if (on_device := state.get(_prefix(self.rank) + "cuda:0")) is not None:
            own[f"cuda:{self._local_rank}"] = on_device
        return own


class _AllTakePart(nn.Module):
    """An objective in which every process has a part, also one that has no rows."""

    def __init__(self, objective: Objective[Any, Any]) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, batch: TrainingBatch | None) -> Float[Tensor, ""]:
        if batch is not None:
            loss: Tensor = self.objective(batch)
            return loss
        return torch.stack([(parameter * 0).sum() for parameter in self.parameters()]).sum().float()


def _prefix(rank: int) -> str:
    # The first one's as if it were alone: whoever goes on alone from one process needs to know of no others.
    return f"rank{rank}/" if rank else ""


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError):
        raise ConfigError(
            f"{name} is {environment.get(name)!r} in the environment, but should be a number; several processes are "
            f"started by `{COMMAND}`"
        ) from None


def _no_buffers() -> dict[str, Any]:
    """Return what keeps DDP from exchanging buffers: they are tables, or averages that each process has of its own."""
    # The newer name came with torch 2.13, which warns of the older one.
    newer = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    return {"forward_sync_buffers" if newer else "broadcast_buffers": False}


def _average_in_float32(size: int, bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Average gradients, finer than their own number format: a sum of many would lose what it was made of."""
    own = bucket.buffer()
    total = own.float() / size
    summed = dist.all_reduce(total, async_op=True).get_future()
    averaged: torch.futures.Future[Tensor] = summed.then(lambda _: own.copy_(total))
    return averaged


def _is_broken_connection(problem: BaseException | None) -> bool:
    return isinstance(problem, dist.DistError) or (isinstance(problem, RuntimeError) and "gloo" in str(problem))
