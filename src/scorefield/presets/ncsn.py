"""The experiments of NCSN (Song & Ermon, 2019), and those with its levels in Table 4 of NCSNv2.

No published settings were found for training on images larger than 32: those of CIFAR-10 are used.
"""

from __future__ import annotations

from ..noise_levels import Ladder
from .base import Experiment

__all__ = ["bedroom", "celeba", "church", "cifar10", "mnist"]


def _experiment(
    data: str,
    side: int,
    channels: int = 3,
    depth: int = 4,
    features: int = 128,
    steps: int = 300_000,
    flip: bool = True,
) -> Experiment:
    return Experiment(
        data,
        (channels, side, side),
        Ladder(1.0, 0.01, 10, channels * side**2),
        moves=100,
        step=2e-5,
        depth=depth,
        features=features,
        conditional=True,
        steps=steps,
        learning_rate=1e-3,
        average=None,
        flip=flip,
        dequantize=True,
        denoise=False,
    )


mnist = _experiment("MNIST", 28, channels=1, features=64, steps=200_000, flip=False)
cifar10 = _experiment("CIFAR-10", 32)
celeba = _experiment("CelebA", 64)
church = _experiment("LSUN church", 96, depth=5)
bedroom = _experiment("LSUN bedroom", 128, depth=5)
