"""Networks and budgets for tables of many rows: held-out loss against CPU seconds, where the distribution is known.

    python benchmarks/table_budgets.py --rows 200000 --columns 100 --settings steps=30000 width=512,steps=10000,batch=512

A mixture of Gaussians of which each has its own factors: its exact denoiser gives the loss that cannot be fallen below, for the
same held-out rows and noise. What is printed for each of the settings is the excess over it, as a part of that of the Gaussian
with the moments of the data, on the way and at the end; and CPU seconds, those of measuring left out. Settings that are left
out are those that `fit` chooses.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch

from scorefield import Network, Training
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.fitting import Options, Plan, plan, prepare, threads, trainer_of
from scorefield.settings import Data
from scorefield.training import Trainer, held_out_losses

__all__ = ["main"]

COPIES = 8192  # of held-out rows, with noise, that losses are measured on


def mixture(columns: int, components: int = 12, seed: int = 0) -> Mixture:
    """Gaussians with factors of their own, a tenth of their variance aside, whose means are one standard deviation apart."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(components, columns, max(2, columns // 8))) / np.sqrt(max(2, columns // 8))
    covariances = 0.9 * factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(columns)
    means, weights = rng.normal(size=(components, columns)), rng.dirichlet(np.full(components, 5.0))
    return Mixture(*(torch.from_numpy(each) for each in (means, covariances, weights)))


def rows_of(truth: Mixture, count: int, seed: int = 1) -> np.ndarray:
    """Rows of a mixture."""
    rng = np.random.default_rng(seed)
    which = rng.choice(len(truth.weights), count, p=truth.weights.numpy())
    z = rng.normal(size=(count, truth.means.shape[1]))
    found = np.empty_like(z)
    for k, (mean, covariance) in enumerate(zip(truth.means.numpy(), truth.covariances.numpy())):
        found[which == k] = mean + z[which == k] @ np.linalg.cholesky(covariance).T
    return found


def in_units(truth: Mixture, planned: Plan) -> Mixture:
    """The mixture in the units of the states."""
    units: Any = planned.prepared.affine
    mean, std = units.mean.double(), units.std.double()
    covariances = truth.covariances / (std[:, None] * std)
    return Mixture((truth.means - mean) / std, covariances, truth.weights)


class Double(Denoiser):
    """A denoiser that computes in double precision, for states in single precision: noise is drawn in that of the states."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.denoiser(x.double(), level.double())
        return answer.to(x)


class Measured:
    """Excess losses of a training, as parts of that of the Gaussian with the moments of the data."""

    def __init__(self, trainer: Trainer, truth: Denoiser, moments: Gaussian) -> None:
        trainer._copies = COPIES
        known = (trainer.held_out, trainer.objective, COPIES)
        found = (held_out_losses(Double(each), *known).data.mean() for each in (truth, moments.double()))
        self.best, self.gaussian = map(float, found)

    def __call__(self, loss: float) -> float:
        return (loss - self.best) / (self.gaussian - self.best)


def measure(x: np.ndarray, truth: Mixture, settings: dict[str, float]) -> dict[str, Any]:
    """Trains by some settings."""
    widths = {"width": "widths", "depth": "depth"}
    network = {widths[k]: (int(v),) if k == "width" else int(v) for k, v in settings.items() if k in widths}
    training = {
        k: bool(v) if k == "end_early" else v if v < 1 else int(v) for k, v in settings.items() if k not in widths
    }
    options = Options(Data(maps="affine"), Network(**network), Training(**training), device="cpu")
    start = time.process_time()
    planned = plan(prepare(x, options), options)
    before = time.process_time() - start
    with threads(planned):
        trainer = trainer_of(planned)
        measured = Measured(trainer, in_units(truth, planned), planned.prepared.moments)
        way, spent, last = [], 0.0, time.process_time()
        for progress in trainer.run():
            now = time.process_time()
            if progress.held_out is None:
                spent += now - last
            else:
                way.append([progress.step, round(spent, 1), round(measured(progress.held_out), 5)])
            last = now
        which, loss = trainer.finish()
    found = {"settings": settings, "network": planned.choice("network").value, "batch": planned.training.batch}
    found |= {"before": round(before, 1), "seconds": round(spent, 1), "steps": trainer.step, "stopped": trainer.stopped}
    return found | {"excess": round(measured(loss), 5), "weights": which, "way": way[3::4]}


def main() -> None:
    """Measures each of the settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--components", type=int, default=12)
    parser.add_argument("--settings", nargs="+", default=["default"])
    asked = parser.parse_args()
    truth = mixture(asked.columns, asked.components)
    x = rows_of(truth, asked.rows)
    for words in asked.settings:
        pairs = [] if words == "default" else [word.split("=") for word in words.split(",")]
        found = measure(x, truth, {name: float(value) for name, value in pairs})
        print(json.dumps({"rows": asked.rows, "columns": asked.columns, **found}), flush=True)


if __name__ == "__main__":
    main()
