"""Whether to trust a method and its settings with a measurement: others are simulated, and the truth is ranked."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .. import progress
from ..bars import shown
from ..denoisers import Gaussian
from ..deprecation import renamed_arguments
from ..diffusion import Diffusion
from ..display import Facts, displayed
from ..metrics import Calibration, calibration
from ..model import Model
from ..posterior import MomentMatching, Posterior, exact_posterior
from ..rng import Samples
from ..samplers import Sampling, SamplingLike, sample
from .approximating import ApproximationError, approximation_error
from .ranks import RankTest, rank_test
from .twin import gaussian_twin, prior_samples, surprise
from .weighing import observed_posterior

__all__ = ["PosteriorCheck", "check_posterior"]

_SHARES = {
    "a Gaussian twin": 1,
    "draws of simulated data": 6,
    "samples of the model": 1,
    "draws given samples": 4,
    "their ranks": 1,
    "ranks": 1,
    "error of the approximation": 1,
}  # about how long each takes
_DENSE = 2048  # up to this many numbers the exact posterior of Gaussian data is a matrix
_COORDINATES, _PROJECTIONS = 16, 12  # up to how many coordinates are ranked, and how many projections beyond
_INFORMED = 6  # directions that the measurement informs most, in which the width is known
_AT_ONCE = 400_000  # numbers that a batch of states holds
_FAR = 1e4  # a level at which states have no information
# Up to so many numbers the model itself is simulated as often as Gaussian data; beyond, so often, with so many draws.
_CHEAP, _FEW, _OWN_DRAWS = 256, 24, 16
_LEVEL = 0.005  # of the ranks of coordinates; there is the test of all quantities too
_NEAR = 0.1  # how far from 1 the width may be, and from 0 the shift
_DEVIATIONS = 4.0  # by how many standard errors more


@displayed
@dataclass(frozen=True)
class PosteriorCheck:
    """How a method does on simulated measurements of Gaussian data, and of samples of the model.

    Arguments:
        calibration: How the coordinates of the truth rank among the draws, over all simulations of Gaussian data.
        width: The variance of the draws over the exact one in the direction where it is worst, of Gaussian data; None where
            that is not known.
        shift: How far the mean of the draws is from the exact one, in exact standard deviations; None where that is not known.
        surprise: How often such data make a measurement as far out as this one; None where that is not known.
        twin: What the Gaussian data, the twin of yours, were like, in words.
        seconds: What it took.
        ranks: How the truth ranks by all quantities (`rank_test`), for Gaussian data.
        own: The same for samples of the model itself; None if it was left out.
        error: The standard error of `width`, where every direction is counted.
        shift_error: The standard error of the square of `shift` for exact draws.
        approximation: How wrong the method is for the measurement itself, as far as its approximation is known.
    """

    calibration: Calibration
    width: float | None
    shift: float | None
    surprise: float | None
    twin: str
    seconds: float
    ranks: RankTest
    own: RankTest | None = None
    error: float = 0.0
    approximation: ApproximationError | None = None
    shift_error: float = 0.0

    def _facts(self) -> Facts:
        return f"PosteriorCheck: {'trusted' if self.trusted else 'not trusted'}", {"verdict": " ".join(self.verdict)}

    @property
    def near(self) -> bool:
        """Whether width and shift are those of the exact posterior, where it is known: within a tenth and chance."""
        if self.width is None:
            return True
        aside = (self.shift or 0.0) ** 2 < _NEAR**2 + _DEVIATIONS * self.shift_error
        return aside and abs(self.width - 1) < _NEAR + _DEVIATIONS * self.error

    @property
    def trusted(self) -> bool:
        """Whether no test rejects the draws, and the mean and the width are within a tenth, where they are known."""
        tests = self.calibration.passed(_LEVEL), self.ranks.passed(), self.own is None or self.own.passed()
        return all(tests) and self.near

    @property
    def verdict(self) -> list[str]:
        """What it means, in sentences."""
        sentences = [f"Simulated: {self.twin}.", self.calibration.verdict, self.ranks.verdict]
        if self.width is not None:
            found = f"{self.width:.3f} of the variance in the worst direction, {self.shift:.3f} deviations aside"
            sentences.append(f"Against the exact posterior: {found}.")
        if self.own is not None:
            sentences.append(f"Samples of the model itself: {self.own.verdict}")
        if self.trusted:
            tested = "That the data are as the model says is not tested"
            if self.own is None:
                tested += ", nor whether they are like Gaussian ones here"
            sentences += [
                "Method, sampler and steps do what they should with this operator and this noise.",
                f"{tested}.",
            ]
        else:
            sentences.append(f"Do not trust these draws: {self._advice()}.")
        if self.approximation is not None and self.approximation.found:
            sentences.append(f"For the y that you have: {self.approximation.verdict}")
        if self.surprise is not None and self.surprise < 0.01:
            p = f"p = {self.surprise:.2g}"
            sentences.append(f"The measurement is far out for such data ({p}): are its units and noise right?")
        return sentences

    def _advice(self) -> str:
        if self.calibration.passed(_LEVEL) and self.ranks.passed() and self.near:
            exact = (
                "TwistedParticles with more particles for vectors of few numbers, or the weighted draws of evidence()"
            )
            return f"the method is right for Gaussian data and not for these; take {exact}"
        few = "TwistedParticles with more particles for vectors of few numbers"
        return f"take {few}, MomentMatching with more iterations or more steps otherwise"


class _Simulated(NamedTuple):
    """Truths `(N, *D)`, their measurements `(N, m)`, and draws of the posterior `(N, L, *D)`."""

    truth: Tensor
    y: Tensor
    drawn: Tensor

    def tested(self, posterior: Posterior, seed: int) -> RankTest:
        """How the truth ranks among the draws."""
        pool = torch.cat([self.truth[:, None], self.drawn.to(self.truth)], 1)
        states = pool.flatten(0, 1)
        ideal = posterior.measured.ideal(states)
        about = posterior.about(self.y.to(ideal).repeat_interleave(pool.shape[1], 0)).measured
        misfit = -about.log_prob(states)
        measured, missed = (each.unflatten(0, pool.shape[:2]) for each in (ideal, misfit))  # type: ignore[no-untyped-call]
        return rank_test(pool.flatten(2), measured, missed, seed=seed)


@renamed_arguments(sampler="sampling")
def check_posterior(
    model: Model,
    simulations: int = 200,
    draws: int = 32,
    seed: int = 0,
    sampling: SamplingLike = None,
    steps: int | None = None,
    own: int | None = None,
) -> PosteriorCheck:
    """Runs the method and the settings of a posterior on simulated measurements, whose truth is known.

    First of Gaussian data of the model's moments: they are drawn from this twin, measured as the real data point was, and drawn
    again from the posterior. The truth must rank evenly among the draws, by coordinates (`metrics.calibration`) and by what was
    measured, the misfit and the worst directions (`rank_test`); for linear operators with Gaussian noise the exact posterior is
    known as well, and the width must be right in every direction. The twin of vectors has their covariance; that of grids is
    stationary, with the variance of each point and the correlations of draws of the model, or only variances where grids are
    large. Then of samples of the model itself, by ranks: this finds what is wrong for data that are not Gaussian, such as
    weights of modes. Last, for the y that was measured, how far the approximation of the method is from right
    (`approximation_error`), which is not a test and leaves `trusted` as it is.

    Arguments:
        model: A model that observed a measurement.
        simulations: How many data are drawn from the twin.
        draws: How many times each is drawn again; of the model itself, at most 16 times.
        seed: The seed.
        sampling: How the draws are made; by default, and where it does not say it, as the model draws.
        steps: The number of steps where `sampling` does not say it.
        own: How many samples of the model itself are measured; 0 for none. By default as many as of the twin, and 24 where a
            network has more than 256 numbers to draw.

    Raises:
        ValueError: If the model observed no measurement, or there are fewer than 8 simulations.
    """
    with shown():
        return _checked(model, simulations, draws, seed, Sampling.of(sampling, steps).merged(model.sampling), own)


def _checked(
    model: Model, simulations: int, draws: int, seed: int, chosen: Sampling, own: int | None
) -> PosteriorCheck:
    begin = time.perf_counter()
    posterior = observed_posterior(model)
    step = progress.parts(_SHARES)
    with step("a Gaussian twin"):
        twin, description = gaussian_twin(model, seed)
    units = posterior.layout, posterior.units
    simulated = Posterior(twin, posterior.measurement, posterior.method, *units, twin)
    truth = twin.sample(simulations, Samples(seed, 0, simulations, "check"))
    with step("draws of simulated data"):
        found = _simulated(model, simulated, truth, draws, Samples(seed, 0, simulations, "check noise"), chosen)
    judged, known = _against_the_exact(simulated, twin, found, seed)
    count = _own_simulations(model, posterior, simulations) if own is None else own
    itself = None
    if count and len(posterior.measurements) == 1:
        with step("samples of the model"):
            truth = prior_samples(model, count, Samples(seed, 0, count, "check own"))
        noise = Samples(seed, 0, count, "check own noise")
        with step("draws given samples"):
            own_draws = _simulated(model, posterior, truth, min(draws, _OWN_DRAWS), noise, chosen)
        with step("their ranks"):
            itself = own_draws.tested(posterior, seed)
    with step("ranks"):
        ranks = found.tested(simulated, seed)
    odd = surprise(twin, simulated.measured) if known.width is not None else None
    with step("error of the approximation"):
        bias = approximation_error(model, seed=seed, sampling=chosen)
    seconds = time.perf_counter() - begin
    return PosteriorCheck(
        judged, known.width, known.shift, odd, description, seconds, ranks, itself, known.error, bias, known.shift_error
    )


def _own_simulations(model: Model, posterior: Posterior, simulations: int) -> int:
    learned = any(True for _ in posterior.prior.parameters())
    return min(simulations, _FEW) if learned and model.moments.mean.numel() > _CHEAP else simulations


class _Known(NamedTuple):
    width: float | None = None
    shift: float | None = None
    error: float = 0.0
    shift_error: float = 0.0


def _against_the_exact(
    simulated: Posterior, twin: Gaussian, found: _Simulated, seed: int
) -> tuple[Calibration, _Known]:
    """The ranks of coordinates and, where it is known, the exact posterior's width and mean."""
    axes, measured, draws = _axes(twin, seed), simulated.measured, found.drawn.shape[1]
    dimensions, count = len(twin.mean.shape), len(found.truth)

    def project(x: Tensor, axes: Tensor) -> Tensor:
        return (x - twin.mean).flatten(-dimensions) @ axes

    matching = MomentMatching(64, 1e-8)
    guide = Posterior(twin, simulated.measurement, matching, simulated.layout, simulated.units).about(found.y)
    centre = guide(twin.mean.expand(found.truth.shape), found.truth.new_tensor(_FAR))
    spread = project(twin.sample(count, Samples(seed, 0, count, "check references")), axes)
    judged = calibration(
        project(found.truth, axes), project(found.drawn, axes), project(centre, axes) + spread, seed=seed
    )
    if not measured.linear_gaussian or twin.mean.numel() > _DENSE:
        return judged, _Known()
    covariance: Tensor = exact_posterior(twin, measured).distribution.covariance  # type: ignore[assignment]  # Gaussian
    axes = torch.cat([axes, _informed(twin, covariance)], 1)
    variance = ((covariance @ axes) * axes).sum(0)
    drawn, mean = project(found.drawn, axes), project(centre, axes)
    ratio = drawn.var(1).mean(0) / variance
    square = ((drawn.mean(1) - mean) ** 2 / variance).mean() - ratio.mean() / draws
    worst = int((ratio - 1).abs().argmax())
    error = math.sqrt(2 / (count * (draws - 1)))
    alike = (axes.T @ covariance @ axes) / (variance[:, None] * variance).sqrt()  # correlations of the directions
    chance = math.sqrt(2 * float(alike.square().mean()) / count) / draws
    return judged, _Known(float(ratio[worst]), math.sqrt(max(float(square), 0.0)), error, chance)


def _simulated(
    model: Model, posterior: Posterior, truth: Tensor, draws: int, noise: Samples, sampling: Sampling
) -> _Simulated:
    """Simulated measurements, and draws conditioned on each of them."""
    truth = truth.double()
    measured, found, start = posterior.measured, [], 0
    y = measured.measurement.noise.draw(measured.ideal(truth), noise)
    moments = posterior.moments or model.moments
    device, numbers = moments.mean.device, draws * model.moments.mean.numel()
    for some in y.split(max(1, _AT_ONCE // numbers)):  # type: ignore[no-untyped-call]
        rng = Samples(noise.seed, start * draws, len(some) * draws, f"{noise.purpose} draws")
        rows = torch.arange(start, start + len(some)).repeat_interleave(draws)
        part: Posterior = posterior.samples(rows)  # type: ignore[assignment]  # a posterior again
        part = part.about(some.repeat_interleave(draws, 0).to(device))
        diffusion = Diffusion(model.process, part, moments)
        with progress.part(start / len(y), (start + len(some)) / len(y)):
            x = sample(diffusion, (rng.count, *truth.shape[1:]), sampling, rng, device=device)
        found.append(x.cpu().unflatten(0, (len(some), draws)))  # type: ignore[no-untyped-call]
        start += len(some)
    return _Simulated(truth, y, torch.cat(found))


def _axes(twin: Gaussian, seed: int) -> Tensor:
    """Directions along which draws are ranked, `(n, P)`: the coordinates, or those of some draws of the twin."""
    size = twin.mean.numel()
    if size <= _COORDINATES:
        return torch.eye(size, dtype=torch.float64)
    axes = (twin.sample(_PROJECTIONS, Samples(seed, 0, _PROJECTIONS, "check axes")) - twin.mean).flatten(1)
    return (axes / axes.norm(dim=1, keepdim=True)).T  # type: ignore[no-any-return]


def _informed(twin: Gaussian, posterior: Tensor) -> Tensor:
    """The directions in which the measurement narrows the twin most, and the thinnest of all, `(n, P)`."""
    prior = twin.covariance.flatten().diag() if twin.diagonal else twin.covariance
    scale = prior.diagonal().clamp_min(1e-300).sqrt()
    unit = torch.eye(len(prior), dtype=torch.float64)
    root = torch.linalg.cholesky(prior / scale[:, None] / scale + 1e-10 * unit)
    half = torch.linalg.solve_triangular(root, posterior / scale[:, None] / scale, upper=False)
    vectors = torch.linalg.eigh(torch.linalg.solve_triangular(root, half.mT, upper=False))[1]
    narrowed = torch.linalg.solve_triangular(root.mT, vectors[:, :_INFORMED], upper=True) / scale[:, None]
    return torch.cat([narrowed, torch.linalg.eigh(posterior)[1][:, :1]], 1)
