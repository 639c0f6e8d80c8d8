"""How the likelihood of a noisy state is modelled.

With D = E[x_0 | x] and G = ∂A/∂x_0 there, y given x has the mean A(D) and the covariance G V Gᵀ + Σ, where V = Cov[x_0 | x] =
level² ∂D/∂x. The methods differ in what they put for V. Noise is white here: Σ = I.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..denoisers import Gaussian as GaussianLaw
from ..tensors import expand
from .measured import LinearizedMeasurement, StandardizedMeasurement
from .solve import Apply, columns, direct, solved

__all__ = [
    "DPS",
    "TMPD",
    "AnnealedLikelihood",
    "GaussianApproximation",
    "Method",
    "MomentMatching",
    "NoisyState",
    "PiGDM",
]


@dataclass(frozen=True, eq=False)
class NoisyState:
    """A noisy state, and what a denoiser says of it.

    Arguments:
        x: The state, of shape `(B, *D)`, a leaf of the graph.
        level: The noise level, which broadcasts against it.
        mean: D(x, level), with its graph.
        measured: The measurement.
        learn: Whether gradients flow on through what is computed of it.
        moments: Gaussian data of the same moments, if the derivative of the denoiser is not to be believed at all levels.
        reach: The level at which it is believed by half.
    """

    x: Tensor
    level: Tensor
    mean: Tensor
    measured: StandardizedMeasurement
    learn: bool = False
    moments: GaussianLaw | None = None
    reach: float = 3.0

    @property
    def line(self) -> LinearizedMeasurement:
        """The measurement near the mean."""
        return self.measured.line(self.mean, self.learn)

    def spread(self, w: Tensor) -> Tensor:
        """V w = level² (∂D/∂x)ᵀ w, `(B, *D)` to `(B, *D)`.

        A network knows D to some part of the data's spread, and with it V to that part times the level: at high levels it does
        not know V at all, where that is nearly the covariance of the data. So V passes to what it is for Gaussian data of
        the same moments, if those are given.
        """
        turned = torch.autograd.grad(self.mean, self.x, w.to(self.mean), retain_graph=True, create_graph=self.learn)[0]
        known = self.level**2 * turned
        if self.moments is None:
            return known
        part = 1 / (1 + (self.level / self.reach) ** 2)
        law = self.moments
        return part * known + (1 - part) * self.level**2 * (law(law.mean + w, self.level) - law.mean)


class LikelihoodShift(NamedTuple):
    """How far a measurement moves the mean, `(B, *D)`, and the log-likelihood of the state, `(B,)`."""

    shift: Tensor
    log_prob: Tensor


class Method(abc.ABC):
    """A model of log p(y | x) for noisy states x. To add one, write `shift`."""

    @abc.abstractmethod
    def shift(self, state: NoisyState) -> Tensor:
        """level² ∇ log p(y | x), of shape `(B, *D)`: how far the measurement moves the mean."""


def _check(method: Method, iterations: int, tolerance: float) -> None:
    if iterations < 1 or not 0 <= tolerance < 1:
        got = f"iterations={iterations}, tolerance={tolerance:g}"
        raise ValueError(f"{type(method).__name__} needs iterations >= 1 and 0 <= tolerance < 1, got {got}")


@dataclass(frozen=True)
class GaussianApproximation(Method):
    """A model log p(y | x) = log N(y; A(D), G V Gᵀ + Σ), whose covariance is held fixed in the gradient.

    Measurements of at most `iterations` numbers are solved for exactly, longer ones by conjugate gradients, for each sample by
    itself. To add a method, write `products`.

    Arguments:
        iterations: How many iterations at most.
        tolerance: The residual at which they stop, over that at their beginning.
    """

    iterations: int = 8
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        _check(self, self.iterations, self.tolerance)

    @abc.abstractmethod
    def products(self, state: NoisyState, line: LinearizedMeasurement) -> Apply:
        """v ↦ G V Gᵀ v, `(B, m)` to `(B, m)`."""

    def shift(self, state: NoisyState) -> Tensor:
        line = state.line
        v = solved(self.products(state, line), line.residual, self.iterations, self.tolerance)
        return state.spread(line.pull(v))

    def weighed(self, state: NoisyState) -> LikelihoodShift:
        """The shift with the value of the log-likelihood, by one product for each number that was measured."""
        line = state.line
        v, log_det = direct(columns(self.products(state, line), line.residual), line.residual)
        return LikelihoodShift(state.spread(line.pull(v)), line.log_normal(v, log_det))


@dataclass(frozen=True)
class MomentMatching(GaussianApproximation):
    """V = level² ∂D/∂x, the covariance itself (MMPS; Rozet et al., 2024). The default.

    Exact for Gaussian data and linear A; for other data the best Gaussian there is, which between modes is no good one: it
    weighs modes wrongly. For other A the linearization at D (Gauss-Newton). One evaluation with its derivative, and one
    more product with the derivative for each iteration.
    """

    def products(self, state: NoisyState, line: LinearizedMeasurement) -> Apply:
        return lambda v: line.push(state.spread(line.pull(v)))


@dataclass(frozen=True)
class PiGDM(GaussianApproximation):
    """V = r² I with r² = level² / (1 + level²), as if data were standard normal (ΠGDM; Song et al., 2023).

    Exact for such data alone. One evaluation with its derivative, whatever is measured.
    """

    def products(self, state: NoisyState, line: LinearizedMeasurement) -> Apply:
        variance = state.level**2 / (1 + state.level**2)
        return lambda v: line.push(variance * line.pull(v))


@dataclass(frozen=True)
class TMPD(GaussianApproximation):
    """G V Gᵀ replaced by the diagonal of its row sums (TMPD; Boys et al., 2024).

    Exact for Gaussian data if G V Gᵀ is diagonal. One evaluation with its derivative, and one more product.
    """

    def products(self, state: NoisyState, line: LinearizedMeasurement) -> Apply:
        sums = line.push(state.spread(line.pull(torch.ones_like(line.residual)))).clamp_min(0)
        return lambda v: sums * v


@dataclass(frozen=True)
class DPS(Method):
    """A gradient of fixed length, D - ζ √m ∇‖y - A(D)‖ for m measured numbers (DPS; Chung et al., 2023).

    Norms are each sample's own, and what the gradient is before it goes through ∂D/∂x is scaled to unit length, so that no
    units matter; for masks that is the published ∇‖y - A(D)‖. There a step of size ζ' is made after each of n steps: here
    ζ = n ζ' / (2 √m log(level_max / level_min)), about 0.1 for ζ' = 1, n = 1,000 and colour images of 256 x 256. Never exact,
    not for Gaussian data either: its spread is that of no posterior, and errs with ζ. For black boxes, where one plausible
    picture is wanted. One evaluation with its derivative.

    Arguments:
        zeta: ζ, in standard deviations of the data for each e-fold of the level.
    """

    zeta: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.zeta < math.inf:
            raise ValueError(f"DPS needs zeta > 0, got zeta={self.zeta:g}")

    def shift(self, state: NoisyState) -> Tensor:
        line = state.line
        slope = line.pull(line.residual)
        length = expand(slope.flatten(1).norm(dim=1), slope).clamp_min(1e-12)
        return self.zeta * math.sqrt(line.residual.shape[1]) / state.level**2 * state.spread(slope / length)


@dataclass(frozen=True)
class AnnealedLikelihood(Method):
    """The likelihood of the state itself, N(y; A(x), level² G Gᵀ + Σ), without the network (Jalal et al., 2021).

    As if x were all that is known of x_0: right where the level is small beside the data, and wrong above. It is meant for
    annealed Langevin dynamics, which forgets what happened at high levels. No derivative of the network.

    Arguments:
        iterations: How many iterations at most, as in the others.
        tolerance: The residual at which they stop, over that at their beginning.
    """

    iterations: int = 8
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        _check(self, self.iterations, self.tolerance)

    def shift(self, state: NoisyState) -> Tensor:
        line = state.measured.line(state.x, state.learn)
        variance = state.level**2
        v = solved(lambda v: line.push(variance * line.pull(v)), line.residual, self.iterations, self.tolerance)
        return variance * line.pull(v)
