"""Several processes that share one computation, started by `torchrun`: all that is asked of PyTorch's engine is asked here.

Process 0 decides, writes and speaks; the others compute their share. In one process every function here does nothing, or
computes on the spot, so that callers need no second path:

    with distributed.joined():              # the command line does it
        scorefield.fit(x, "run", steps=1000)

Plain data travel as JSON, numbers as tensors: nothing is unpickled. A process that has ended closes its connections, so that
the others find out in the next exchange, which raises `ProcessLostError`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from . import __version__

__all__ = [
    "ProcessLostError",
    "barrier",
    "connected",
    "decided",
    "each",
    "exchanged",
    "first",
    "gathered",
    "joined",
    "launched",
    "leave",
    "rank",
    "same",
    "size",
    "speaks",
    "stacked",
    "summed",
    "threads",
]

T = TypeVar("T")
Item = TypeVar("Item")

_TIMEOUT = timedelta(minutes=30)
"""How long an exchange waits for a process that is alive: as long as a read of a large file may take."""

_SAID = "scorefield/said"
_STORES: list[Any] = []
"""The store by which the processes found each other, while they are joined."""


class ProcessLostError(RuntimeError):
    """Raised in an exchange when another process has ended, or does not answer.

    Arguments:
        message: What is known of it.
        explained: Whether process 0 says why.
    """

    def __init__(self, message: str, explained: bool = False) -> None:
        super().__init__(message)
        self.explained = explained


def launched() -> bool:
    """Whether this process is one of a group, of one or more, that share their work."""
    return dist.is_available() and dist.is_initialized()


def size() -> int:
    """The number of processes."""
    return dist.get_world_size() if launched() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if launched() else 0


def first() -> bool:
    """Whether this is process 0, which decides, writes and speaks."""
    return rank() == 0


def threads() -> int:
    """How many threads each process of a group computes with on a CPU: OMP_NUM_THREADS, or one.

    It is the same for one process as for several, as the bits depend on it.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else 1


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Joins the processes that `torchrun` has started, of which each has one GPU of its machine; alone, it does nothing.

    Raises:
        RuntimeError: If the other processes cannot be reached.
        ValueError: If the processes run other versions of scorefield or PyTorch.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in names if name not in os.environ]
    if missing == list(names):
        yield
        return
    if missing:
        raise RuntimeError(f"{', '.join(missing)} are not set, but others are: start the processes with torchrun")
    import torch.distributed.nn.functional  # later, it would hold the group for good: it is the default of its arguments

    local, backend = int(os.environ.get("LOCAL_RANK", "0")), "gloo"
    if torch.cuda.is_available() and local < torch.cuda.device_count():
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, number, count = next(rendezvous("env://", timeout=_TIMEOUT))
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RuntimeError(f"the processes did not find each other at {place} ({_short(error)})") from error
    _STORES.append(store)
    same({"scorefield": __version__, "PyTorch": str(torch.__version__)}, "install the same version on all machines")
    yield
    leave()


def leave() -> None:
    """Leaves the group when all others do, too; each process is then on its own."""
    if launched():
        gc.collect()  # a group that something still holds keeps its threads, which can abort the process as it ends
        barrier()
        dist.destroy_process_group()


def speaks(seconds: float = 0.0, alone: bool = True) -> bool:
    """Whether this process says what has gone wrong: one alone does, the first to ask.

    Arguments:
        seconds: How long others that know more may take to ask.
        alone: What is answered when the others cannot be asked any more.

    Example:
        >>> speaks()
        True
    """
    if not _STORES:
        return True
    until = time.perf_counter() + seconds
    try:
        while time.perf_counter() < until:
            if _STORES[0].add(_SAID, 0):
                return False
            time.sleep(0.05)
        return bool(_STORES[0].add(_SAID, 1) == 1)
    except RuntimeError:  # the process that kept the store is gone
        return alone


def barrier() -> None:
    """Waits for all processes."""
    stacked(torch.zeros(1))


def decided(function: Callable[[], Any]) -> Any:
    """What a function gives in process 0, for all: what is measured, read or written once.

    Arguments:
        function: Gives plain data that JSON can hold. It is called in process 0 alone.

    Raises:
        ProcessLostError: In the other processes, if the function has raised; process 0 raises what the function did.

    Example:
        >>> decided(lambda: [1, 2])
        [1, 2]
    """
    if size() == 1:
        return function()
    if first():
        try:
            content = json.dumps([function()])
        except BaseException:
            _broadcast("[]")
            raise
        return json.loads(_broadcast(content))[0]
    found = json.loads(_broadcast(""))
    if not found:
        raise ProcessLostError(f"process 0 of {size()} has failed", explained=True)
    return found[0]


def gathered(value: Any) -> list[Any]:
    """Plain data of each process, in their order.

    Arguments:
        value: What JSON can hold.

    Example:
        >>> gathered("here")
        ['here']
    """
    if size() == 1:
        return [value]
    content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    lengths = stacked(torch.tensor([len(content)])).flatten().tolist()
    padded = torch.zeros(max(lengths), dtype=torch.uint8)
    padded[: len(content)] = content
    return [json.loads(bytes(row[:n].tolist())) for row, n in zip(stacked(padded), lengths)]


def same(facts: dict[str, str], advice: str) -> None:
    """Raises unless the facts are the same in all processes.

    Arguments:
        facts: What must be the same, by name.
        advice: What to do where they differ.

    Raises:
        ValueError: In process 0, which names what differs and where.
        ProcessLostError: In the other processes.
    """
    if size() == 1:
        return
    found = gathered(facts)
    for number, other in enumerate(found):
        for name, value in found[0].items():
            if other.get(name) != value:
                differ = f"{value} in process 0, {other.get(name)} in process {number}"
                what = f"{name}: not the same in all processes ({differ}): {advice}"
                raise ValueError(what) if first() else ProcessLostError(what, explained=True)


def stacked(x: Tensor) -> Tensor:
    """A tensor of each process, one after another: `(size, *shape)` from `shape`, which is the same in all of them."""
    if size() == 1:
        return x[None]
    found = x.new_empty(size(), *x.shape)
    with _answered():
        dist.all_gather([*found], x.contiguous())
    return found


def exchanged(x: Tensor) -> Tensor:
    """Part r of every process goes to process r: `(size, *shape)`, where row i comes from process i.

    Arguments:
        x: What goes to each process, of shape `(size, *shape)`.
    """
    if size() == 1:
        return x
    found = torch.empty_like(x, memory_format=torch.contiguous_format)
    with _answered():
        dist.all_to_all_single(found, x.contiguous())
    return found


def summed(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, in place, whose bits depend on how many processes there are."""
    if size() > 1:
        with _answered():
            dist.all_reduce(x)
    return x


def each(function: Callable[[Item], Tensor], items: Sequence[Item]) -> list[Tensor]:
    """The values of a function at some items, each computed by one process, and given to all.

    Arguments:
        function: Gives a tensor whose shape is that of others except for its first length, and of one type and device.
        items: The same items in all processes.

    Example:
        >>> each(torch.ones, [1, 2])
        [tensor([1.]), tensor([1., 1.])]
    """
    count = size()
    if count == 1 or len(items) < count:  # too few to be shared
        return [function(item) for item in items]
    mine = [function(items[i]) for i in range(rank(), len(items), count)]
    lengths = gathered([len(x) for x in mine])  # row r: those of items r, r + count, …
    packed = mine[0].new_zeros(max(map(sum, lengths)), *mine[0].shape[1:])
    together = torch.cat(mine)
    packed[: len(together)] = together
    parts = [iter(x[: sum(n)].split(n)) for x, n in zip(stacked(packed), lengths)]
    return [next(parts[i % count]) for i in range(len(items))]


def _broadcast(text: str) -> str:
    """The text of process 0."""
    content = torch.frombuffer(bytearray(text.encode() or b" "), dtype=torch.uint8)
    length = torch.tensor([len(content)])
    with _answered():
        dist.broadcast(length, 0)
        if not first():
            content = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(content, 0)
    return bytes(content.tolist()).decode()


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """A block in which PyTorch exchanges numbers by itself: where that fails, it raises `ProcessLostError`."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, ProcessLostError) or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        with _answered():
            raise


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """An exchange: if it fails, another process is gone."""
    try:
        yield
    except RuntimeError as error:
        what = f"another of the {size()} processes has ended (killed, or out of memory) or does not answer"
        raise ProcessLostError(f"{what}: what was saved is kept, and the same command goes on from there") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
