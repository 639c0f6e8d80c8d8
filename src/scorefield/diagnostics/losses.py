"""Losses: against the exact score, against what simple denoisers reach, and on training data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..denoisers import Denoiser
from ..metrics import loss_gap
from .base import ALPHA, ScoreCheck
from .states import NoisyStates, score_of

__all__ = ["error", "excess_loss", "gap"]

_ERROR = 0.1
_SMALL = 0.01  # of the loss is too little to matter, however sure
_NOTHING = 1e-6  # of the largest loss is none: categories are certain at low levels
_MEANINGS = {
    "error": "The root mean square error of the score over the size of the score, where the exact one is known.",
    "excess": (
        "The held-out loss of each level compared with that of denoisers which need no training: "
        "a Gaussian of the data's moments, "
        "and the training data themselves with noise. None of them beats the exact score; if this is flagged, the network is "
        "worse at that level than a formula: it was trained too little there, or it overfits."
    ),
    "gap": (
        "The loss on held-out data over that on training data. If this is flagged, the network overfits: "
        "samples will resemble the training data. More data, a smaller network or a shorter budget help."
    ),
}


def error(states: Sequence[NoisyStates], truth: Denoiser) -> ScoreCheck:
    """The error of the score, relative to its size."""
    found = []
    with torch.no_grad():
        for state in states:
            exact = score_of(truth, state.x, state.level)
            found.append(float(((state.score - exact).square().mean() / exact.square().mean()).sqrt()))
    levels = [state.level for state in states]
    return ScoreCheck.of_worst("error", found, levels, _ERROR, "the score", _MEANINGS["error"])


def excess_loss(states: Sequence[NoisyStates], others: Mapping[str, Sequence[NoisyStates]]) -> ScoreCheck:
    """The held-out loss over that of the best of other denoisers, less 1; a one-sided paired test at each level."""
    from scipy.stats import t as student

    tests = []
    best = [min(float(rows[i].loss.mean()) for rows in others.values()) for i in range(len(states))]
    ratios = _above([float(state.loss.mean()) for state in states], best).tolist()
    for i, state in enumerate(states):
        losses = {name: rows[i].loss for name, rows in others.items()}
        for name, loss in losses.items():
            apart = state.loss - loss
            z = float(apart.mean() / (apart.std() / math.sqrt(len(apart))).clamp_min(1e-300))
            tests.append((float(student.sf(z, len(apart) - 1)), i, name))
    p, i, name = min(test for test in tests if ratios[test[1]] > _SMALL or test is tests[0])
    p = min(1.0, p * len(tests))
    flagged = p < ALPHA and ratios[i] > _SMALL
    place = i if flagged else int(np.argmax(ratios))
    difference = f"{100 * abs(ratios[place]):.3g} % {'above' if ratios[place] > 0 else 'below'}"
    said = f"At level {states[place].level:.3g} the loss is {difference} that of the best formula (p = {p:.2g})."
    if flagged:
        said = f"At level {states[i].level:.3g} {name} does better: the loss is {difference} the best of these (p = {p:.2g})."
    level, by_level = states[place].level, tuple(ratios)
    return ScoreCheck("excess loss", ratios[place], 0.0, flagged, said, _MEANINGS["excess"], level, p, by_level)


def gap(states: Sequence[NoisyStates], training: Sequence[NoisyStates], seed: int) -> ScoreCheck:
    """Held-out against training losses, by permutations (`metrics.loss_gap`)."""
    levels = np.array([state.level for state in states])
    tables = [torch.stack([state.loss for state in rows], 1).float().cpu().numpy() for rows in (training, states)]
    found = loss_gap(levels, *tables, seed=seed)
    ratios = _above(found.held_out, found.train)
    worst = int(np.argmax(found.z))
    ratio, level = float(ratios[worst]), float(levels[worst])
    said, meaning, p = found.verdict, _MEANINGS["gap"], found.p_value
    return ScoreCheck("memory", ratio, 0.1, found.suspicious, said, meaning, level, p, tuple(ratios.tolist()))


def _above(losses: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray) -> np.ndarray:
    """How far the losses of all levels are above other ones, over these, or over the smallest that counts."""
    found, other = np.asarray(losses, float), np.asarray(others, float)
    least = max(_NOTHING * float(max(found.max(), other.max())), 1e-300)
    ratios: np.ndarray = (found - other) / np.maximum(other, least)
    return ratios
