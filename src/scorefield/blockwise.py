"""Samples in blocks: the bits of a sample depend on nothing but the samples of its block.

Matrix products of another number of rows take other kernels, in which sums are added in another order; so do sums that are
shared among threads, and the ends of arrays take scalar arithmetic in the place of that of vectors. So a sample has the same
bits only where all operations have the same shapes, it is in the same place, and one thread computes it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

import torch
from torch import Tensor

from .progress import mapped, report

__all__ = ["block_rows", "each_in_one_thread", "in_one_thread", "regrouped"]

_Block = TypeVar("_Block")
_Item = TypeVar("_Item")


def block_rows(shape: Sequence[int], states: int = 1) -> int:
    """How many samples of a shape are computed together, whatever the count.

    Enough that a block costs little more than its arithmetic, and few, as one sample costs as much as a block.

    Arguments:
        shape: The shape of a state.
        states: How many states a sampler holds for a sample.

    Example:
        >>> block_rows((3,)), block_rows((1, 8, 8)), block_rows((3, 32, 32)), block_rows((3,), states=16)
        (512, 16, 10, 128)
    """
    rows = 512 if len(shape) == 1 else max(4, min(16, 32_768 // math.prod(shape)))
    return max(4, min(rows, 2048 // states))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_one_thread(values: Iterable[_Item]) -> Iterator[_Item]:
    """The same values, each computed in one thread; the caller's code between them has its threads.

    Example:
        >>> list(in_one_thread(torch.get_num_threads() for _ in range(2)))
        [1, 1]
    """
    steps, end = iter(values), object()
    while True:
        with _one_thread():
            value = next(steps, end)
        if value is end:
            return
        yield cast(_Item, value)


def each_in_one_thread(drawn: Callable[[_Block], Tensor], blocks: Sequence[_Block], at_once: bool) -> list[Tensor]:
    """What `drawn` gives for each block, computed in one thread.

    Arguments:
        drawn: A function of a block.
        blocks: The blocks.
        at_once: Whether as many blocks are computed at a time as PyTorch has threads: it pays where blocks are large.

    Example:
        >>> each_in_one_thread(lambda block: torch.ones(block), [1, 2], at_once=True)
        [tensor([1.]), tensor([1., 1.])]
    """
    workers = min(torch.get_num_threads(), len(blocks)) if at_once else 1
    with _one_thread():  # restores what workers, who share the setting, leave behind
        if workers == 1:
            return [*mapped(drawn, blocks)]
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            done = list[Tensor]()
            for value in pool.map(drawn, blocks):
                done.append(value)
                report(len(done) / len(blocks))
            return done


def regrouped(parts: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in parts of `size`, of which the last may be smaller.

    Example:
        >>> [len(part) for part in regrouped([torch.zeros(4), torch.zeros(3)], 3)]
        [3, 3, 1]
    """
    rest: Tensor | None = None
    for part in parts:
        rest = part if rest is None else torch.cat([rest, part])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if rest is not None and len(rest):
        yield rest
