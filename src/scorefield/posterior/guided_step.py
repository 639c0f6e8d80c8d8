"""Reverse steps of vectors with a measurement: Gaussian, with whole covariances, and with the ratio that corrects them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..denoisers import Gaussian
from .measured import StandardizedMeasurement
from .methods import NoisyState
from .posterior import Posterior
from .solve import columns, positive

__all__ = ["GuidedStates", "JointMeasurement", "guided_states"]

_LOG_TAU = math.log(2 * math.pi)
_JITTER = 1e-10  # of the largest variance


@dataclass(frozen=True, eq=False)
class JointMeasurement:
    """All measurements of the same data, as posteriors hold them one around another.

    Arguments:
        posteriors: The posteriors, each with one measurement, the prior of the last being that of the data.
    """

    posteriors: tuple[Posterior, ...]

    @classmethod
    def of(cls, posterior: Posterior) -> JointMeasurement:
        """Those of a posterior."""
        found = [posterior]
        while (inner := Posterior.of(found[-1].prior)) is not None:
            found.append(inner)
        return cls(tuple(found))

    @property
    def measured(self) -> tuple[StandardizedMeasurement, ...]:
        """The measurements."""
        return tuple(each.measured for each in self.posteriors)

    @property
    def moments(self) -> Gaussian | None:
        """The moments of the data, if they are known."""
        return self.posteriors[-1].moments

    @property
    def gaussian(self) -> bool:
        """Whether the posterior is Gaussian: every guided step is then exact, and all weights are equal."""
        return self.posteriors[-1].prior.gaussian and all(each.linear_gaussian for each in self.measured)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(y | x) of all measurements, `(B, *D)` to `(B,)`."""
        return torch.stack([each.log_prob(x) for each in self.measured]).sum(0)

    def state(self, x: Tensor, level: Tensor) -> NoisyState:
        """Noisy states of the prior."""
        return self.posteriors[-1].state(x, level)

    def samples(self, index: Tensor) -> JointMeasurement:
        """Those of some samples of a batch, by their indices."""
        return JointMeasurement.of(self.posteriors[0].samples(index))  # type: ignore[arg-type]  # a posterior again


class GuidedStates(NamedTuple):
    """Gaussian distributions of the data given noisy states, before and after the measurement.

    Arguments:
        mean: E[x_0 | x], `(B, n)`.
        root: A lower root of Cov[x_0 | x], `(B, n, n)`.
        shift: E[x_0 | x, y] - E[x_0 | x], `(B, n)`.
        precision_root: The lower root R of I + (G root)ᵀ G root, `(B, n, n)`: Cov[x_0 | x, y] = root R⁻ᵀ R⁻¹ rootᵀ.
        log_prob: log p(y | x), `(B,)`.
    """

    mean: Tensor
    root: Tensor
    shift: Tensor
    precision_root: Tensor
    log_prob: Tensor

    def take(self, index: Tensor) -> GuidedStates:
        """Those of some states."""
        return GuidedStates(*(each[index] for each in self))

    @classmethod
    def joined(cls, parts: list[GuidedStates]) -> GuidedStates:
        """Those of several batches."""
        return parts[0] if len(parts) == 1 else cls(*(torch.cat(each) for each in zip(*parts)))

    def step(self, u: Tensor, kept: float, after: float, z: Tensor) -> tuple[Tensor, Tensor]:
        """A reverse step u' ~ N(κ u + (1 - κ) E[x_0 | x, y], …) and log p(u' | u) - log q(u' | u, y), of states `(B, n)`.

        The covariances are level'² (1 - κ) I + (1 - κ)² C with those of x_0, C, without and with the measurement: for Gaussian
        data and linear A the ratio is that of p(y | u') and p(y | u), for any length of the step.
        """
        noise = after**2 * (1 - kept) * torch.eye(u.shape[1], dtype=u.dtype, device=u.device)
        informed = torch.linalg.solve_triangular(self.precision_root, self.root.mT, upper=False)
        prior = _root(noise + (1 - kept) ** 2 * self.root @ self.root.mT)
        proposal = _root(noise + (1 - kept) ** 2 * informed.mT @ informed)
        away = (1 - kept) * self.shift + (proposal @ z[..., None])[..., 0]
        moved = kept * u + (1 - kept) * self.mean + away
        return moved, _log_ratio(prior, away, proposal, z)

    def data(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x_0 ~ N(E[x_0 | x, y], Cov[x_0 | x, y]), and log N(x_0; E[x_0 | x], Cov[x_0 | x]) - log q(x_0)."""
        inner = torch.linalg.solve_triangular(self.precision_root.mT, z[..., None], upper=True)[..., 0]
        centre = torch.linalg.solve_triangular(self.root, self.shift[..., None], upper=False)[..., 0]
        white = centre + inner
        ratio = (z.square() - white.square()).sum(1) / 2 - self.precision_root.diagonal(dim1=1, dim2=2).log().sum(1)
        return self.mean + (self.root @ white[..., None])[..., 0], ratio


def guided_states(joint: JointMeasurement, u: Tensor, level: Tensor) -> GuidedStates:
    """The Gaussian distributions of the data given states u = x / α of shape `(B, *D)` of vectors of n numbers."""
    with torch.inference_mode(False), torch.enable_grad():
        state = joint.state(u, level)
        whole = columns(lambda v: state.covariance(v.reshape(u.shape)).flatten(1), u.flatten(1)).detach().double()
        mean = state.mean.detach()
        g, residual, volume = _linearized(joint, mean)
    root = _root(whole)
    shown = g @ root
    eye = torch.eye(whole.shape[1], dtype=whole.dtype, device=whole.device)
    precision_root = torch.linalg.cholesky(eye + shown.mT @ shown)
    pulled = (shown.mT @ residual[..., None])[..., 0]
    solved = torch.linalg.solve_triangular(precision_root, pulled[..., None], upper=False)
    back = torch.linalg.solve_triangular(precision_root.mT, solved, upper=True)
    square = residual.square().sum(1) - solved[..., 0].square().sum(1)
    log_det = 2 * precision_root.diagonal(dim1=1, dim2=2).log().sum(1)
    log_prob = -(square + log_det + residual.shape[1] * _LOG_TAU) / 2 - volume
    return GuidedStates(mean.flatten(1).double(), root, (root @ back)[..., 0], precision_root, log_prob)


def _linearized(joint: JointMeasurement, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The whitened derivative of all measurements `(B, m, n)`, the residual `(B, m)` and the volume of the noise `(B,)`."""
    rows, residuals, volumes = [], [], []
    for measured in joint.measured:
        linear = measured.linearize(mean.double().requires_grad_())
        measured.check_finite(linear)
        residual = linear.residual
        units = torch.eye(residual.shape[1], dtype=residual.dtype, device=residual.device)
        pulled = [linear.pull(e.expand(residual.shape)).flatten(1) for e in units]
        rows.append(torch.stack(pulled, 1))
        residuals.append(residual)
        volume = measured.measurement.noise.log_volume(linear.mean.detach())
        volumes.append(torch.as_tensor(volume).expand(len(mean)))
    return torch.cat(rows, 1), torch.cat(residuals, 1), torch.stack(volumes).sum(0)


def _root(w: Tensor) -> Tensor:
    """Lower roots of symmetric matrices `(B, n, n)`, whose negative part is left out."""
    scale = w.diagonal(dim1=1, dim2=2).amax(1).clamp_min(1e-30)[:, None, None]
    eye = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    found, failed = torch.linalg.cholesky_ex(w + _JITTER * scale * eye)
    if bool((failed > 0).any()):
        bad = failed > 0
        found[bad] = torch.linalg.cholesky(positive(w[bad]) + 10 * _JITTER * scale[bad] * eye)
    return found  # type: ignore[no-any-return]


def _log_ratio(prior: Tensor, away: Tensor, proposal: Tensor, z: Tensor) -> Tensor:
    """log N(away; 0, prior priorᵀ) - log N(z; 0, I) + log det proposal."""
    white = torch.linalg.solve_triangular(prior, away[..., None], upper=False)[..., 0]
    volume = (proposal.diagonal(dim1=1, dim2=2).log() - prior.diagonal(dim1=1, dim2=2).log()).sum(1)
    ratio: Tensor = (z.square() - white.square()).sum(1) / 2 + volume
    return ratio
