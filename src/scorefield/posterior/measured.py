"""A measurement of standardized data in the layout of networks, with noise of unit variance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.layout import Layout
from ..data.variables import GIVEN
from ..measurement import Mask, Measurement, WhiteNoise
from ..measurement.noise import GaussianNoise
from ..tensors import expand
from ..units import Units

__all__ = ["LinearizedMeasurement", "MaskedObservation", "StandardizedMeasurement"]

_LOG_TAU = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class StandardizedMeasurement:
    """A measurement of states u of shape `(B, *D)`, whose data are x = outward(std u + mean).

    Arguments:
        measurement: The measurement, in the units and axes of the user.
        layout: The map from the axes of networks to those of the user; without it they are the same.
        units: The units of the data; without them, those of u.
        y: Other values than those of the measurement, for each state, of shape `(B, m)`.
    """

    measurement: Measurement
    layout: Layout | None = None
    units: Units | None = None
    y: Tensor | None = None

    @property
    def linear(self) -> bool:
        """Whether the operator is linear in states: linear in data whose units are affine."""
        return self.measurement.operator.linear and (self.units is None or self.units.affine)

    @property
    def linear_gaussian(self) -> bool:
        """Whether the operator is linear and the noise Gaussian: posteriors of Gaussian data are then known."""
        return self.linear and isinstance(self.measurement.noise, GaussianNoise)

    def outward(self, u: Tensor) -> Tensor:
        """The data of states, as the operator takes them: nothing that was measured misses."""
        x = u if self.units is None else self.units.inverse(self._present(u))
        return x if self.layout is None else self.layout.outward(x)

    def _present(self, u: Tensor) -> Tensor:
        variables = None if self.units is None else self.units.variables
        if variables is None or max(variables.indicators) < 0:
            return u
        says = u.new_full((u.shape[1],), math.nan)
        for start, end in (variables.blocks[v - variables.numbers] for v in {*variables.indicators} - {-1}):
            says[start:end] = torch.eye(end - start, dtype=u.dtype)[0]  # present, and not missing
        return torch.where(says.isnan(), u, says)

    def inward(self, x: Tensor) -> Tensor:
        """The states of data: the inverse of `outward`."""
        x = x if self.layout is None else self.layout.inward(x)
        return x if self.units is None else self.units(x)

    def ideal(self, u: Tensor) -> Tensor:
        """A(x), flattened to `(B, m)`."""
        return self.measurement.operator(self.outward(u)).flatten(1)

    def tangent(self, u: Tensor) -> Tensor:
        """A(x) without what the mean of the units adds, for a linear operator: `(B, *D)` to `(B, m)`."""
        x = u if self.units is None else self.units.step_of_data(u)
        return self.measurement.operator(x if self.layout is None else self.layout.outward(x)).flatten(1)

    def numbers(self, like: Tensor) -> Tensor:
        """y, of shape `(1, m)` or `(B, m)`."""
        y = self.measurement.y.reshape(1, -1) if self.y is None else self.y
        return y.to(like)

    def log_prob(self, u: Tensor) -> Tensor:
        """log p(y | x) in nats and in the units of y, `(B, *D)` to `(B,)`: the likelihood itself."""
        a = self.ideal(u)
        return self.measurement.noise.log_prob(self.numbers(a).expand(a.shape), a)

    def linearize(self, u: Tensor, differentiable: bool = False) -> LinearizedMeasurement:
        """The measurement linearized at states u, which require gradients; `differentiable` if gradients flow on through it."""
        a = self.ideal(u)
        mean = self.measurement.noise.mean(a)
        whitened = self.measurement.noise.whiten(self.numbers(a) - mean, mean)
        return LinearizedMeasurement(self, u, mean, whitened, differentiable)

    def check_finite(self, a: Tensor, u: Tensor) -> None:
        """Whether A, `(B, m)`, is finite at states `(B, *D)`.

        Raises:
            ValueError: If not, with one of the data points.
        """
        bad = (~a.isfinite()).any(1) & u.isfinite().flatten(1).all(1)
        if not bool(bad.any()):
            return
        x = self.outward(u.detach()[bad][:1]).flatten().tolist()
        shown = ", ".join(f"{value:.3g}" for value in x[:6]) + ", …" * (len(x) > 6)
        what = f"{type(self.measurement.operator).__name__} gives NaN or inf for the data point [{shown}]"
        raise ValueError(
            f"{what}, and posteriors pass through such data: write it so that it is finite for all numbers"
        )

    def masked(self, like: Tensor) -> MaskedObservation:
        """The components that a mask shows of states like `like`, of shape `(B, *D)`.

        Raises:
            ValueError: If the operator is not a mask, or the noise is not independent and Gaussian.
        """
        operator, noise = self.measurement.operator, self.measurement.noise
        if not isinstance(operator, Mask) or not isinstance(noise, WhiteNoise):
            got = f"{type(operator).__name__} with {type(noise).__name__}"
            raise ValueError(f"replacing known components needs a Mask with independent noise, got {got}")
        shape = self.outward(like[:1]).shape[1:]
        y = self.numbers(like)
        std = torch.as_tensor(noise.std, dtype=like.dtype, device=like.device).reshape(1, -1).expand(y[:1].shape)
        keep, values, errors = (operator.adjoint(v, shape) for v in (torch.ones_like(y[:1]), y, std))
        if self.layout is not None:
            keep, errors = self.layout.inward(keep), self.layout.inward(errors)
        state, keep = self.inward(values), keep > 0
        if self.units is not None:
            x = self.units.inverse(state)
            keep = (self.units.status(keep, x) == GIVEN).reshape(1, *state.shape[1:])
            errors = self.units.state_errors(x[:1], errors)
        return MaskedObservation(keep, state, errors)


class MaskedObservation(NamedTuple):
    """The components that a mask shows of states u = x_0 + level z, in their units.

    Arguments:
        keep: Which components, of shape `(1, *D)`.
        values: Their values, of shape `(1, *D)` or `(B, *D)`; anything elsewhere.
        std: The standard deviations of their noise, of shape `(1, *D)`.
    """

    keep: Tensor
    values: Tensor
    std: Tensor

    def replaced(self, u: Tensor, level: Tensor, z: Tensor) -> Tensor:
        """States of a level with the measured components replaced, except those noisier than the level."""
        known = self.values + (level**2 - self.std**2).clamp_min(0).sqrt() * z
        return torch.where(self.keep & (self.std <= level), known, u)

    def noised(self, u: Tensor, free: Tensor, low: Tensor, high: Tensor, z: Tensor) -> Tensor:
        """States u of the level `low` taken back to the level `high`: `free` where nothing is measured.

        A measured value is the state at the level of its own noise: above it states are that value with more noise, below it
        they lie on the Brownian bridge, in level², between u and the value.
        """
        gap = (self.std**2 - low**2).clamp_min(1e-30)
        share = (high**2 - low**2) / gap
        bridge = u + share * (self.values - u) + ((high**2 - low**2) * (1 - share)).clamp_min(0).sqrt() * z
        above = self.values + (high**2 - self.std**2).clamp_min(0).sqrt() * z
        return torch.where(self.keep, torch.where(self.std > high, bridge, above), free)


@dataclass(frozen=True, eq=False)
class LinearizedMeasurement:
    """A measurement linearized at states u: y = A(u) + G (x_0 - u) + noise, in coordinates where the noise has unit variance.

    Arguments:
        measured: The measurement.
        u: The states, of shape `(B, *D)`, with their graph.
        mean: E[y | u], of shape `(B, m)`.
        whitened: y - E[y | u] in units of the noise, of shape `(B, m)`, with its graph.
        differentiable: Whether gradients flow on.
    """

    measured: StandardizedMeasurement
    u: Tensor
    mean: Tensor
    whitened: Tensor
    differentiable: bool = False

    @property
    def residual(self) -> Tensor:
        """y - E[y | u] in units of the noise, of shape `(B, m)`."""
        return self.whitened if self.differentiable else self.whitened.detach()

    def pull(self, v: Tensor) -> Tensor:
        """Gᵀ v, `(B, m)` to `(B, *D)`."""
        return -torch.autograd.grad(self.whitened, self.u, v, retain_graph=True, create_graph=self.differentiable)[0]

    def push(self, w: Tensor) -> Tensor:
        """G w, `(B, *D)` to `(B, m)`."""
        noise = self.measured.measurement.noise
        if self.measured.linear:
            return noise.whiten(noise.mean(self.measured.tangent(w.to(self.mean))), self.mean)
        probe = torch.zeros_like(self.whitened).requires_grad_()
        pulled = torch.autograd.grad(self.whitened, self.u, probe, create_graph=True)[0]  # linear in the probe
        return -torch.autograd.grad(pulled, probe, w, retain_graph=True, create_graph=self.differentiable)[0]

    def log_normal(self, solved: Tensor, log_det: Tensor) -> Tensor:
        """log N(y; A(u), L S Lᵀ) for S⁻¹ residual and log det S: `(B,)`."""
        square = (self.residual * solved).sum(1)
        volume = self.measured.measurement.noise.log_volume(self.mean)
        return -(square + log_det + self.residual.shape[1] * _LOG_TAU) / 2 - volume

    def steepness(self, root: Callable[[Tensor], Tensor], rounds: int = 8) -> Tensor:
        """The largest eigenvalue of R Gᵀ G R for symmetric R, for each sample, `(B, 1, …, 1)`: by power iteration, slightly
        too small.
        """
        w = root(self.pull(torch.ones_like(self.residual)))
        for _ in range(rounds):
            unit = w / expand(w.flatten(1).norm(dim=1), w).clamp_min(1e-30)
            w = root(self.pull(self.push(root(unit))))
        return expand(w.flatten(1).norm(dim=1), w)
