"""Rows of a table that miss nothing: what a drawn row misses is drawn given the rest of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .conditions import Condition, KnownValues, Stage, apply_conditions
from .diffusion import Diffusion
from .rng import Device, Dtype, Rng, SampleBlock, Shape
from .samplers import Sampling, sample

__all__ = ["complete_rows"]


def complete_rows(
    x: Tensor,
    block: SampleBlock,
    stage: Stage,
    conditions: Sequence[Condition],
    sampling: Sampling,
    denoise: bool = True,
) -> Tensor:
    """Rows that were drawn as the data miss values, with draws for what they miss.

    Missing values of a row are drawn jointly, given all others of it and as if no value could be missing. Where values are
    missing at random, given columns that never miss, such rows have the distribution of rows that miss nothing. With a
    context, these draws are not guided.

    Arguments:
        x: The rows of a block, `(B, C)`, in the units of the data; NaN where a value is missing.
        block: Their numbers and their source.
        stage: The learned denoiser and the units, before any condition is applied.
        conditions: What the rows were conditioned on.
        sampling: How they were drawn, and missing values are: all of it, with the process.
        denoise: Whether the noise of the smallest level is removed at the end.

    Returns:
        The rows, with known values as they are known.
    """
    before, units = KnownValues.among(conditions), stage.units
    left_out = None if before is None else before.left_out
    if before is not None:
        rows = block.numbers.to(x.device) % len(before.x)
        x = units.with_known(x, before.x.to(x)[rows], before.known.to(x.device)[rows])
    gaps = x.isnan() if left_out is None else x.isnan() & ~left_out.to(x.device)
    rows = gaps.any(1).nonzero()[:, 0]
    if not len(rows):
        return x
    known = KnownValues(x[rows], ~x[rows].isnan(), complete=True, left_out=left_out).to(x.device)
    first = [each for each in conditions if each.order < known.order]
    rest = [each for each in conditions if each.order >= known.order and each is not before]
    some = apply_conditions(stage, first)[0].unguided().samples(block.numbers[rows.cpu()])
    part = Diffusion(sampling.parts()[1], *apply_conditions(replace(stage, denoiser=some), (known, *rest)))
    rng = _Rows(block.rng.child("missing values"), rows.cpu(), len(x))
    drawn = sample(part, (len(rows), *units.state_shape), sampling, rng, denoise, device=x.device)
    return x.index_copy(0, rows, torch.where(gaps[rows], units.inverse(drawn).to(x), x[rows]))


class _Rows(Rng):
    """The random numbers of some samples of a source.

    Arguments:
        source: The source.
        rows: Which of its samples, `(B,)`.
        count: How many samples it has.
    """

    def __init__(self, source: Rng, rows: Tensor, count: int) -> None:
        self.source, self.rows, self.count = source, rows, count

    def normal(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self._chosen(self.source.normal((self.count, *shape[1:]), dtype, device))

    def uniform(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self._chosen(self.source.uniform((self.count, *shape[1:]), dtype, device))

    def stratified(self, count: int, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self._chosen(self.source.stratified(self.count, dtype, device))

    def child(self, purpose: str) -> Rng:
        return _Rows(self.source.child(purpose), self.rows, self.count)

    def _chosen(self, drawn: Tensor) -> Tensor:
        return drawn.index_select(0, self.rows.to(drawn.device))
