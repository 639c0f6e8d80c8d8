"""The recipe of NCSNv2 (Song & Ermon, 2020) for small images.

Other examples import it; it has no command line. The five techniques of the paper: the largest level is the largest distance
between two images (1); neighbouring levels overlap as those that were published do, by 0.5667 (2; the text says 0.5); the
network does not see the level, which divides its output (3); the step of annealed Langevin dynamics preserves the variance,
here as well as possible over all levels, where the paper considers one (4); samples are drawn with an average of the weights
(5). The rest is the experiment with CIFAR-10, as far as a few minutes of one core allow: the learning rate is larger, and
nothing is mirrored.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scorefield.data import ArrayRows
from scorefield.denoisers.ncsn import NCSNDenoiser
from scorefield.noise_levels import PUBLISHED_OVERLAP, Ladder, best_ratio, diameter
from scorefield.presets import Experiment, ncsnv2


def experiment(data: str, x: Tensor, steps: int, moves: int = 5, **small: Any) -> Experiment:
    """The experiment for images between 0 and 1, `(N, C, H, W)`; `small` is what else it changes, as the batch."""
    ladder = Ladder.overlapping(diameter(x).low, 0.01, x[0].numel(), PUBLISHED_OVERLAP)
    step = best_ratio(moves, ladder.gap) * ladder.last**2
    made = {"data": data, "shape": tuple(x.shape[1:]), "ladder": ladder, "moves": moves, "step": step, "steps": steps}
    print(f"{ladder.count} levels from {ladder.first:.3g} to {ladder.last:g}, {moves} moves of {step:.1e} at the last")
    return replace(ncsnv2.cifar10, learning_rate=1e-3, flip=False, **made, **small)


def trained(recipe: Experiment, x: Tensor, seed: int = 0) -> NCSNDenoiser:
    """The denoiser of an experiment, trained on images; the loss is printed every 500 steps."""
    torch.manual_seed(seed)
    denoiser, losses = recipe.denoiser(), []
    for progress in recipe.train(denoiser, ArrayRows(x), seed, top=1.0):
        losses.append(progress.loss)
        if progress.step % 500 == 0 or progress.step == recipe.steps:
            loss = float(torch.stack(losses[-500:]).mean())
            print(f"  step {progress.step:,}: loss {loss:.3f}, {progress.seconds:.0f} s", flush=True)
    return denoiser
