"""The default posterior and the evidence where a measurement lies in the tail of the data, or fits several branches.

    python benchmarks/posterior_tails.py

The prior is a mixture of two Gaussians in the plane, known exactly, of which the first number, or its square, is measured.
Printed are, of the number itself: the largest error of a mean of 200 draws, in exact standard deviations (sampling error
0.07); of the square: the share of 400 draws that are negative (sampling error 0.025); and of both, log p(y) by 500 x 4
particles, next to exact values, which are sums over a fine grid.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from scorefield.data import Schema
from scorefield.denoisers import Mixture
from scorefield.inverse import evidence
from scorefield.measurement import Function, Mask, Measurement
from scorefield.model import Model
from scorefield.processes import EDM
from scorefield.samplers import Sampling, UniPC
from scorefield.units import Standardize

MIXTURE = Mixture(
    torch.tensor([[-2.0, 0.0], [2.0, 1.0]]).double(),
    torch.tensor([[[0.09, 0.0], [0.0, 0.09]], [[0.3, 0.1], [0.1, 0.2]]]).double(),
    torch.tensor([0.3, 0.7]).double(),
)
LINEAR = (-6.0, -0.2, 0.6, 4.0, 5.0, 7.0, 10.0)
OF_THE_SQUARE = ((4.0, 0.3), (16.0, 0.3))


def model() -> Model:
    """The mixture in units of 2."""
    known = Mixture(MIXTURE.means / 2, MIXTURE.covariances / 4, MIXTURE.weights)
    units = Standardize((2,), torch.zeros(2).double(), torch.full((2,), 2.0).double())
    sampling = Sampling(UniPC(3), 32, process=EDM(0.002, 80.0))
    return Model(Schema.of(np.arange(6.0).reshape(3, 2)), units, known, known.moments(), sampling)


def exact(y: float, noise: float, square: bool) -> tuple[float, Tensor, Tensor, float]:
    """log p(y), the means and the standard deviations given y, and the probability of a negative first number."""
    a, b = torch.linspace(-12, 14, 13_001).double(), torch.linspace(-6, 8, 701).double()
    x = torch.cartesian_prod(a, b)
    log_p = torch.cat([MIXTURE.log_prob(part) for part in x.split(500_000)])
    seen = x[:, 0] ** 2 if square else x[:, 0]
    log_p = log_p - ((seen - y) / noise) ** 2 / 2 - math.log(noise * math.sqrt(2 * math.pi))
    total, weight = log_p.logsumexp(0), log_p.softmax(0)
    mean = weight @ x
    std = (weight @ (x - mean) ** 2).sqrt()
    volume = math.log(float(a[1] - a[0]) * float(b[1] - b[0]))
    return float(total) + volume, mean, std, float(weight[x[:, 0] < 0].sum())


def main() -> None:
    warnings.simplefilter("ignore")  # that y lies outside of the data
    torch.set_num_threads(1)
    known, cases = model(), [(y, 0.1, False) for y in LINEAR] + [(y, noise, True) for y, noise in OF_THE_SQUARE]
    for y, noise, square in cases:
        operator = Function(lambda x: x[:, :1] ** 2) if square else Mask([1, 0])
        observed = known.observe(Measurement(operator, [y], noise))
        log_evidence, mean, std, negative = exact(y, noise, square)
        draws = torch.as_tensor(observed.sample(400 if square else 200, seed=1)).double()
        error = float(((draws.mean(0) - mean) / std).abs().max())
        share = float((draws[:, 0] < 0).double().mean())
        said = f"negative {share:.3f} (exact {negative:.3f})" if square else f"error of a mean {error:.2f}"
        for steps in (32, 128):
            found = evidence(observed, particles=500, islands=4, steps=steps).log_evidence
            said += f", log p(y) in {steps} steps {float(found.value):.3f} ± {float(found.standard_error):.3f}"
        print(f"{'x²' if square else 'x'} = {y:g} ± {noise:g}: {said} (exact {log_evidence:.3f})", flush=True)


if __name__ == "__main__":
    main()
