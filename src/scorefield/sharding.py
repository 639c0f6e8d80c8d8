"""Networks and checkpoints that are divided over processes: all that is asked of PyTorch's FSDP2 and distributed checkpoints.

Each process keeps some rows of every parameter. A part of a network gathers its parameters when it computes, and lets go of
them. Checkpoints are `.safetensors` files, one from each process, with where each piece belongs in their headers: any number of
processes reads them, and nothing of them is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .distributed import ProcessLostError, connected, exchanged, size, stacked

__all__ = ["divided", "forget", "local", "placed", "read_pieces", "rows_of", "whole", "write_pieces"]

_LEAST = 2**20  # parameters of a part that is gathered by itself, or a 16th of all
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)


class _Sum:
    """Adds up the gradients of all processes in their order, after those of earlier parts of a step; each keeps its rows.

    It stands where FSDP2 would call its own reduction, whose order depends on the number of processes. As much travels.
    """

    def __init__(self) -> None:
        self.before: Tensor | None = None

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, op: Any, async_op: bool = False
    ) -> None:
        if self.before is not None and self.before.shape != output_tensor.shape:
            raise RuntimeError(
                "other parameters get gradients in one part of a step than in another: fit without shard"
            )
        pieces = exchanged(input_tensor.view(size(), -1))
        output_tensor.copy_(pieces[0] if self.before is None else self.before + pieces[0])
        for piece in pieces[1:]:
            output_tensor.add_(piece)
        self.before = output_tensor


def divided(networks: Sequence[nn.Module]) -> Callable[[], None]:
    """Divides the parameters of networks over the processes, in place.

    Arguments:
        networks: Modules that are called with data, and hold all parameters.

    Returns:
        To be called before each step: then a step begins with no gradient. The gradients of the parts of a step are added up.

    Raises:
        RuntimeError: If the version of PyTorch cannot do it.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if not hasattr(FSDPModule, "set_custom_reduce_scatter"):
        raise RuntimeError(
            f"PyTorch {torch.__version__} cannot divide a network as is needed here: update it, or fit without shard"
        )
    sums = []
    for network in networks:
        least = min(_LEAST, sum(p.numel() for p in network.parameters()) // 16)
        for part in [*_parts(network, least), network]:
            fully_shard(part, reshard_after_forward=True)
            sums.append(_Sum())
            part.set_custom_reduce_scatter(sums[-1])  # type: ignore[operator]

    def begin() -> None:
        for each in sums:
            each.before = None

    return begin


def _parts(module: nn.Module, least: int) -> Iterator[nn.Module]:
    """The inner modules that are called by themselves and hold many parameters which no part in them holds; inner ones first.

    A caller divides each before the next is asked for.
    """
    for child in module.children():
        yield from _parts(child, least)
        called = isinstance(module, _CONTAINERS) and not isinstance(child, nn.ModuleList | nn.ModuleDict)
        if called and 0 < sum(p.numel() for p in child.parameters() if not _is_divided(p)) >= least:
            yield child


def _is_divided(p: Tensor) -> bool:
    return hasattr(p, "device_mesh")


@torch.no_grad()
def local(p: Any) -> Tensor:
    """The rows of a divided parameter, or of its gradient, that this process keeps: a view."""
    found: Tensor = p.to_local()
    return found.detach()


def placed(piece: Tensor, shape: Sequence[int], mesh: Any) -> Tensor:
    """The rows that this process keeps of a tensor of some shape, as a part of that tensor (a DTensor)."""
    from torch.distributed.tensor import DTensor, Shard

    stride = torch.empty(tuple(shape), device="meta").stride()
    return DTensor.from_local(piece, mesh, [Shard(0)], run_check=False, shape=torch.Size(shape), stride=stride)


def whole(piece: Tensor, shape: Sequence[int]) -> Tensor:
    """All of a tensor of some shape, in each process, from the rows that each keeps."""
    rows = piece.new_zeros(rows_of(shape[0], 0)[1], *shape[1:])
    rows[: len(piece)] = piece
    return stacked(rows).view(-1, *shape[1:])[: shape[0]]  # not by PyTorch, which would not forget the processes


def rows_of(count: int, process: int) -> tuple[int, int]:
    """The first and the last but one of `count` rows that a process keeps: equal numbers, of which the last ones get less."""
    each = -(-count // size())
    return min(count, process * each), min(count, (process + 1) * each)


def forget() -> None:
    """Lets go of the processes: PyTorch remembers with whom it has divided tensors."""
    with contextlib.suppress(ImportError, AttributeError):
        from torch.distributed.tensor.debug import _clear_sharding_prop_cache

        _clear_sharding_prop_cache()  # type: ignore[no-untyped-call]


def write_pieces(folder: Path, pieces: Mapping[str, Tensor]) -> None:
    """Writes tensors, of which each process may hold a part, into an empty folder; all processes call it.

    Raises:
        OSError: In all processes, if the folder cannot be written.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(os.fspath(folder), save_distributed=True)
    with _failing(folder):
        save(dict(pieces), storage_writer=writer, no_dist=not dist.is_initialized())


def read_pieces(folder: Path, pieces: Mapping[str, Tensor]) -> None:
    """Reads what any number of processes wrote, in place: each process its parts; all processes call it.

    Raises:
        ValueError: In all processes, if the folder holds other tensors.
        OSError: In all processes, if the folder cannot be read.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(os.fspath(folder))
    with _failing(folder):
        load(dict(pieces), storage_reader=reader, no_dist=not dist.is_initialized())


@contextlib.contextmanager
def _failing(folder: Path) -> Iterator[None]:
    """What goes wrong in a checkpoint, in any process, as an error of this one."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        with warnings.catch_warnings(), connected():
            warnings.simplefilter("ignore")  # that one process alone writes
            yield
    except CheckpointException as error:
        process, (cause, _) = min(error.failures.items(), key=lambda item: item[0])
        if isinstance(cause, RuntimeError):
            _check_connection(cause)
        what = f"{folder} could not be written or read by process {process} ({' '.join(str(cause).split())[:200]})"
        raise (OSError(what) if isinstance(cause, OSError) else ValueError(what)) from cause


def _check_connection(error: RuntimeError) -> None:
    """Raises a `ProcessLostError` if an error says that another process is gone."""
    try:
        with connected():
            raise error
    except ProcessLostError:
        raise
    except RuntimeError:
        pass
