"""Samples that several processes draw for an evaluation, and all of them get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..distributed import ProcessLostError, each, gathered, rank, size
from ..model import Model
from ..samplers import SamplingLike

__all__ = ["as_observed", "drawn"]


def as_observed(model: Model) -> Model:
    """The model whose samples miss values as the data do, if those of a model have draws in place of them.

    Held-out rows do not say what they miss, and rows of them that miss nothing may have another distribution.
    """
    return model.replace(schema=replace(model.schema, complete=False)) if model.schema.complete else model


def drawn(
    model: Model, count: int, seed: int, sampling: SamplingLike = None, cost: Callable[[], int] = lambda: 0
) -> tuple[Tensor, int]:
    """The samples of `model.batches`, one after another: each process draws some of the batches.

    On a CPU the bits are those of one process. All processes must ask for the same. Values are missing as in the data, also
    where the model fills them: what is compared with real rows is `as_observed`.

    Arguments:
        model: What draws.
        count, seed, sampling: As for `model.batches`.
        cost: What drawing has cost this process so far.

    Returns:
        The samples, `(count, *D)`, in the units of the data; and what they have cost all processes.

    Raises:
        RuntimeError: In all processes, if drawing fails in one: what the first batch that failed said.
    """
    model = as_observed(model)
    if size() == 1:
        before = cost()
        return torch.cat(list(model.batches(count, seed, sampling))), cost() - before
    batch = min(model.batch_size(sampling), model.batch_size(sampling, -(-count // size())))
    numbers = range(-(-count // batch))
    mine = numbers[rank() :: size()] if len(numbers) >= size() else numbers
    found, costs, failed = dict[int, Tensor](), dict[str, int](), list[Any]()
    for i in mine:
        before = cost()
        try:
            found[i] = next(model.batches(count, seed, sampling, batch=batch, chosen=[i]))
        except ProcessLostError:
            raise
        except RuntimeError as error:
            failed = [i, str(error)]
            break
        costs[str(i)] = cost() - before
    known = gathered([failed, costs])
    if any(why for why, _ in known):
        raise RuntimeError(min(why for why, _ in known if why)[1])
    whole = torch.cat(each(found.__getitem__, numbers))
    return whole, sum({i: value for _, costs in known for i, value in costs.items()}.values())
