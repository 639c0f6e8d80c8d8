"""Explicit Runge-Kutta integration of dy/dt = f(t, y), where y is a tuple of tensors.

The first dimension of every tensor runs over samples. `integrate_adaptive` gives each sample its own time, step size and
acceptance: its result does not depend on the batch, and a sample that has reached the end is not evaluated any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from .progress import heard, report
from .tensors import expand

__all__ = [
    "DOPRI5",
    "EULER",
    "HEUN",
    "RK4",
    "Measure",
    "Path",
    "Solution",
    "State",
    "Tableau",
    "integrate",
    "integrate_adaptive",
]

State = tuple[Tensor, ...]
Slope = Callable[..., State]
Measure = Callable[[Tensor, Tensor, State, State, State], Tensor]

_SHRINK, _GROW = 0.2, 10.0  # the step size changes by these factors at most
_SAFETY = 0.9  # a step aims a little below the tolerance
_AIM = 0.4  # of the tolerance, if the caller measures the error
_TINY_STEP = 1e-14  # relative to the time: a smaller step does not change it


@dataclass(frozen=True)
class Tableau:
    """A Butcher tableau of an explicit method.

    Arguments:
        nodes: The times of the stages, as fractions of the step.
        stages: The weights of the earlier slopes in each stage.
        weights: The weights of the slopes in the step.
        order: The order of the method.
        error: The weights of the slopes in the difference from the embedded method, of the next lower order.
        between: The weights of the slopes in the last coefficient of `Path`, which follows the solution within a step.

    Raises:
        ValueError: If the numbers of nodes, stages and weights differ, or the method is not explicit.
    """

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    order: int
    error: tuple[float, ...] | None = None
    between: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.nodes)
        if len(self.stages) != count or len(self.weights) != count or len(self.error or self.weights) != count:
            got = f"got {count} nodes, {len(self.stages)} stages and {len(self.weights)} weights"
            raise ValueError(f"a tableau needs equal numbers of nodes, stages, weights and error weights, {got}")
        if any(len(stage) != i for i, stage in enumerate(self.stages)):
            raise ValueError(f"stage i of an explicit method has i weights, got {[len(s) for s in self.stages]}")

    @property
    def reuses_last(self) -> bool:
        """Whether the last slope of a step is the first one of the next."""
        return len(self.nodes) > 1 and self.nodes[-1] == 1 and (*self.stages[-1], 0) == self.weights


EULER = Tableau((0,), ((),), (1,), 1)
HEUN = Tableau((0, 1), ((), (1,)), (1 / 2, 1 / 2), 2, (-1 / 2, 1 / 2))
RK4 = Tableau((0, 1 / 2, 1 / 2, 1), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4)
DOPRI5 = Tableau(  # Dormand & Prince (1980)
    (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0),
    5,
    (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
    (
        -12715105075 / 11282082432,
        0,
        87487479700 / 32700410799,
        -10690763975 / 1880347072,
        701980252875 / 199316789632,
        -1453857185 / 822651844,
        69997945 / 29380423,
    ),
)


class Solution(NamedTuple):
    """The final state, and the number of evaluations of each sample, of shape `(B,)`."""

    state: State
    evaluations: Tensor


class Path:
    """The first tensor of the state at all times of an adaptive solution, by polynomials of fourth degree within its steps.

    Pass an empty one to `integrate_adaptive` with a tableau that has `between`, such as DOPRI5; times must increase. It
    keeps five numbers for each number of the state and each accepted step.

    References:
        Hairer, Nørsett & Wanner, 1993, Solving Ordinary Differential Equations I, Section II.6.

    Example:
        >>> import math
        >>> path, one = Path(), torch.ones(1, 1, dtype=torch.float64)
        >>> _ = integrate_adaptive(lambda t, y: (-y[0],), (one,), 0.0, 1.0, path=path)
        >>> value = path(torch.tensor([0]), torch.tensor([0.5], dtype=torch.float64))
        >>> bool((value - math.exp(-0.5)).abs() < 1e-5)
        True
    """

    def __init__(self) -> None:
        self._steps: list[State] = []

    def add(self, rows: Tensor, t: Tensor, dt: Tensor, y: Tensor, new: Tensor, slopes: Tensor, between: Tensor) -> None:
        """Adds accepted steps, of the samples `rows`, from `t` to `t + dt`.

        Arguments:
            y, new: The states at both ends, of shape `(b, *D)`.
            slopes: The slopes at both ends, of shape `(2, b, *D)`.
            between: The last coefficient, of the shape of `y`.
        """
        change, h = new - y, expand(dt.to(y.dtype), y)
        bend = h * slopes[0] - change
        curves = torch.stack([y, change, bend, change - h * slopes[1] - bend, between], 1)
        self._steps.append((rows, t, dt, curves))

    def joined(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All steps, by sample and then by time: samples, times of the start, lengths, and coefficients `(S, 5, *D)`."""
        if len(self._steps) != 1:
            parts = [torch.cat(part) for part in zip(*self._steps)]
            order = parts[0].argsort(stable=True)
            self._steps = [tuple(part[order] for part in parts)]
        rows, t, dt, curves = self._steps[0]
        return rows, t, dt, curves

    def __call__(self, rows: Tensor, t: Tensor) -> Tensor:
        """The states of the samples `rows` at the times `t`, both of shape `(b,)`, within the times of the solution."""
        owner, begin, length, curves = self.joined()
        low, span = begin.min(), (begin + length).max() - begin.min()
        index = torch.searchsorted(2 * owner + (begin - low) / span, 2 * rows + (t - low) / span, right=True) - 1
        a, b, c, d, e = curves[index].unbind(1)
        x = expand(((t - begin[index]) / length[index]).to(a.dtype), a)
        return a + x * (b + (1 - x) * (c + x * (d + (1 - x) * e)))


def _sum(dt: Tensor, weights: Sequence[float], slopes: list[State]) -> State:
    """dt Σ w_j k_j."""
    total = [torch.zeros_like(a) for a in slopes[0]]
    for w, k in zip(weights, slopes):
        if w:
            total = [a + w * b for a, b in zip(total, k)]
    return tuple(expand(dt.to(a.dtype), a) * a for a in total)


def _add(y: State, change: State) -> State:
    return tuple(a + b for a, b in zip(y, change))


def _step(
    f: Slope, t: Tensor, dt: Tensor, y: State, fixed: State, tableau: Tableau, first: State | None = None
) -> tuple[State, list[State]]:
    """One step from `t` to `t + dt`, both of shape `()` or `(B,)`: the new state, and the slopes."""
    slopes = [f(t, y, *fixed) if first is None else first]
    point = y
    for node, stage in zip(tableau.nodes[1:], tableau.stages[1:]):
        point = _add(y, _sum(dt, stage, slopes))
        slopes.append(f(t + node * dt, point, *fixed))
    return (point if tableau.reuses_last else _add(y, _sum(dt, tableau.weights, slopes))), slopes


def integrate(f: Slope, y: State, times: Tensor, tableau: Tableau = RK4, fixed: State = ()) -> State:
    """Integrates over given times, with one step per interval.

    Arguments:
        f: The slope: f(t, y, *fixed) with t of shape `()` or `(B,)` gives tensors of the shapes of `y`.
        y: The state at the first time, tensors of shape `(B, *D)` with any D each.
        times: The times, increasing or decreasing, of shape `(N + 1,)`, or `(N + 1, B)` for different times per sample.
        tableau: The method.
        fixed: Constant arguments of `f`: tensors with one row per sample.

    Returns:
        The state at the last time.

    Raises:
        ValueError: If there are fewer than two times.

    Example:
        >>> times = torch.linspace(0, 1, 9, dtype=torch.float64)
        >>> (y,) = integrate(lambda t, y: (-y[0],), (torch.ones(1, dtype=torch.float64),), times)
        >>> round(float(y), 5)  # 1/e = 0.36788
        0.36788
    """
    if len(times) < 2:
        raise ValueError(f"integration needs at least two times, got {len(times)}")
    for t, s in pairwise(times):
        y, _ = _step(f, t, s - t, y, fixed, tableau)
    return y


@dataclass
class _Active:
    """The samples that have not reached the end."""

    rows: Tensor  # which samples of the batch
    t: Tensor
    stop: Tensor
    dt: Tensor  # signed
    y: State
    slope: State  # f(t, y)
    fixed: State
    ratio: Tensor  # error over tolerance of the last accepted step, 0 before the first
    rejected: Tensor  # whether the last step was rejected

    def keep(self, mask: Tensor) -> _Active:
        y, slope, fixed = (tuple(a[mask] for a in part) for part in (self.y, self.slope, self.fixed))
        rows, t, stop, dt = self.rows[mask], self.t[mask], self.stop[mask], self.dt[mask]
        return _Active(rows, t, stop, dt, y, slope, fixed, self.ratio[mask], self.rejected[mask])


def _norm(state: State, scale: State) -> Tensor:
    """The root mean square of state/scale over each sample, and its maximum over the tensors: `(B,)`, in float64."""
    norms = [(a / s).reshape(len(a), -1).double().square().mean(1).sqrt() for a, s in zip(state, scale)]
    return torch.stack(norms).amax(0)


@dataclass(frozen=True)
class _Solver:
    """The settings shared by all samples."""

    f: Slope
    tableau: Tableau
    rtol: float
    atol: float
    measure: Measure | None = None
    caution: float = 1.0
    path: Path | None = None

    def tolerance(self, y: State, new: State) -> State:
        return tuple(self.atol + self.rtol * torch.maximum(a.abs(), b.abs()) for a, b in zip(y, new))

    def begin(self, y: State, t: Tensor, stop: Tensor, fixed: State) -> _Active:
        """The samples whose start differs from their end, with their first slopes and steps."""
        rows = (t != stop).nonzero()[:, 0]
        t, stop, y, fixed = t[rows], stop[rows], tuple(a[rows] for a in y), tuple(a[rows] for a in fixed)
        zero, never = torch.zeros_like(t), torch.zeros_like(t, dtype=torch.bool)
        if len(rows) == 0:
            return _Active(rows, t, stop, zero, y, y, fixed, zero, never)
        slope = self.f(t, y, *fixed)
        good = torch.stack([torch.isfinite(a).reshape(len(a), -1).all(1) for a in (*y, *slope)]).all(0)
        if not bool(good.all()):
            where = f"sample {int(rows[~good][0])} at t = {float(t[~good][0]):.3g}"
            raise RuntimeError(f"the ODE solver cannot start: the state or the slope of {where} is not finite")
        dt = self.first_step(t, stop - t, y, slope, fixed)
        return _Active(rows, t, stop, dt, y, slope, fixed, zero, never)

    def first_step(self, t: Tensor, span: Tensor, y: State, slope: State, fixed: State) -> Tensor:
        """The signed initial step (Hairer et al., 1993, Section II.4), of shape `(B,)`."""
        scale = self.tolerance(y, y)
        size, rate, length = _norm(y, scale), _norm(slope, scale), span.abs()
        known = (size > 1e-5) & (rate > 1e-5)
        trial = torch.minimum(torch.where(known, 0.01 * size / rate.clamp_min(1e-300), 1e-3 * length), length)
        dt = torch.copysign(trial, span)
        end_slope = self.f(t + dt, _add(y, _sum(dt, (1,), [slope])), *fixed)
        bend = _norm(tuple(b - a for a, b in zip(slope, end_slope)), scale) / trial
        best = torch.minimum(100 * trial, (0.01 / torch.maximum(rate, bend)) ** (1 / self.tableau.order))
        return torch.copysign(torch.where(torch.isfinite(bend), best, trial) / self.caution, span)

    def factor(self, ratio: Tensor, active: _Active, accepted: Tensor) -> Tensor:
        """The factor by which steps change: a PI controller (Gustafsson, 1991), without memory after a rejection.

        If the caller measures the error, the larger of the last two errors counts: one may be small by chance.
        """
        order, now = self.tableau.order, ratio.clamp_min(1e-10)
        if self.measure is None:
            before = torch.where(active.ratio == 0, 1.0, active.ratio.clamp_min(1e-4))
            smooth, plain = _SAFETY * now ** (-0.7 / order) * before ** (0.4 / order), _SAFETY * now ** (-1 / order)
        else:
            smooth, plain = ((a / _AIM) ** (-1 / order) for a in (torch.maximum(now, active.ratio), now))
        factor = torch.where(accepted, smooth.clamp_max(_GROW), plain)
        factor = torch.where(accepted & ~active.rejected, factor, factor.clamp_max(1.0))
        return torch.where(torch.isfinite(ratio), factor.clamp_min(_SHRINK), _SHRINK)

    def advance(self, active: _Active) -> tuple[_Active, Tensor]:
        """One trial step of all active samples, and which of them have reached the end."""
        left = active.stop - active.t
        last = active.dt.abs() >= left.abs()
        dt = torch.where(last, left, active.dt)
        new, slopes = _step(self.f, active.t, dt, active.y, active.fixed, self.tableau, active.slope)
        error = _sum(dt, self.tableau.error or (), slopes)
        end_slope = slopes[-1] if self.tableau.reuses_last else self.f(active.t + dt, new, *active.fixed)
        if self.measure is None:
            ratio = _norm(error, self.tolerance(active.y, new))
        else:
            ratio = self.measure(active.rows, active.t + dt, new, end_slope, error)
        accepted = ratio <= 1
        if self.path is not None:
            self.keep(self.path, accepted, active, dt, new[0], [k[0] for k in slopes])
        y = tuple(torch.where(expand(accepted, a), a, b) for a, b in zip(new, active.y))
        slope = tuple(torch.where(expand(accepted, a), a, b) for a, b in zip(end_slope, active.slope))
        t = torch.where(accepted, active.t + dt, active.t)
        step, last_ratio = dt * self.factor(ratio, active, accepted), torch.where(accepted, ratio, active.ratio)
        moved = _Active(active.rows, t, active.stop, step, y, slope, active.fixed, last_ratio, ~accepted)
        return moved, accepted & last

    def keep(
        self, path: Path, accepted: Tensor, active: _Active, dt: Tensor, new: Tensor, slopes: list[Tensor]
    ) -> None:
        """Adds the accepted ones of the steps `dt` to a path."""
        (between,) = _sum(dt, self.tableau.between or (), [(k,) for k in slopes])
        ends = torch.stack([slopes[0][accepted], slopes[-1][accepted]])
        start = active.rows[accepted], active.t[accepted], dt[accepted], active.y[0][accepted]
        path.add(*start, new[accepted], ends, between[accepted])

    def solve(self, active: _Active, y: State, max_steps: int) -> Solution:
        """Steps until all samples have reached the end; `y` are the initial states."""
        result = tuple(a.clone() for a in y)
        count = torch.zeros(len(y[0]), dtype=torch.int64, device=y[0].device)
        count[active.rows] = 2  # for the first step
        spans = torch.ones(len(y[0]), dtype=torch.float64, device=y[0].device)
        spans[active.rows] = (active.stop - active.t).abs()
        for _ in range(max_steps):
            if len(active.rows) == 0:
                break
            count[active.rows] += len(self.tableau.nodes) - self.tableau.reuses_last
            active, finished = self.advance(active)
            if bool(finished.any()):
                for whole, part in zip(result, active.y):
                    whole[active.rows[finished]] = part[finished]
                active = active.keep(~finished)
            if heard():
                left_over = (active.stop - active.t).abs() / spans[active.rows]
                report(1 - float(left_over.sum()) / max(1, len(spans)))
            stuck = active.dt.abs() <= _TINY_STEP * torch.maximum(active.t.abs(), active.stop.abs())
            if bool(stuck.any()):
                where = f"sample {int(active.rows[stuck][0])} at t = {float(active.t[stuck][0]):.3g}"
                why = "its slope is not finite or not smooth there"
                advice = "leave it out if it lies far from the others, or increase the tolerance"
                raise RuntimeError(
                    f"the ODE solver is stuck: the step size of {where} went to 0, because {why}: {advice}"
                )
        if left := len(active.rows):
            i = int((active.stop - active.t).abs().argmax())
            where = f"sample {int(active.rows[i])} is at t = {float(active.t[i]):.3g} of {float(active.stop[i]):.3g}"
            what = f"the ODE solver took {max_steps} steps, and {left} samples have not reached the end ({where})"
            raise RuntimeError(f"{what}: increase rtol, atol or max_steps")
        return Solution(result, count)


def integrate_adaptive(
    f: Slope,
    y: State,
    start: Tensor | float,
    stop: Tensor | float,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    tableau: Tableau = DOPRI5,
    fixed: State = (),
    max_steps: int = 10_000,
    measure: Measure | None = None,
    caution: float = 1.0,
    path: Path | None = None,
) -> Solution:
    """Integrates with adaptive steps whose error stays below `atol + rtol |y|`, each sample with its own step size.

    The error is the root mean square over a sample, and the maximum of these over the tensors of the state.

    Arguments:
        f: The slope: f(t, y, *fixed) with t of shape `(b,)`, in float64, and the rows of b ≤ B samples gives tensors of
            the shapes of `y`. `tensors.expand` makes `t` broadcast.
        y: The state at `start`, tensors of shape `(B, *D)` with any D each.
        start: The initial time, one for all or of shape `(B,)`.
        stop: The final time, before or after `start`, one for all or of shape `(B,)`.
        rtol: The relative tolerance.
        atol: The absolute tolerance, in the units of the state.
        tableau: The method, which must have an embedded error.
        fixed: Constant arguments of `f`: tensors with one row per sample.
        max_steps: The maximum number of steps of a sample, rejected ones included.
        measure: Another measure of the error, `(b,)`, in units of the tolerance, of the indices of the samples, their times and
            states after the step, the slopes there, and the embedded estimates of the error.
        caution: The factor by which the first step is shortened, which might step over structure nearby.
        path: Where the solution is kept, at all times.

    Returns:
        The state at `stop`, and the number of evaluations of `f` for each sample.

    Raises:
        ValueError: If a tolerance is not positive, or the tableau has no embedded error, or none between steps for a path.
        RuntimeError: If a sample needs more than `max_steps` steps, or its slope becomes non-finite.

    Example:
        >>> one = torch.ones(2, dtype=torch.float64)
        >>> rates = torch.tensor([1.0, 10.0], dtype=torch.float64)  # the second sample needs more steps
        >>> (y,), evaluations = integrate_adaptive(lambda t, y, a: (-a * y[0],), (one,), 0.0, 1.0, fixed=(rates,))
        >>> bool((y - torch.exp(-rates)).abs().max() < 1e-4), bool(evaluations[1] > evaluations[0])
        (True, True)
    """
    if not (rtol > 0 and atol > 0):
        raise ValueError(f"tolerances must be positive, got rtol={rtol:g}, atol={atol:g}")
    if tableau.error is None:
        raise ValueError(
            "an adaptive step needs a tableau with an embedded error, such as DOPRI5 or HEUN, got one without"
        )
    if path is not None and not (tableau.between and tableau.reuses_last):
        raise ValueError("a path needs a tableau with weights between steps, such as DOPRI5, got one without")
    solver = _Solver(f, tableau, rtol, atol, measure, caution, path)
    begin, end = (torch.as_tensor(t, dtype=torch.float64, device=y[0].device).expand(len(y[0])) for t in (start, stop))
    return solver.solve(solver.begin(y, begin, end, fixed), y, max_steps)
