"""Random phantoms of heads, in the manner of Shepp and Logan (1974); it has no command line."""

import numpy as np

SIDE = 24  # pixels


def phantoms(count: int, seed: int) -> np.ndarray:
    """Heads `(N, SIDE, SIDE)` with a skull of grey value 1, tissue, and three to six organs; each pixel is a mean of 2 x 2."""
    rng, at = np.random.default_rng(seed), (np.arange(2 * SIDE) + 0.5) / SIDE - 1
    x, y = np.meshgrid(at, at)

    def ellipse(cx: float, cy: float, a: float, b: float, tilt: float) -> np.ndarray:
        u, v = (x - cx) * np.cos(tilt) + (y - cy) * np.sin(tilt), (y - cy) * np.cos(tilt) - (x - cx) * np.sin(tilt)
        return (u / a) ** 2 + (v / b) ** 2 < 1

    found = np.empty((count, SIDE, SIDE), np.float32)
    for i in range(count):
        a, b, tilt, tissue = rng.uniform([0.6, 0.75, -0.3, 0.3], [0.75, 0.92, 0.3, 0.5])
        inside = ellipse(0, 0, a - 0.1, b - 0.1, tilt)
        image = np.where(inside, tissue, ellipse(0, 0, a, b, tilt))
        for _ in range(rng.integers(3, 7)):
            *shape, grey = rng.uniform([-0.4, -0.5, 0.08, 0.08, 0, -0.3], [0.4, 0.5, 0.3, 0.3, np.pi, 0.3])
            image = image + grey * (ellipse(*shape) & inside)
        found[i] = image.clip(0).reshape(SIDE, 2, SIDE, 2).mean((1, 3))
    return found + 0.02 * rng.normal(size=found.shape).astype(np.float32)
