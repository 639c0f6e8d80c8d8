"""The samplers and the networks of a paper that trains a score-based model on CIFAR-10, compared on one model and one budget.

The paper samples by Milstein's method, Euler-Maruyama, a predictor with a corrector and the probability-flow ODE, with the
process g(t) = σ^t, and changes the network of the tutorial by Song (2021): the size of its coarsest scale and its activation.
What it says of Milstein's method cannot be: g does not depend on the state, so that the method is that of Euler and Maruyama.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import Training, samplers as s
from scorefield.denoisers import Denoiser
from scorefield.fitting import Options, plan, prepare, train
from scorefield.mcmc import Langevin
from scorefield.model import Model
from scorefield.nn import TutorialUNet
from scorefield.schedules import UniformTime
from scorefield.settings import Data

__all__ = ["ACTIVATIONS", "SAMPLERS", "Compared", "compare_networks", "compare_samplers"]

# Name, sampler, evaluations per step; with the process and the times of the paper.
SAMPLERS: tuple[tuple[str, s.Sampler, int], ...] = (
    ("Euler-Maruyama", s.EulerMaruyama(), 1),
    ("Milstein", s.Milstein(), 1),
    ("predictor-corrector", s.PredictorCorrector(s.ReverseDiffusion(), Langevin(0.05)), 2),
    ("ODE, Heun", s.Heun(), 2),
)
ADAPTIVE = ("ODE, Dormand-Prince", s.DormandPrince(1e-2, 1e-2))
ACTIVATIONS = ("silu", "tanh", "erf")


@dataclass(frozen=True)
class Compared:
    """What samples are compared with.

    Arguments:
        distance: The Fréchet distance of samples to real images, and the total variance of their features over that of these.
        real: Real images, `(N, H, W, 3)`.
    """

    distance: Callable[[Any], tuple[float, float]]
    real: np.ndarray

    def of(self, drawn: np.ndarray) -> dict[str, Any]:
        """The distance, the spread, and by how much red, green and blue are brighter than in real images, in grey levels."""
        distance, spread = self.distance(drawn)
        colour = drawn.mean((0, 1, 2), dtype=np.float64) - self.real.mean((0, 1, 2), dtype=np.float64)
        return {"distance": distance, "spread": spread, "colour": [round(float(c), 2) for c in colour]}


class Counting(Denoiser):
    """A denoiser that counts how many states it is asked about."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.states = denoiser, 0

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        self.states += len(x)
        return self.denoiser(x, level)


def compare_samplers(model: Model, count: int, evaluations: Sequence[int], compared: Compared) -> list[dict[str, Any]]:
    """Every sampler with every number of evaluations, from the same seed; Milstein's samples are those of Euler-Maruyama."""
    rows, drawn = [], {}
    for budget in evaluations:
        cases = [("default", None, 1), *SAMPLERS]
        cases += [(*ADAPTIVE, 0)] if budget == evaluations[-1] else []
        for name, sampler, cost in cases:
            counting = Counting(model.denoiser)
            paper = {} if sampler is None else {"process": "tutorialve", "schedule": UniformTime()}
            steps = {"steps": max(1, (budget - 1) // cost)} if cost else {}
            start = time.perf_counter()
            samples = np.asarray(model.replace(denoiser=counting).sample(count, 0, sampler, **steps, **paper))
            row: dict[str, Any] = {"name": name, "seconds": time.perf_counter() - start}
            row["evaluations"] = counting.states / model.computed(count, sampler)
            row |= compared.of(samples)
            if name == "Milstein":
                row["equal"] = bool((samples == drawn["Euler-Maruyama", budget]).all())
            drawn[name, budget] = samples
            rows.append(row)
            print(_in_words(row), flush=True)
    return rows


def _in_words(row: dict[str, Any]) -> str:
    said = f"{row['name']:22} {row['evaluations']:6.1f} evaluations  distance {row['distance']:8.4g}"
    same = {True: "; equal to Euler-Maruyama in every bit", False: "; NOT equal to Euler-Maruyama"}
    return f"{said}  spread {row['spread']:.2f}  colour {row['colour']}{same.get(row.get('equal'), '')}"


def compare_networks(
    images: np.ndarray,
    widths: tuple[Sequence[int], Sequence[int]],
    training: Training,
    device: str,
    count: int,
    compared: Compared,
) -> list[dict[str, Any]]:
    """The networks of the paper's sweep: each size of the coarsest scale with each activation, at one budget."""
    options = Options(Data(dequantize=False, mirror=(1,), held_out=0.05), training=training, device=device)
    prepared, rows = prepare(images, options), []
    options = replace(options, noise_levels=plan(prepared, options).noise_levels)
    for coarsest in widths[1]:
        for activation in ACTIVATIONS:
            torch.manual_seed(0)
            network = TutorialUNet(3, (*widths[0], coarsest), activation=activation)
            fitted = train(plan(prepared, replace(options, network=network)))
            row: dict[str, Any] = {"coarsest": coarsest, "activation": activation, "loss": fitted.held_out_loss}
            row |= {name: fitted.record[name] for name in ("steps", "seconds")}
            row["parameters"] = sum(p.numel() for p in fitted.model.denoiser.parameters())
            row |= compared.of(np.asarray(fitted.model.to(device).sample(count)))
            rows.append(row)
            said = f"{coarsest} maps, {activation}: {row['steps']} steps, held-out loss {row['loss']:.4f}"
            print(f"{said}, distance {row['distance']:.4g}", flush=True)
    return rows
