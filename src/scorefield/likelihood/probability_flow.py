"""Log-densities by the probability flow (Chen et al., 2018; Song et al., 2021, Section 4.3).

Along the flow du/dσ of u = x/α in the level σ, the log-density of data plus noise obeys d log q_σ(u)/dσ = -∇·(du/dσ).
It is solved in the coordinates w of `GaussianFrame`, in which the flow of a Gaussian with the data's moments is
constant; their change of volume is known. On mixtures in 2 and 8 dimensions the default tolerance takes 105 to 150
evaluations of the denoiser, a third of them with the divergence, for a median error of at most 1e-6 nats; the largest error
of 512 is 5 to 12 times that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..derivatives import divergence
from ..diffusion import Diffusion
from ..gaussian_frame import GaussianFrame
from ..ode import Path, State, integrate_adaptive
from ..progress import part
from ..rng import Samples
from ..tensors import expand
from .base import LogProb
from .probes import ORDER, probes as random_signs, standard_error
from .truncation import prior_mismatch, residual_score, truncation
from .volume import integrate_panels, panels_of

__all__ = ["is_exact", "log_prob"]

_EXACT = 64  # up to this many coordinates the divergence is exact by default
_TOLERANCE = 1e-5
_STEP, _PANEL = 0.1, 0.2  # of the tolerance: the largest errors of a step of the state, and of a panel of the volume
_MARGIN = 5.0  # safety factor on the sum of these errors: mixtures need 0.5, rough networks 5
_AT_ONCE = 1 << 14  # numbers in the states whose divergences are evaluated together, or all states that are solved
_CAUTION = 10.0  # else one error in ten (half of them at 1e-4) comes from a first step that skips all structure
_FEWEST = 8  # probes that a standard error needs
_MOST_PROBES = 1_000_000
_ROUNDS, _TIGHTER = 8, 8.0  # attempts to reach a target, and the factor by which the tolerance shrinks each time
_ABSOLUTE = 1e-15  # switches the relative tolerance off: a small log-density is not known any better


@dataclass(frozen=True)
class _Flow:
    """The probability flow of a diffusion for data of one shape, and its two end levels."""

    diffusion: Diffusion
    frame: GaussianFrame
    alpha: Tensor
    first: Tensor
    last: Tensor

    @classmethod
    def of(cls, diffusion: Diffusion, x: Tensor) -> _Flow:
        ends = torch.arange(2, dtype=torch.float64, device=x.device)
        alpha, (first, last) = diffusion.process.alpha(ends[1]), diffusion.process.level(ends)
        return cls(diffusion, GaussianFrame.of(diffusion.moments, x, first), alpha, first, last)

    def solve(self, x: Tensor, z: Tensor | None, tolerance: float, extrapolate: bool) -> LogProb:
        """The log-densities at `x`, with probes `z` of shape `(B, K, n)`, or the exact divergence without."""
        frame, denoiser, size = self.frame, self.diffusion.denoiser, x[0].numel()
        allowed, signs = tolerance * math.sqrt(size), z
        if z is not None and frame.gaussian.vectors is not None:
            z = z @ frame.gaussian.vectors  # along the axes of the data
        with part(0, 0.2):
            w, path, step_errors, steps = self._path(x, tolerance, _STEP * allowed)

        def rate(rows: Tensor, phi: Tensor, denoiser: Denoiser = denoiser) -> Tensor:
            pair = None if z is None or signs is None else (signs[rows], z[rows])
            return self._divergence(denoiser, path(rows, phi), rows, phi, pair)

        single = denoiser.single_precision()
        rough = None if single is denoiser else partial(rate, denoiser=single)

        with part(0.2, 1):
            at_once = max(len(x), _AT_ONCE // size)
            volume = integrate_panels(rate, panels_of(path), len(x), _PANEL * allowed, at_once, rough)
        values = self._prior(w)[:, None] + volume.value
        added, added_error = truncation(frame, denoiser, x, self.first, z)
        mismatch, end_error = self._mismatch(w, z)
        if extrapolate:
            values, end_error = values - added + mismatch[:, None], mismatch.abs() / 2 + added_error
        spread = torch.zeros_like(step_errors) if z is None else standard_error(values, size)
        solver_error = _MARGIN * (step_errors + volume.error)
        evaluations = steps + volume.evaluations + 3
        return LogProb(values.mean(1), spread, solver_error, end_error, added.mean(1), evaluations)

    def _path(self, x: Tensor, tolerance: float, allowed: float) -> tuple[Tensor, Path, Tensor, Tensor]:
        """The flow from `x`: its end `(B, n)`, the path to it, the errors of its steps and its evaluations, `(B,)`."""
        frame, denoiser, path = self.frame, self.diffusion.denoiser, Path()
        errors = x.new_zeros(len(x))

        def slope(phi: Tensor, y: State, rows: Tensor) -> State:
            return (frame.slope(denoiser.samples(rows), y[0], phi),)

        def measure(rows: Tensor, phi: Tensor, y: State, slopes: State, embedded: State) -> Tensor:
            score = residual_score(frame, y[0], slopes[0], frame.scale * torch.tan(phi)) - y[0]
            error = (embedded[0].square().mean(1) * (1 + score.square()).sum(1)).sqrt()
            errors[rows] += torch.where(error <= allowed, error, 0.0)
            return error / allowed

        start, rows = frame.into(x, self.first), torch.arange(len(x), device=x.device)
        clock = frame.clock(self.first), frame.clock(self.last)
        (w,), evaluations = integrate_adaptive(
            slope, (start,), *clock, _ABSOLUTE, tolerance, fixed=(rows,), measure=measure, caution=_CAUTION, path=path
        )
        return w, path, errors, evaluations

    def _divergence(
        self, denoiser: Denoiser, w: Tensor, rows: Tensor, phi: Tensor, z: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """The divergence of the flow at `w`, of shape `(M, 1)`, or by probes, `(M, K)`.

        It is that of Gaussian data minus that of the denoiser, times dσ/(σ dφ): the change of coordinates cancels in a trace.
        The probes are given in the coordinates of the data and in those of the flow.
        """
        frame = self.frame
        level = frame.scale * torch.tan(phi)
        u, known = frame.back(w, level), frame.gaussian.values / frame.widths(level) ** 2
        column, denoiser = expand(level, u), denoiser.samples(rows)
        signs = None if z is None else z[0].reshape(*z[0].shape[:2], *u.shape[1:])
        trace = divergence(lambda x: denoiser(x, column).to(x.dtype), u, signs).divergence
        if z is None:
            trace, gaussian = trace[:, None], known.sum(1, keepdim=True)
        else:
            gaussian = (z[1].square() * known[:, None]).sum(2)
        return (gaussian - trace) * ((level**2 + frame.scale**2) / (level * frame.scale))[:, None]

    def _prior(self, w: Tensor) -> Tensor:
        """The log-density of the prior at the largest level plus the log-volume of the change of coordinates: `(B,)`."""
        x = self.alpha * self.frame.back(w, self.last)
        known = torch.log(self.frame.widths(self.last) / self.frame.widths(self.first)).sum()
        return self.diffusion.prior_log_prob(x) + x[0].numel() * torch.log(self.alpha) + known

    def _mismatch(self, w: Tensor, z: Tensor | None) -> tuple[Tensor, Tensor]:
        """An estimate of log q minus the log-prior at the largest level, and a bound that is rarely exceeded: `(B,)`."""
        moments = self.diffusion.moments
        full = moments is not None and (moments.vectors is not None or moments.mean.numel() == 1)
        degree = 1 if moments is None else 3 if full else 2
        mismatch, limit = prior_mismatch(self.frame, self.diffusion.denoiser, w, self.last, z, degree)
        if moments is not None:
            return mismatch, limit
        u = self.frame.back(w, self.last)  # here the prior is not the Gaussian of the frame
        prior = self.diffusion.prior_log_prob(self.alpha * u) + u[0].numel() * torch.log(self.alpha)
        known = self.frame.gaussian.log_prob(u, self.last) - prior
        return mismatch + known, limit + known.abs()


def _check(diffusion: Diffusion, x: Tensor, probes: int | None, rng: Samples | None) -> None:
    if x.ndim == 0 or len(x) == 0 or not x.is_floating_point():
        got = f"shape {tuple(x.shape)} of {x.dtype}"
        raise ValueError(f"log_prob needs a batch of floating-point data (B, *D), got {got}")
    finite = torch.isfinite(x).reshape(len(x), -1).all(1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise ValueError(f"log_prob needs finite data, but row {row} has NaN or infinite values: drop it")
    moments = diffusion.moments
    if moments is not None and moments.mean.shape != x.shape[1:]:
        shapes = f"{tuple(x.shape[1:])} and {tuple(moments.mean.shape)}"
        raise ValueError(f"the data and the moments of the diffusion must have the same shape, got {shapes}")
    if probes is not None and probes != 0 and probes < 2:
        need = "a standard error needs at least 2 probes"
        raise ValueError(f"{need}, got probes={probes}: use more, or 0 for the exact trace")
    if probes is not None and probes > _MOST_PROBES:
        raise ValueError(f"at most {_MOST_PROBES:,} probes, got {probes:,}: use fewer, or 0 for the exact trace")
    if probes and (rng is None or rng.count != len(x)):
        got, need = "none" if rng is None else f"one of {rng.count}", f"a random source of {len(x)} samples"
        raise ValueError(f"random probes need {need}, got {got}: pass rng=Samples(seed, count={len(x)})")


def _initial_tolerance(tolerance: float | None, target: float | None, size: int) -> float:
    for name, value in (("tolerance", tolerance), ("target_error", target)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {name}={value:g}")
    if tolerance is not None and target is not None:
        raise ValueError("target_error chooses the tolerance: pass one of the two, not both")
    return tolerance or (_TOLERANCE if target is None else min(1e-4, target / (4 * size**0.5)))


def _solve(flow: _Flow, x: Tensor, plan: Tensor, rng: Samples | None, extrapolate: bool, rows: Tensor) -> LogProb:
    """Solves the given rows, each with the number of probes and the tolerance that `plan`, `(B, 2)`, has for it."""
    parts, order, done = [], [], 0
    for count, tolerance in sorted({tuple(row) for row in plan[rows].tolist()}):
        some = rows[(plan[rows, 0] == count) & (plan[rows, 1] == tolerance)]
        z = None if count == 0 or rng is None else random_signs(int(count), x.shape[1:], rng, some)
        with part(done / len(rows), (done + len(some)) / len(rows)):
            own = replace(flow, diffusion=flow.diffusion.samples(some))
            parts.append(own.solve(x[some], z, tolerance, extrapolate))
        order.append(some)
        done += len(some)
    return LogProb.join(parts).at(torch.cat(order).argsort())


def _refined(plan: Tensor, found: LogProb, target: float, size: int) -> Tensor:
    """The next plan: rows whose errors are above the target get more probes or a smaller tolerance."""
    budget = (target - found.end_error).clamp_min(target / 10)
    count, tolerance = plan.unbind(1)
    ratio = 2 * found.standard_error / (0.75 * budget)
    needed = 2 ** torch.ceil(torch.log2(1.2 * count * ratio**2))
    probes = torch.where(needed < size, needed, 0.0)
    rough = found.solver_error > torch.where(count > 0, 0.25 * budget, budget)
    tighter = torch.where(rough, tolerance / _TIGHTER, tolerance)
    return torch.stack([torch.where((count > 0) & (ratio > 1), probes, count), tighter], 1)


def is_exact(shape: Sequence[int], probes: int | None) -> bool:
    """Whether `log_prob` computes the divergence of data of a shape exactly, and draws nothing."""
    return math.prod(shape) <= _EXACT if probes is None else probes == 0


def log_prob(
    diffusion: Diffusion,
    x: Tensor,
    probes: int | None = None,
    tolerance: float | None = None,
    rng: Samples | None = None,
    target_error: float | None = None,
    extrapolate: bool = False,
) -> LogProb:
    """The log-density in nats of data plus noise of the smallest level of the process, σ_0/α_0, at `x`.

    Data are not scaled by α_0. Each sample's flow is solved with its own steps, in float64; the network keeps its own type.
    The effect of the noise is estimated to second order (`truncation`), and so is the error of replacing the distribution at
    the largest level by the Gaussian prior (`end_error`); `extrapolate` removes both.

    The flow is solved first, and then its divergence is integrated along it, by Gauss's rule in panels. The error of a step is
    what its embedded error δ may do to the log-density in a random direction, √(1 + s²) in a coordinate where the score is s;
    that of a panel follows from how fast the Legendre coefficients of the divergence fall. A network in 64 bits gives the
    divergence in 32, where what this changes, which is measured in each panel, is allowed by the tolerance. Five times the sum
    of these errors is the solver's error. On learned networks in 2, 10 and 64 dimensions it is above the true error at all of
    64 points at the default tolerance, with a median of twenty to forty times the true error.

    Arguments:
        diffusion: A diffusion model.
        x: Data, of shape `(B, *D)`.
        probes: The number of Hutchinson probes for the divergence, best a power of two, at one derivative each; 0 for the
            exact divergence, at one derivative per coordinate. By default exact up to 64 coordinates, and 16 above.
        tolerance: Five times the largest error of a panel, ten times that of a step, in units of √n nats for n coordinates. By
            default 1e-5.
        rng: The random source of these samples. Needed if there are probes.
        target_error: Instead of a tolerance: the `error` in nats that every sample should stay below. Samples above it are
            solved again with a smaller tolerance or more probes, up to eight times. The end error is not reduced.
        extrapolate: Whether the estimated truncation and prior error are removed, for the density of data without noise, whose
            integral may then differ slightly from 1.

    Returns:
        The log-densities and their errors, each of shape `(B,)`.

    Raises:
        ValueError: If `x` is not a batch of finite floating-point numbers, probes have no random source, a setting is out of
            range, or the diffusion has a consistency function in place of a denoiser.
        RuntimeError: If the solver does not reach the largest level, or the denoiser returns non-finite values.

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.processes import VE
        >>> exact = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64)
        >>> log_prob(Diffusion(VE(0.001, 50.0), exact, exact), x).value
        tensor([-1.8379, -4.3379], dtype=torch.float64)
    """
    diffusion.denoiser.check_mean("a log-density")
    size = x[0].numel() if x.ndim and len(x) else 0
    probes = (0 if is_exact((size,), None) else ORDER) if probes is None else probes
    _check(diffusion, x, probes, rng)
    probes = max(probes, _FEWEST) if probes and target_error is not None else probes
    x, first = x.detach().double(), _initial_tolerance(tolerance, target_error, max(size, 1))
    plan = torch.tensor([[float(probes), first]], dtype=torch.float64, device=x.device).repeat(len(x), 1)
    rows = torch.arange(len(x), device=x.device)
    try:
        with torch.no_grad():
            flow = _Flow.of(diffusion, x)
            with part(0, 1 if target_error is None else 0.6):
                found = _solve(flow, x, plan, rng, extrapolate, rows)
            for k in range(_ROUNDS if target_error is not None else 0):
                new = _refined(plan, found, target_error or 0.0, size)
                rows = (new != plan).any(1).nonzero()[:, 0]
                if len(rows) == 0:
                    break
                plan = new
                with part(1 - 0.4 ** (k + 1), 1 - 0.4 ** (k + 2)):
                    again, before = _solve(flow, x, plan, rng, extrapolate, rows), found.evaluations[rows]
                found = found.put(rows, again)
                found.evaluations[rows] += before
    except RuntimeError as error:
        raise RuntimeError(str(error).replace("rtol or atol, or raise max_steps", "the tolerance")) from error
    return found
