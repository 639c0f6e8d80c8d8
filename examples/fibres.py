"""Microstructure of a fibre composite (CFRP): the NCSNv2 recipe next to the default, by the statistics of such media.

python examples/fibres.py [--fields 4000] [--steps 1000] [--count 48] [-o fibres.png]

Example 4 of the USC summer school on score-based diffusion models (2023): micrographs across unidirectional carbon fibres.
The lecture had 16,000 crops of 64 x 64 pixels from images of NIST. Here fibres are generated: random discs, of a given share
of the area and spread of radii, are pushed apart until none overlap. Crops are 32 x 32, for a few minutes on a CPU; `--side
64 --fields 16000` makes the number and size of the lecture's. Held-out crops are from another sample of the composite.
"""

import field_models
import numpy as np
from panels import draw
from scipy.ndimage import center_of_mass, label
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp

FRACTION, GAP = 0.5, 1.0  # share of the area; least gap, in pixels
RADIUS, SPREAD = 4.0, 0.08  # in pixels, and relative to the mean
FIBRE, MATRIX, NOISE = 0.96, 0.04, 0.02  # grey levels


def packed(side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres `(F, 2)` and radii `(F,)` of discs that do not overlap, on a periodic square."""
    radii = RADIUS * (1 + SPREAD * rng.normal(size=int(FRACTION * side**2 / (np.pi * RADIUS**2))))
    at = side * rng.random((len(radii), 2))
    for _ in range(5000):
        i, j = cKDTree(at, boxsize=side).query_pairs(2 * radii.max() + GAP, output_type="ndarray").T
        apart = at[i] - at[j]
        apart -= side * np.round(apart / side)
        distance = np.linalg.norm(apart, axis=1)
        overlap = (radii[i] + radii[j] + GAP - distance).clip(0)
        if overlap.max() < 0.05:
            return at, radii
        push = 0.5 * (overlap / distance)[:, None] * apart
        np.add.at(at, i, push)
        np.subtract.at(at, j, push)
        at %= side
    raise RuntimeError("the discs do not fit: lower FRACTION or GAP")


def crops(count: int, side: int, seed: int) -> np.ndarray:
    """Grey levels between 0 and 1, `(N, side, side)`, from one sample of the composite."""
    rng = np.random.default_rng(seed)
    whole = 16 * side
    at, radii = packed(whole, rng)
    points = np.stack(np.meshgrid(*(np.arange(2 * whole) / 2 + 0.25,) * 2), -1).reshape(-1, 2)  # 2 x 2 to a pixel
    distance, nearest = cKDTree(at, boxsize=whole).query(points, k=2)
    inside = (distance < radii[nearest]).any(1).reshape(whole, 2, whole, 2).mean((1, 3))
    image = MATRIX + (FIBRE - MATRIX) * inside + NOISE * rng.normal(size=inside.shape)
    corners = rng.integers(0, whole - side, (count, 2))
    return np.stack([image[a : a + side, b : b + side] for a, b in corners]).astype(np.float32)


def neighbours(x: np.ndarray) -> np.ndarray:
    """Distances from the centre of each whole fibre to the nearest other, in pixels."""
    found = []
    for image in x:
        marks, count = label(image > (FIBRE + MATRIX) / 2)
        at = np.array(center_of_mass(np.ones_like(image), marks, range(1, count + 1)))
        if count > 2:
            found.append(cKDTree(at).query(at, k=2)[0][:, 1])
    return np.concatenate(found)


def main() -> None:
    options = field_models.options(__doc__, "fibres.png")
    train, held_out = (crops(n, options.side, i) for i, n in enumerate((options.fields, 500)))
    samples = field_models.compared(field_models.models(train, options), train, held_out, options.count)
    for name, x in {"real": train[:500], **samples}.items():
        share, near = (x > (FIBRE + MATRIX) / 2).mean((1, 2)), neighbours(x)
        area, far = f"{share.mean():.3f} ± {share.std():.3f} between crops", ks_2samp(near, neighbours(held_out))
        print(f"{name}: area of fibres {area}; nearest fibre {near.mean():.2f} pixels, KS {far.statistic:.3f}")
    draw({"generator": held_out, **samples}, options.output, (4, 4), (12, 3.4), colours="gray")
    print(options.output)


if __name__ == "__main__":
    main()
