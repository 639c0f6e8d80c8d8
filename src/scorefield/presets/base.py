"""An experiment with NCSN or NCSNv2: from images to a network, its levels, its objective, its training and its sampler."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Rows, Schema, summarize
from ..denoisers import Gaussian
from ..denoisers.ncsn import NCSNDenoiser
from ..deprecation import renamed_fields
from ..mcmc import Langevin
from ..model import Model
from ..nn.refinenet import RefineNet
from ..noise_levels import Annealing, Ladder
from ..objectives import DenoisingScoreMatching, ProcessLevels
from ..processes import VE
from ..rng import Rng, Steps
from ..samplers import AnnealedLangevin, Sampling
from ..schedules import ExplicitLevels
from ..training import Feed, Progress
from ..training.flat import Flat
from ..units import Standardize

__all__ = ["Experiment"]


@renamed_fields(rate="learning_rate")
@dataclass(frozen=True)
class Experiment:
    """The settings of an experiment with NCSN (Song & Ermon, 2019) or NCSNv2 (2020), and what they make.

    States are images between 0 and 1. To try it on other images, `dataclasses.replace` the shape, the ladder and the size
    of the network.

    Arguments:
        data: What the images are of.
        shape: `(C, H, W)`.
        ladder: The noise levels.
        moves: T, the moves of annealed Langevin dynamics at each level.
        step: ε, with moves x + ε s + √(2ε) z at the smallest level: the convention of NCSNv2, and of NCSN's code for images.
        depth: The number of stages of the network.
        features: Its number of features at full size.
        conditional: Whether its norms depend on the level (NCSN), and its output is not divided by the level.
        steps: The steps of training.
        batch: The batch size.
        learning_rate: The learning rate of Adam, which is constant.
        epsilon: The ε of Adam, for losses that are half a sum over pixels.
        average: The decay of the exponential moving average of the weights, which samples are drawn with; None for the last
            weights.
        flip: Whether half of the images are mirrored in training.
        dequantize: Whether 8-bit images get uniform noise of the width of their steps.
        denoise: Whether samples lose their last noise.
        printed_step: The ε that Table 4 of NCSNv2 prints, where that is another.
        note: What to know about these numbers.

    Example:
        >>> from scorefield import presets
        >>> presets.ncsnv2.cifar10.sampler()
        AnnealedLangevin(transition=Langevin(ratio=0.062), moves=5)
    """

    data: str
    shape: tuple[int, int, int]
    ladder: Ladder
    moves: int
    step: float
    depth: int = 4
    features: int = 128
    conditional: bool = False
    steps: int = 300_000
    batch: int = 128
    learning_rate: float = 1e-4
    epsilon: float = 1e-8
    average: float | None = 0.999
    flip: bool = True
    dequantize: bool = False
    denoise: bool = True
    printed_step: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        numbers = math.prod(self.shape)
        if self.ladder.numbers != numbers:
            got = f"got one of {self.ladder.numbers}"
            raise ValueError(f"images of {numbers} numbers need a ladder of that dimension, {got}")

    @property
    def annealing(self) -> Annealing:
        """The settings of annealed Langevin dynamics, with the variance that it ends with."""
        return Annealing(self.moves, self.step / self.ladder.last**2, self.ladder.gap)

    def units(self, top: float = 255.0) -> Standardize:
        """From images whose values run from 0 to `top` to states, from 0 to 1."""
        return Standardize(self.shape, torch.tensor(0.0), torch.tensor(top))

    def denoiser(self) -> NCSNDenoiser:
        """The network as a denoiser, with first weights from PyTorch's own generator."""
        channels, count = self.shape[0], self.ladder.count
        network = RefineNet(channels, self.features, self.depth, count if self.conditional else 0)
        return NCSNDenoiser(network, torch.tensor(self.ladder.levels, dtype=torch.float64).float())

    def process(self) -> VE:
        """The noise process through the levels of the ladder."""
        return VE(self.ladder.last, self.ladder.first)

    def schedule(self) -> ExplicitLevels:
        """The levels of the ladder as a schedule for samplers."""
        return ExplicitLevels(self.ladder.levels)

    def objective(self) -> DenoisingScoreMatching:
        """Denoising score matching, weighted by σ², over the levels of the ladder, each as often as the others.

        It is the published loss times 2/n, for n numbers.
        """
        return DenoisingScoreMatching(ProcessLevels(self.process(), self.ladder.count), math.inf)

    def sampler(self) -> AnnealedLangevin:
        """Annealed Langevin dynamics. It starts at the first level with the distribution of noisy images there."""
        return AnnealedLangevin(Langevin.from_full(self.step, self.ladder.last), self.moves)

    def train(
        self, denoiser: NCSNDenoiser, rows: Rows, seed: int = 0, top: float = 255.0, device: torch.device | str = "cpu"
    ) -> Iterator[Progress]:
        """Trains as published: Adam with a constant learning rate, and an exponential moving average of the weights.

        The average replaces the weights at the end, and where the loop is left earlier.

        Arguments:
            denoiser: The denoiser from `denoiser`, which is trained in place.
            rows: Images, of shape `(N, *shape)`.
            seed: The seed of their order, of levels and noise.
            top: Their values run from 0 to that.
            device: Where to train.

        Returns:
            Where training stands, after each step.

        Raises:
            RuntimeError: If the loss becomes non-finite (NaN or inf).
        """
        denoiser.to(device).train()
        flat = Flat(denoiser)
        weights = nn.Parameter(flat.values)
        weights.grad = flat.gradients
        # Adam compares gradients with ε, and the published losses are sums of n numbers, halved
        epsilon = self.epsilon * 2 / self.ladder.numbers
        optimizer = torch.optim.Adam([weights], self.learning_rate, eps=epsilon)
        average = flat.values.clone()
        feed, objective = Feed(rows, self.units(top).to(device), self.batch, seed, device), self.objective()
        rng, start = Steps(seed, device), time.perf_counter()
        try:
            for step in range(self.steps):
                flat.gradients.zero_()
                x0 = self._augmented(feed.batches(step), rng.at(step).child("images"), top)
                loss = objective(denoiser, x0, rng.at(step)).mean()
                if not bool(torch.isfinite(loss)):
                    what = f"the loss became non-finite (NaN or inf) at step {step + 1}"
                    raise RuntimeError(f"{what}: take a learning rate below {self.learning_rate:g}")
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                average.lerp_(flat.values, 1 - (self.average or 0.0))
                seconds = time.perf_counter() - start
                yield Progress(step + 1, (step + 1) / self.steps, seconds, loss.detach(), 1.0)
        finally:
            flat.read(average)
            flat.release()
            denoiser.eval().requires_grad_(False)

    def _augmented(self, x: Tensor, rng: Rng, top: float) -> Tensor:
        """Images between 0 and 1, mirrored and dequantized where the experiment says so."""
        if self.flip:
            mirrored = rng.uniform((len(x), 1, 1, 1), x.dtype, x.device) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
        return (top * x + rng.uniform(x.shape, x.dtype, x.device)) / (top + 1) if self.dequantize else x

    def model(self, denoiser: NCSNDenoiser, x: Any) -> Model:
        """The model of images: what was trained, with the sampler and the levels of the experiment.

        Samples of NCSN keep their last noise: `model.sample(count, denoise=False)`.

        Arguments:
            denoiser: The trained denoiser.
            x: The images, in any form that `Schema.of` takes, 8-bit or from 0 to 1: what samples will look like.

        Raises:
            ValueError: If the images have another shape.
        """
        schema = Schema.of(x, "grid")
        if schema.inner_shape != self.shape:
            raise ValueError(f"the experiment is for images {self.shape}, channels first, got {schema.inner_shape}")
        units = self.units(255.0 if schema.dtype == "uint8" else 1.0)
        found = summarize(schema.rows(x))
        moments = Gaussian(units(found.mean).float(), (found.variance / units.std.double() ** 2).float())
        sampling = Sampling(self.sampler(), None, self.schedule(), self.process())
        return Model(schema, units, denoiser, moments, sampling).eval()
