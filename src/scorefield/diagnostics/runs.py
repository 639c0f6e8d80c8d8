"""The diagnosis of a run, on the data that it held out."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..bars import shown
from ..evaluation import RunData, standard
from ..runs import Run
from .base import Diagnosis
from .measure import diagnose

__all__ = ["diagnose_run"]

_LEVELS = 12
_NUMBERS = 2**18  # of held-out data, and of training data, at most


def diagnose_run(
    run: Run | RunData,
    x: Any | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool | None = None,
) -> Diagnosis:
    """Diagnoses the score of a run and keeps `diagnosis.json` in its folder.

    Arguments:
        run: The run, or a `RunData`, which may be conditioned on one context. The score of a model that has learned both is
            that without a context.
        x: The data that were fitted; read again from where they came from by default.
        seed: The seed of the noise.
        device: Where the network computes; by default a GPU if there is one, or the device of a `RunData`.
        progress: Whether a bar is shown; by default in a terminal or a notebook, and elsewhere one line of what takes long.

    Raises:
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run, too few were held out, or the model needs a context.
    """
    data = RunData.of(run, x, device).independent()
    model, train, held_out = data.model, data.train, data.held_out
    model.denoiser.check_mean("a diagnosis of the score")
    model.schema.require_one_length("diagnose", "compare model.log_prob(x) of held-out rows with what you know")
    count = max(64, min(4000, _NUMBERS // model.moments.mean.numel()))
    fresh = standard(model, held_out, count).to(model.device)
    learnt = None if train is held_out or not data.matched else standard(model, train, 4 * count).to(model.device)
    low, high = (float(model.process.level(torch.tensor(t, dtype=torch.float64))) for t in (0.0, 1.0))
    levels = torch.logspace(math.log10(max(low, 0.01)), math.log10(high), _LEVELS, dtype=torch.float64).tolist()
    with shown(progress):
        found = diagnose(model.diffusion.denoiser, fresh, levels, model.moments, learnt, seed=seed)
    data.run.write("diagnosis.json", found.plain())
    return found
