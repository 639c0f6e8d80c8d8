"""How often `inverse.rank_test`, the test of `posterior --check`, finds failures that were planted in exact posterior draws.

    python benchmarks/posterior_checks.py [--seeds 20] [--simulations 100 200 400] [--only field]

Truths are drawn from priors whose posteriors are known, and measured; each has 32 draws of its exact posterior (for operators
that are not linear, by weighting 400,000 draws of the prior), in which a failure is planted:

- too wide: deviations from the mean of the draws times 1.4;
- narrow along the data: deviations of A(x) times 0.6;
- biased: moved by half a standard deviation in every coordinate;
- wrong weights: the odds of one mode times 4; modes are the components of the prior, and the two branches of x₁x₂ = y;
- mode lost: no draw from that mode, where others have some;
- ignored: the draws of another measurement.

The table says in how many seeds the right draws were rejected, and each failure was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.denoisers import Gaussian, Mixture
from scorefield.inverse import RankTest, rank_test
from scorefield.measurement import Linear, Measurement
from scorefield.posterior import exact_posterior
from scorefield.rng import Samples

D, DRAWS, SPARE, POOL = torch.float64, 32, 4, 400_000


class Simulated(NamedTuple):
    """Truths `(N, n)`, measurements `(N, m)`, exact draws `(N, L, n)` with their modes `(N, L)`, and A with its noise."""

    truth: Tensor
    y: Tensor
    draws: Tensor
    modes: Tensor
    forward: Callable[[Tensor], Tensor]
    noise: float
    back: Callable[[Tensor, Tensor], Tensor]  # (x, v) -> the shortest step of x that changes A(x) by v

    def first(self, count: int) -> Simulated:
        return self._replace(**{name: getattr(self, name)[:count] for name in ("truth", "y", "draws", "modes")})


def mixture(n: int, seed: int = 0) -> Mixture:
    """Three modes in n dimensions."""
    g = torch.Generator().manual_seed(seed)
    means = 1.5 * torch.randn(3, n, generator=g, dtype=D)
    roots = 0.4 * torch.eye(n, dtype=D) + 0.15 * torch.randn(3, n, n, generator=g, dtype=D)
    return Mixture(means, roots @ roots.mT, torch.tensor([0.4, 0.35, 0.25], dtype=D))


def linear(prior: Gaussian | Mixture, matrix: Tensor, noise: float, count: int, seed: int) -> Simulated:
    """Measurements of A x."""
    rng = Samples(seed, 0, count, "problem")
    truth = prior.sample(count, rng)
    y = truth @ matrix.T + noise * rng.child("noise").normal((count, len(matrix)), D)
    single, inverse = isinstance(prior, Gaussian), torch.linalg.pinv(matrix)
    origin = exact_posterior(prior, Measurement(Linear(matrix), torch.zeros(len(matrix), dtype=D), noise)).distribution
    parts = [prior] if single else [Gaussian(m, c) for m, c in zip(prior.means, prior.covariances)]
    covariances = [origin.covariance] if single else list(origin.covariances)
    gains = [c @ matrix.T / noise**2 for c in covariances]
    centres = [p.mean + (y - p.mean @ matrix.T) @ k.T for p, k in zip(parts, gains)]
    log_p = torch.stack([_evidence(p, matrix, noise, y) for p in parts], 1)
    log_p = log_p if single else log_p + prior.weights.log()
    wide = DRAWS * SPARE
    u = rng.child("modes").uniform((count, wide), D)
    modes = torch.searchsorted(log_p.softmax(1).cumsum(1), u).clamp_max(len(parts) - 1)
    z = rng.child("draws").normal((count, wide, truth.shape[1]), D)
    draws = torch.empty_like(z)
    for k, (centre, covariance) in enumerate(zip(centres, covariances)):
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp_min(0).sqrt()
        draws = torch.where((modes == k)[..., None], centre[:, None] + z @ root.T, draws)
    return Simulated(truth, y, draws, modes, lambda x: x @ matrix.T, noise, lambda x, v: v @ inverse.T)


def _evidence(part: Gaussian, matrix: Tensor, noise: float, y: Tensor) -> Tensor:
    total = matrix @ part.covariance @ matrix.T + noise**2 * torch.eye(len(matrix), dtype=D)
    return torch.distributions.MultivariateNormal(part.mean @ matrix.T, total).log_prob(y)


def plane(
    forward: Callable[[Tensor], Tensor],
    noise: float,
    count: int,
    seed: int,
    branch: Callable[[Tensor], Tensor] | None = None,
) -> Simulated:
    """Measurements that are not linear, of three modes in the plane."""
    prior, rng = mixture(2), Samples(seed, 0, count, "problem")
    truth = prior.sample(count, rng)
    y = forward(truth) + noise * rng.child("noise").normal((count, 1), D)
    pool = prior.sample(POOL, Samples(seed, 0, POOL, "pool"))
    modes = prior._joint(pool, 0.0)[2].argmax(1) if branch is None else branch(pool)
    ideal = forward(pool)[:, 0]
    u, index = rng.child("draws").uniform((count, DRAWS * SPARE), D), []
    for one, cut in zip(y, u):
        weight = torch.exp(-(((ideal - one) / noise) ** 2) / 2).cumsum(0)
        index.append(torch.searchsorted(weight, cut * weight[-1]).clamp_max(POOL - 1))
    chosen = torch.stack(index)

    def back(x: Tensor, v: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            gradient = torch.autograd.grad(forward(x).sum(), x)[0]
        return v * gradient / gradient.square().sum(-1, keepdim=True).clamp_min(0.01)

    return Simulated(truth, y, pool[chosen], modes[chosen], forward, noise, back)


def field() -> tuple[Mixture, Tensor]:
    """Two modes of fields of 16 x 16, smooth about a mean of either sign that a blur does not show; and this blur."""
    place = torch.cartesian_prod(torch.arange(16.0), torch.arange(16.0)).to(D)
    square = torch.cdist(place, place) ** 2
    covariance = torch.exp(-square / 18) + 0.01 * torch.eye(256, dtype=D)
    mean = 0.4 * (-1.0) ** place.sum(1)
    blur = torch.exp(-square / 8)
    both = torch.stack([covariance, covariance])
    return Mixture(torch.stack([mean, -mean]), both, torch.tensor([0.5, 0.5], dtype=D)), blur / blur.sum(1)[:, None]


def problems() -> dict[str, Callable[[int, int], Simulated]]:
    """What is simulated, by name: a function of the number of simulations and a seed."""
    normal = Gaussian(torch.zeros(10, dtype=D), torch.eye(10, dtype=D))
    matrix = torch.randn(3, 10, generator=torch.Generator().manual_seed(0), dtype=D)
    fields, blur = field()
    prior = mixture(3)
    across = torch.linalg.cross(prior.means[1] - prior.means[0], prior.means[2] - prior.means[0])
    hidden = (across / across.norm())[None]  # across the plane of the means
    return {
        "2-D, abs(x)": lambda n, seed: plane(lambda x: x.norm(dim=-1, keepdim=True), 0.1, n, seed),
        "2-D, x₁x₂": lambda n, seed: plane(
            lambda x: x[..., :1] * x[..., 1:], 0.1, n, seed, lambda x: (x[:, 0] > 0).long()
        ),
        "10-D linear, noise 0.3": lambda n, seed: linear(normal, matrix, 0.3, n, seed),
        "10-D linear, noise 0.03": lambda n, seed: linear(normal, matrix, 0.03, n, seed),
        "3-D mixture": lambda n, seed: linear(prior, hidden, 0.3, n, seed),
        "16 x 16, blur": lambda n, seed: linear(fields, blur, 1.0, n, seed),
    }


def planted(failure: str, s: Simulated) -> Tensor | None:
    """Draws `(N, 32, n)` with a failure; None where the posterior has no modes to fail with."""
    draws, right = s.draws, s.draws[:, :DRAWS]
    mean = right.mean(1, keepdim=True)
    if failure == "right":
        return right
    if failure == "too wide":
        return mean + 1.4 * (right - mean)
    if failure == "narrow along the data":
        ideal = s.forward(right)
        return right - s.back(right, 0.4 * (ideal - ideal.mean(1, keepdim=True)))
    if failure == "biased":
        return right + 0.5 * right.std(1, keepdim=True)
    if failure == "ignored":
        return right.roll(1, 0)
    if int(s.modes.max()) == 0:
        return None
    chosen = (s.modes == 0).double()
    weight = 1 + 3 * chosen if failure == "wrong weights" else 1 - chosen + 1e-12
    g = torch.Generator().manual_seed(0)
    key = torch.rand(weight.shape, generator=g, dtype=D).log() / weight  # drawn without replacement
    return torch.gather(draws, 1, key.topk(DRAWS, 1).indices[..., None].expand(-1, -1, draws.shape[2]))


FAILURES = ("right", "too wide", "narrow along the data", "biased", "wrong weights", "mode lost", "ignored")


def tested(s: Simulated, draws: Tensor, seed: int) -> RankTest:
    """The test of some draws."""
    pool = torch.cat([s.truth[:, None], draws], 1)
    ideal = s.forward(pool)
    return rank_test(pool, ideal, (s.y[:, None] - ideal).square().sum(2) / (2 * s.noise**2), seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--simulations", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--only", default="", help="only problems whose name contains this")
    options = parser.parse_args()
    print(f"| | simulations | {' | '.join(FAILURES)} |\n|{' --- |' * (len(FAILURES) + 2)}")
    for name, make in problems().items():
        if options.only not in name:
            continue
        found = {(n, failure): 0 for n in options.simulations for failure in FAILURES}
        absent = set()
        for seed in range(options.seeds):
            whole = make(max(options.simulations), seed)
            for n, failure in found:
                some = whole.first(n)
                draws = planted(failure, some)
                if draws is None:
                    absent.add(failure)
                else:
                    found[n, failure] += not tested(some, draws, seed).passed()
        for n in options.simulations:
            cells = ("" if failure in absent else str(found[n, failure]) for failure in FAILURES)
            print(f"| {name} | {n} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
