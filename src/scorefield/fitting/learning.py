"""From a plan to a model."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from ..denoisers import (
    ConditionalMixed,
    ConditionalPreconditioned,
    DenoiserModule,
    MixedDenoiser,
    Preconditioned,
)
from ..denoisers.precondition import Precision
from ..distributed import size
from ..rng import torch_seeded
from ..training import Accelerated, Announcer, Batches, Feed, Mirrored, Progress, Trainer
from .fitted import KEPT, Fitted, finish
from .planning import Plan

__all__ = ["threads", "train", "trainer_of"]


def train(plan: Plan, watch: Callable[[Progress], None] | None = None) -> Fitted:
    """Trains as planned.

    Arguments:
        plan: The plan.
        watch: Is called after every step.

    Raises:
        RuntimeError: If a loss or a gradient becomes non-finite (NaN or inf).

    Example:
        >>> from ..settings import Training
        >>> from . import Options, plan, prepare
        >>> options = Options(training=Training(steps=20))
        >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> train(plan(prepare(x, options), options)).model.sample(3).shape
        torch.Size([3, 2])
    """
    with threads(plan):
        trainer, announce = trainer_of(plan), Announcer()
        for progress in trainer.run():
            announce(progress)
            if watch is not None:
                watch(progress)
        return finish(plan, trainer)


def trainer_of(plan: Plan) -> Trainer:
    """The training that a plan asks for, before its first step. A network of the user's own is trained in place."""
    prepared, device, given = plan.prepared, plan.device, plan.prepared.context
    units, batch = copy.deepcopy(prepared.units).to(device), plan.training.batch or 1
    cells = None if prepared.cells is None else prepared.cell_width
    contexts = None if given is None else given.train
    batches: Batches = Feed(
        prepared.split.train, units, batch, prepared.seed, device, contexts, cells, plan.overlapping
    )
    if prepared.mirror:
        batches = Mirrored(batches, prepared.mirror, prepared.seed, given is not None and bool(given.context.shape))
    places = prepared.chosen(prepared.split.held_out, KEPT, stream=-3)
    held_out = prepared.states(prepared.split.held_out, places, "held-out cell").to(device)
    context = None if given is None else given.held_out[places].to(device)
    sets = 1 if given is None else given.context.sets
    measured = (held_out, plan.objective, plan.training, prepared.seed, context, sets)
    return Trainer(_denoiser(plan), batches, *measured)


def _denoiser(plan: Plan) -> DenoiserModule:
    """The denoiser to be trained, or the conditional one, on the device."""
    network = plan.network if plan.choice("network").given else copy.deepcopy(plan.network)
    precision: Precision = "bfloat16" if plan.training.precision == "bfloat16" else "float32"
    how = plan.training
    if how.compile or how.channels_last:
        chosen = any(choice.name == "compile" for choice in plan.choices)
        network = Accelerated(network, bool(how.compile), bool(how.channels_last), optional=chosen)
    denoiser = _around(network, plan, precision)
    with torch_seeded(plan.prepared.seed):  # what else an objective learns has first weights, too
        denoiser = plan.objective.wrap(denoiser)
    return denoiser if plan.training.shard and size() > 1 else denoiser.to(plan.device)  # divided on the way there


def _around(network: nn.Module, plan: Plan, precision: Precision) -> DenoiserModule:
    """The denoiser made of a network: of numbers or of mixed states, with or without a context."""
    given, variables = plan.prepared.context, plan.prepared.units.variables
    how = (plan.parametrization, precision)
    questions = (plan.prepared.share, plan.prepared.asked)
    around: dict[str, Any] = {"whitening": plan.whitening}
    if plan.corrected is not None:
        around |= {"baseline": plan.corrected, "crossing": plan.crossing}
    if given is None:
        if variables is not None:
            return MixedDenoiser(network, variables, *how, *questions, plan.whitening, plan.prepared.frequencies)
        return Preconditioned(network, *how, **around)
    learned = (given.context.row_shape, plan.training.unconditional > 0)
    if variables is not None:
        of_data = plan.whitening, plan.prepared.frequencies
        return ConditionalMixed(network, variables, *learned, *how, *questions, *of_data)
    return ConditionalPreconditioned(network, *learned, *how, given.trend, **around)


@contextlib.contextmanager
def threads(plan: Plan) -> Iterator[None]:
    """As many threads as were asked for, or are useful: one for small networks on the CPU, which more slow down."""
    before, count = torch.get_num_threads(), plan.training.threads
    width = max((p.shape[0] for p in plan.network.parameters() if p.ndim), default=1)
    if count is None and plan.prepared.vectors and width * (plan.training.batch or 1) < 2**19:
        count = 1
    if plan.device.type == "cpu" and count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
