"""Which stiffness fields agree with noisy displacements? A non-linear inverse problem with a learned prior.

    python examples/shear_modulus.py [--minutes 2] [--layers 4000] [--count 32] [-o shear_modulus.png]

A soft layer with stiff inclusions is sheared: a traction of 1 pulls its top, its base is fixed, its sides are free. The
unknown is the shear modulus G (1 to 4, in units of the soft part) on 16 x 16 cells. The displacement u, which solves
∇·(G ∇u) = 0, is measured in all cells with noise of standard deviation 0.01. The prior is learned from 4,000 samples of
such layers; torch differentiates the solver.
"""

import time

import numpy as np
import torch
from arguments import arguments
from panels import table
from torch import Tensor

import scorefield
from scorefield import Measurement
from scorefield.inverse import misfit
from scorefield.measurement import Function
from scorefield.rng import Samples
from scorefield.toys import Field

SIDE, NOISE = 16, 0.01
TITLES = ["true modulus", "displacement", "posterior mean", "posterior std", "a draw", "a draw", "a draw"]


def layers(count: int, seed: int) -> np.ndarray:
    """Stiff inclusions where a random field is high, with soft borders: `(N, 16, 16)`."""
    field = Field((1, SIDE, SIDE), length=3.0).sample(count, Samples(seed, 0, count))[:, 0]
    return (1 + 3 * torch.sigmoid(6 * (field - 0.5))).float().numpy()


def displacement(modulus: Tensor) -> Tensor:
    """u in the cells, `(B, 16, 16)`, by finite volumes; the modulus of a face is the harmonic mean of its cells."""
    g, n = modulus.double().clamp_min(0.2), SIDE
    index, rows = torch.arange(n * n).reshape(n, n), torch.arange(len(g))[:, None]
    down, across = (2 / (1 / a + 1 / b) for a, b in ((g[:, 1:], g[:, :-1]), (g[:, :, 1:], g[:, :, :-1])))
    matrix = g.new_zeros(len(g), n * n, n * n)
    for a, b, face in ((index[1:], index[:-1], down), (index[:, 1:], index[:, :-1], across)):
        a, b, face = a.flatten(), b.flatten(), face.flatten(1)
        for i, j, sign in ((a, a, 1.0), (b, b, 1.0), (a, b, -1.0), (b, a, -1.0)):
            matrix = matrix.index_put((rows, i, j), sign * face, accumulate=True)
    base, load = index[-1], g.new_zeros(len(g), n * n, 1)
    fixed = 2 * g.flatten(1)[:, base]  # half a cell from the base
    matrix = matrix.index_put((rows, base, base), fixed, accumulate=True)
    load[:, index[0]] = 1 / n  # a traction of 1 at the top
    return torch.linalg.solve(matrix, load).reshape(g.shape).to(modulus.dtype)


def main() -> None:
    parser = arguments(__doc__, "shear_modulus.png")
    parser.add_argument("--minutes", type=float, default=2.0, help="minutes of training")
    parser.add_argument("--layers", type=int, default=4000, help="training samples")
    parser.add_argument("--count", type=int, default=32, help="posterior samples")
    options = parser.parse_args()
    model = scorefield.fit(layers(options.layers, 0), minutes=options.minutes)
    truth, noise = layers(1, 99)[0], np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    measured = displacement(torch.from_numpy(truth)[None])[0].numpy() + NOISE * noise
    given = model.observe(Measurement(Function(displacement), measured, NOISE))
    start = time.process_time()
    drawn = np.asarray(given.sample(options.count))
    seconds = (time.process_time() - start) / options.count
    mean, std, prior = drawn.mean(0), drawn.std(0), np.asarray(model.sample(options.count)).std()
    error, spread = (float(np.sqrt(np.mean(x**2))) for x in (mean - truth, std))
    inside, agree = (abs(truth - mean) < 2 * std).mean(), float(misfit(given, drawn).mean())
    print(f"error of the posterior mean {error:.3f}, posterior std {spread:.3f}, prior std {prior:.3f}")
    print(
        f"{inside:.0%} of cells within two std; misfit / noise variance {agree:.2f}; {seconds:.1f} CPU seconds per draw"
    )
    modulus = [(x - 0.8) / 3.4 for x in (truth, mean, *drawn[:3])]  # white is a modulus of 4.2
    images = [modulus[0], measured / 0.6, modulus[1], std / 1.5, *modulus[2:]]
    table([("", images)], TITLES, options.output, (10.5, 1.75), (0, 1))


if __name__ == "__main__":
    main()
