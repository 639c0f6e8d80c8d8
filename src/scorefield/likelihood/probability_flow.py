"""Log-densities by the probability flow (Chen et al., 2018; Song et al., 2021, Section 4.3).

Along the flow du/dσ of u = x/α in the level σ, the log-density of data plus noise obeys d log q_σ(u)/dσ = -∇·(du/dσ).
It is solved in the coordinates w of `GaussianFrame`, in which Gaussian data of the data's moments stand still; the volume that
these change is known. On mixtures in 2 and 8 dimensions the default tolerance takes 70 to 115 evaluations of the
denoiser, for errors of 1e-6 nats and less (median), whose worst of 512 is 5 to 14 times as large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..gaussian_frame import GaussianFrame
from ..ode import State, integrate_adaptive
from ..rng import Samples
from .base import LogProb
from .probes import ORDER, probes as signs, standard_error, trace
from .truncation import beyond, prior_mismatch, truncation

__all__ = ["log_prob"]

_EXACT = 64  # up to this many coordinates the divergence is exact by default
_TOLERANCE = 1e-5
_SHARE = 0.2  # of the tolerance, that a step's error may be
_MARGIN = 5.0  # on the sum of the steps' errors: mixtures need 0.5, networks, which are rougher than they look, 5
_CAUTION = 10.0  # without it one error in ten, at 1e-4 half of them, come from a first step over all there is to see
_FEWEST = 8  # probes from which a standard error is read off
_ROUNDS, _TIGHTER = 8, 8.0  # how often a target is tried for, and by how much the tolerance shrinks each time
_ABSOLUTE = 1e-15  # a relative tolerance that says nothing: log-densities are not known better for being small


@dataclass(frozen=True)
class _Flow:
    """The flow of a diffusion for data of one shape, and its two ends."""

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

    def turned(self, z: Tensor) -> Tensor:
        """Probes along the axes of the data as probes along those of the frame."""
        vectors = self.frame.law.vectors
        return z if vectors is None else z @ vectors

    def solve(self, x: Tensor, z: Tensor | None, tolerance: float, extrapolate: bool) -> LogProb:
        """The log-densities at `x`, the divergence by the probes `z` of shape `(B, K, n)` if there are any."""
        frame, denoiser = self.frame, self.diffusion.denoiser
        z = None if z is None else self.turned(z)
        doubt, size = x.new_zeros(len(x)), x[0].numel()
        allowed = _SHARE * tolerance * size**0.5

        def slope(phi: Tensor, y: State, rows: Tensor, z: Tensor | None = None) -> State:
            with torch.enable_grad():
                w = y[0].detach().requires_grad_()
                v = frame.slope(denoiser.samples(rows), w, phi)
                widths = frame.widths(frame.scale * torch.tan(phi))
                return v.detach(), trace(v, w, z, widths, 1 / widths).detach()

        def measure(rows: Tensor, phi: Tensor, y: State, slopes: State, off: State) -> Tensor:
            score = beyond(frame, y[0], slopes[0], frame.scale * torch.tan(phi)) - y[0]
            error = off[1].mean(1).abs() + (off[0].square().mean(1) * (1 + score.square()).sum(1)).sqrt()
            doubt[rows] += torch.where(error <= allowed, error, 0.0)
            return error / allowed

        begin = frame.into(x, self.first), x.new_zeros(len(x), 1 if z is None else z.shape[1])
        (w, volumes), evaluations = integrate_adaptive(
            slope,
            begin,
            frame.clock(self.first),
            frame.clock(self.last),
            _ABSOLUTE,
            tolerance,
            fixed=(torch.arange(len(x), device=x.device), *(() if z is None else (z,))),
            measure=measure,
            caution=_CAUTION,
        )
        values = self._prior(w)[:, None] + volumes
        short, left = truncation(frame, denoiser, x, self.first, z)
        off, far = self._mismatch(w, z)
        if extrapolate:
            values, far = values - short + off[:, None], off.abs() / 2 + left
        return LogProb(
            values.mean(1),
            standard_error(values, size) if z is not None else torch.zeros_like(doubt),
            _MARGIN * doubt,
            far,
            short.mean(1),
            evaluations + 3,
        )

    def _prior(self, w: Tensor) -> Tensor:
        """The log-density of the prior, and the volume that the coordinates have changed: `(B,)`."""
        x = self.alpha * self.frame.back(w, self.last)
        known = torch.log(self.frame.widths(self.last) / self.frame.widths(self.first)).sum()
        return self.diffusion.prior_log_prob(x) + x[0].numel() * torch.log(self.alpha) + known

    def _mismatch(self, w: Tensor, z: Tensor | None) -> tuple[Tensor, Tensor]:
        """About how far log q is from the prior at the end, and a number that it hardly exceeds: `(B,)`."""
        moments = self.diffusion.moments
        full = moments is not None and (moments.vectors is not None or moments.mean.numel() == 1)
        degree = 1 if moments is None else 3 if full else 2
        off, far = prior_mismatch(self.frame, self.diffusion.denoiser, w, self.last, z, degree)
        if moments is not None:
            return off, far
        u = self.frame.back(w, self.last)  # the prior is not the Gaussian of the frame
        prior = self.diffusion.prior_log_prob(self.alpha * u) + u[0].numel() * torch.log(self.alpha)
        known = self.frame.law.log_prob(u, self.last) - prior
        return off + known, far + known.abs()


def _check(diffusion: Diffusion, x: Tensor, probes: int | None, rng: Samples | None) -> None:
    if x.ndim == 0 or len(x) == 0 or not x.is_floating_point():
        raise ValueError(
            f"log_prob needs a batch of floating-point data (B, *D), got shape {tuple(x.shape)} of {x.dtype}"
        )
    finite = torch.isfinite(x).reshape(len(x), -1).all(1)
    if not bool(finite.all()):
        raise ValueError(f"log_prob needs finite data, row {int((~finite).nonzero()[0])} is not: drop it")
    law = diffusion.moments
    if law is not None and law.mean.shape != x.shape[1:]:
        shapes = f"{tuple(x.shape[1:])} and {tuple(law.mean.shape)}"
        raise ValueError(f"the data and the moments of the diffusion must have one shape, got {shapes}")
    if probes is not None and probes != 0 and probes < 2:
        raise ValueError(
            f"a standard error needs at least 2 probes, got probes={probes}: take more, or 0 for the exact trace"
        )
    if probes and (rng is None or rng.count != len(x)):
        got = "none" if rng is None else f"one of {rng.count}"
        raise ValueError(
            f"random probes need a source of {len(x)} samples, got {got}: rng=Samples(seed, count={len(x)})"
        )


def _aim(tolerance: float | None, target: float | None, size: int) -> float:
    """The tolerance to begin with."""
    for name, value in (("tolerance", tolerance), ("target_error", target)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {name}={value:g}")
    if tolerance is not None and target is not None:
        raise ValueError("target_error chooses the tolerance: give one of them")
    return tolerance or (_TOLERANCE if target is None else min(1e-4, target / (4 * size**0.5)))


def _solve(flow: _Flow, x: Tensor, plan: Tensor, rng: Samples | None, extrapolate: bool, rows: Tensor) -> LogProb:
    """Solves some rows, each with its number of probes and its tolerance, which `plan` of shape `(B, 2)` holds."""
    parts, order = [], []
    for count, tolerance in plan[rows].unique(dim=0).tolist():
        some = rows[(plan[rows, 0] == count) & (plan[rows, 1] == tolerance)]
        z = None if count == 0 or rng is None else signs(int(count), x.shape[1:], rng, some)
        parts.append(replace(flow, diffusion=flow.diffusion.samples(some)).solve(x[some], z, tolerance, extrapolate))
        order.append(some)
    return LogProb.join(parts).at(torch.cat(order).argsort())


def _tightened(plan: Tensor, found: LogProb, target: float, size: int) -> Tensor:
    """The next plan, in which those rows differ whose errors are above the target: more probes, or tighter."""
    budget = (target - found.end_error).clamp_min(target / 10)
    count, tolerance = plan.unbind(1)
    ratio = 2 * found.standard_error / (0.75 * budget)
    needed = 2 ** torch.ceil(torch.log2(1.2 * count * ratio**2))
    more = torch.where(needed < size, needed, 0.0)
    rough = found.solver_error > torch.where(count > 0, 0.25 * budget, budget)
    tighter = torch.where(rough, tolerance / _TIGHTER, tolerance)
    return torch.stack([torch.where((count > 0) & (ratio > 1), more, count), tighter], 1)


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

    That is the density of x_0 + (σ_0/α_0) z, x_0 being data, whatever the process: data are not scaled by α_0. Each
    sample's flow is solved with steps of its own, in float64; the network keeps its type. What that noise adds is
    estimated to second order (`truncation`), and how far the law at the largest level is off the Gaussian that stands
    for it (`end_error`); `extrapolate` removes both.

    A step's error is what its embedded errors, Δ of the volume and δ of the state, may do to the log-density: |Δ| plus
    what δ would do in a direction at random, √(1 + s²) in a coordinate where the score is s. They decide the steps, and
    five times their sum is the solver's error. On a learned network in 2 dimensions that is above the error at all of
    128 points at the default tolerance and at 95 % and more at ten times that, a median of fifteen and five times as
    large; on mixtures, which are smooth, at all points, and a hundred times.

    Arguments:
        diffusion: A diffusion model.
        x: Data, of shape `(B, *D)`.
        probes: How many random probes estimate the divergence, at a derivative each, best a power of two; 0 for the
            exact one, at a derivative a coordinate. By default exact up to 64 coordinates, 16 probes above.
        tolerance: Five times the error of a step at most, in √n nats for n coordinates. By default 1e-5.
        rng: The source of probes, which names the samples. Needed if there are any.
        target_error: Instead of a tolerance: the `error` in nats that every sample should come below. Those above are
            solved again, tighter or with more probes, up to eight times. The error of the prior stays as it is.
        extrapolate: Whether the truncation and the error of the prior are removed, as far as they are known: the
            density of data without noise. It is that of no flow then, and need not have the mass one to the last digit.

    Returns:
        The log-densities and their errors, each of shape `(B,)`.

    Raises:
        ValueError: If `x` is no batch of finite numbers, or probes have no source.
        RuntimeError: If the solver does not arrive.

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.processes import VE
        >>> law = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64)
        >>> log_prob(Diffusion(VE(0.001, 50.0), law, law), x).value
        tensor([-1.8379, -4.3379], dtype=torch.float64)
    """
    size = x[0].numel() if x.ndim and len(x) else 0
    probes = (ORDER if size > _EXACT else 0) if probes is None else probes
    _check(diffusion, x, probes, rng)
    probes = max(probes, _FEWEST) if probes and target_error is not None else probes
    x, begin = x.detach().double(), _aim(tolerance, target_error, max(size, 1))
    plan = torch.tensor([[float(probes), begin]], dtype=torch.float64, device=x.device).repeat(len(x), 1)
    rows = torch.arange(len(x), device=x.device)
    try:
        with torch.no_grad():
            flow = _Flow.of(diffusion, x)
            found = _solve(flow, x, plan, rng, extrapolate, rows)
            for _ in range(_ROUNDS if target_error is not None else 0):
                new = _tightened(plan, found, target_error or 0.0, size)
                rows = (new != plan).any(1).nonzero()[:, 0]
                if len(rows) == 0:
                    break
                plan = new
                again, spent = _solve(flow, x, plan, rng, extrapolate, rows), found.evaluations[rows]
                found = found.put(rows, again)
                found.evaluations[rows] += spent
    except RuntimeError as error:
        raise RuntimeError(str(error).replace("rtol or atol, or raise max_steps", "the tolerance")) from error
    return found
