"""Log-densities: time per point compared with torchdiffeq and SciPy, at equal error, in one run.

    python benchmarks/likelihood.py                     # mixtures in 2 and 8 dimensions and a small network, 256 points
    python benchmarks/likelihood.py --pairs 3 --count 64
    python benchmarks/likelihood.py --cases VE/network VP/eight VP/mixture

The others solve what published code solves: the probability flow of x in the time t of the process, together with the
divergence, as one system for the whole batch with common steps (Dormand-Prince 5(4)), with the same denoiser, derivatives
and prior. Their tolerance is the loosest at which their error (95th percentile over points) is not above ours at our
default. Then all are timed alternately, `--pairs` times, and medians are printed. torchdiffeq is optional.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from scorefield import Model, fit
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.likelihood import log_prob
from scorefield.processes import VE, VP, Process
from scorefield.rng import Samples
from scorefield.settings import Training
from scorefield.toys import eight_gaussians

CASES = [f"{process}/{target}" for process in ("VP", "VE") for target in ("eight", "mixture", "network")]
TOLERANCES = [10 ** (-k / 2) for k in range(4, 21)]  # 1e-2 to 1e-10
ZERO = torch.zeros((), dtype=torch.float64)
Solver = Callable[[Diffusion, Tensor, float], tuple[Tensor, int]]


def mixture(size: int) -> Mixture:
    rng = Samples(seed=size, count=3)
    roots = 0.3 * rng.normal((3, size, size), torch.float64)
    means = 1.5 * rng.child("means").normal((3, size), torch.float64)
    eye = 0.2 * torch.eye(size, dtype=torch.float64)
    return Mixture(means, roots @ roots.mT + eye, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))


def slope(diffusion: Diffusion, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """dx/dt and its divergence."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = diffusion.velocity(x, t)
        parts = [torch.autograd.grad(v[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(x.shape[1])]
    return v.detach(), torch.stack(parts, 1).sum(1).detach()


def finish(diffusion: Diffusion, x: Tensor, volume: Tensor) -> Tensor:
    """The log-density of u = x/α at t = 0."""
    return diffusion.prior_log_prob(x) + volume + x.shape[1] * torch.log(diffusion.process.alpha(ZERO))


def ours(diffusion: Diffusion, x: Tensor, tolerance: float) -> tuple[Tensor, int]:
    found = log_prob(diffusion, x, tolerance=tolerance)
    return found.value, int(found.evaluations.double().mean())


def by_scipy(diffusion: Diffusion, x: Tensor, tolerance: float) -> tuple[Tensor, int]:
    from scipy.integrate import solve_ivp

    shape = (len(x), x.shape[1] + 1)

    def flat(t: float, y: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(y.reshape(shape))
        v, rate = slope(diffusion, state[:, :-1], torch.tensor(t, dtype=torch.float64))
        return torch.cat([v, rate[:, None]], 1).numpy().ravel()

    begin = torch.cat([diffusion.process.alpha(ZERO) * x, x.new_zeros(len(x), 1)], 1).numpy().ravel()
    found = solve_ivp(flat, (0.0, 1.0), begin, "RK45", rtol=tolerance, atol=tolerance)
    end = torch.from_numpy(found.y[:, -1].reshape(shape))
    return finish(diffusion, end[:, :-1], end[:, -1]), found.nfev


def by_torchdiffeq(diffusion: Diffusion, x: Tensor, tolerance: float) -> tuple[Tensor, int]:
    from torchdiffeq import odeint

    count = 0

    def rates(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal count
        count += 1
        return slope(diffusion, y[0], t)

    begin = (diffusion.process.alpha(ZERO) * x, x.new_zeros(len(x)))
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    states, volumes = odeint(rates, begin, times, rtol=tolerance, atol=tolerance, method="dopri5")
    return finish(diffusion, states[-1], volumes[-1]), count


def error(values: Tensor, true: Tensor) -> float:
    return float((values - true).abs().quantile(0.95))


def equal(solver: Solver, diffusion: Diffusion, x: Tensor, true: Tensor, target: float) -> float:
    """The loosest tolerance at which the error is not above the target."""
    for tolerance in TOLERANCES:
        if error(solver(diffusion, x, tolerance)[0], true) <= target:
            return tolerance
    return TOLERANCES[-1]


def network(steps: int) -> Model:
    """A small network trained on the eight Gaussians."""
    x = eight_gaussians().sample(20_000, Samples(0, count=20_000))
    return fit(x.numpy(), training=Training(steps=steps))


def compare(
    name: str, process: Process, denoiser: Denoiser, target: Gaussian, x: Tensor, true: Tensor, pairs: int
) -> None:
    diffusion = Diffusion(process, denoiser, target)
    solvers: dict[str, Solver] = {"scorefield": ours, "SciPy solve_ivp": by_scipy}
    if find_spec("torchdiffeq") is not None:
        solvers["torchdiffeq"] = by_torchdiffeq
    target = error(ours(diffusion, x, 1e-5)[0], true)
    chosen = {k: 1e-5 if s is ours else equal(s, diffusion, x, true, target) for k, s in solvers.items()}
    seconds: dict[str, list[float]] = {key: [] for key in solvers}
    for _ in range(pairs):
        for key, solver in solvers.items():
            begun = time.perf_counter()
            solver(diffusion, x, chosen[key])
            seconds[key].append(time.perf_counter() - begun)
    print(f"{name}, {type(process).__name__}, {len(x)} points: error at 95 % {target:.1e} nats or less")
    first = statistics.median(seconds["scorefield"])
    for key, solver in solvers.items():
        values, spent = solver(diffusion, x, chosen[key])
        middle = statistics.median(seconds[key])
        cost = f"{1e3 * middle / len(x):8.3f} ms a point ({middle / first:4.1f}x)  {spent:5} evaluations"
        largest = float((values - true).abs().max())
        quality = f"tolerance {chosen[key]:.0e}  error {error(values, true):.1e}, largest {largest:.1e}"
        print(f"  {key:16} {cost}  {quality}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3000, help="of training, for the network")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="a process and a target each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if find_spec("torchdiffeq") is None:
        print("torchdiffeq is not installed and is skipped (pip install torchdiffeq)")
    processes: dict[str, Process] = {"VP": VP(), "VE": VE(0.01, 500.0)}
    targets = {"eight": eight_gaussians().mixture, "mixture": mixture(8)}
    model = network(options.steps) if any(case.endswith("network") for case in options.cases) else None
    for case in options.cases:
        process, name = processes[case.split("/")[0]], case.split("/")[1]
        if name in targets:
            target = targets[name]
            x = target.sample(options.count, Samples(1, count=options.count))
            compare(name, process, target, target.moments(), x, target.log_prob(x, process.level(ZERO)), options.pairs)
        elif model is not None:
            learned = Diffusion(process, model.density().inner.diffusion.denoiser, model.moments)
            x = model.standardize(eight_gaussians().sample(options.count, Samples(1, count=options.count)))
            tight = log_prob(learned, x, tolerance=1e-7).value
            compare(name, process, learned.denoiser, model.moments, x, tight, options.pairs)


if __name__ == "__main__":
    main()
