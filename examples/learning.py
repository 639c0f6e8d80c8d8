"""A small network and its training by any objective.

Other examples import it; it has no command line.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.data import ArrayRows
from scorefield.denoisers import Denoiser, EDMPrediction, Parametrization, Preconditioned
from scorefield.nn import MLP
from scorefield.objectives import LevelObjective
from scorefield.settings import Training
from scorefield.training import Feed, Trainer
from scorefield.units import Standardize


def learned(
    objective: LevelObjective,
    x: Tensor,
    held_out: Tensor,
    steps: int,
    unit: float = 1.0,
    predicts: Parametrization | None = None,
    evaluations: int = 40,
) -> Denoiser:
    """The denoiser of vectors `(N, F)` in a unit of length that an objective trains: an MLP, batches of 256, and Adam."""
    torch.manual_seed(0)
    size = x.shape[1]
    denoiser = Preconditioned(MLP(size, 128, 3), predicts or EDMPrediction())
    units = Standardize((size,), torch.zeros(size), torch.full((size,), unit))
    adam = {"learning_rate": 2e-3, "muon_learning_rate": 0.0}
    training = Training(steps=steps, batch=256, evaluations=evaluations, patience=1000, **adam)
    trainer = Trainer(denoiser, Feed(ArrayRows(x.float()), units, 256, 0), units(held_out).float(), objective, training)
    for _ in trainer.run():
        pass
    trainer.finish()
    return denoiser
