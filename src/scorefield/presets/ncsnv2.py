"""The experiments of NCSNv2 (Song & Ermon, 2020, Table 4), with what the authors' configurations say of training.

Where the two disagree: `church` has images of side 96 as in the paper, and of side 64 in the authors' configuration; with
`dataclasses.replace(church, shape=(3, 64, 64), ladder=Ladder(140.0, 0.01, 788, 3 * 64**2))` it is the latter. `ffhq` has the
step of the configuration, ten times the one that Table 4 prints. Each `note` says why.
"""

from __future__ import annotations

from ..noise_levels import Ladder
from .base import Experiment

__all__ = ["bedroom", "celeba", "church", "cifar10", "ffhq", "tower"]


def _ladder(first: float, count: int, side: int) -> Ladder:
    return Ladder(first, 0.01, count, 3 * side**2)


cifar10 = Experiment("CIFAR-10", (3, 32, 32), _ladder(50.0, 232, 32), moves=5, step=6.2e-6)
celeba = Experiment("CelebA", (3, 64, 64), _ladder(90.0, 500, 64), moves=5, step=3.3e-6, steps=210_000)
church = Experiment(
    "LSUN church",
    (3, 96, 96),
    _ladder(140.0, 788, 96),
    moves=4,
    step=4.9e-6,
    depth=5,
    steps=200_000,
    note="the step is not the minimum of the paper's criterion, which is 2.31e-6; over many levels it is the better one. "
    "The authors' configuration has images of side 64, the paper 96",
)
bedroom = Experiment(
    "LSUN bedroom", (3, 128, 128), _ladder(190.0, 1086, 128), moves=3, step=1.8e-6, depth=5, steps=150_000
)
tower = Experiment("LSUN tower", (3, 128, 128), _ladder(190.0, 1086, 128), moves=3, step=1.8e-6, depth=5, steps=150_000)
ffhq = Experiment(
    "FFHQ",
    (3, 256, 256),
    _ladder(348.0, 2311, 256),
    moves=3,
    step=9e-7,
    depth=6,
    steps=80_000,
    batch=32,
    epsilon=1e-3,
    printed_step=0.9e-7,
    note="Table 4 prints 0.9e-7, a tenth of the step in the authors' configuration and of the minimum of their criterion "
    "(8.93e-7): with it noise gathers over the levels instead of fading",
)
