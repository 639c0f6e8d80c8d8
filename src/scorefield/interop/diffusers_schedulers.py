"""What the schedulers of diffusers say about a network: noise levels, labels, and what it predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..denoisers import (
    DataPrediction,
    EDMPrediction,
    FlowPrediction,
    NoisePrediction,
    Parametrization,
    ScorePrediction,
    VPrediction,
)
from ..denoisers.pretrained import FlowConditioning, IndexConditioning, LevelConditioning, NoiseConditioning
from ..processes import EDM, VE, Process

__all__ = ["Convention", "convention", "table"]

_HIGHEST = 200.0  # at higher levels the data are invisible: larger levels of a table are not needed
_PREDICTS: dict[str, Parametrization] = {"epsilon": NoisePrediction(), "v_prediction": VPrediction()}
_PREDICTS |= {"sample": DataPrediction()}
_BETAS = ("beta_start", "beta_schedule", "trained_betas")
_REFUSED = {
    "CMStochasticIterative": "is of a consistency model, which maps noise to images in one step and has no score",
    "ScoreSdeVp": "has labels that depend on the number of sampling steps: import the file of Score SDE itself",
    "KarrasVe": "evaluates networks of another scheduler: use the ScoreSdeVeScheduler of its pipeline",
}


@dataclass(frozen=True)
class Convention:
    """How a network of diffusers takes the noise, and what it returns.

    Arguments:
        labels: How it takes the noise level; None for ln(σ)/4 with states of variance 1, as in EDM.
        parametrization: What it predicts.
        process: The process of its training, on levels at which the data are visible.
        returns: "prediction", "negative" for the prediction with the other sign, or "score" for that over the level.
        centred: Whether images have values from -1 to 1, not 0 to 1.
        predicts: What it predicts, in the words of diffusers, and where that is said.
        levels: The noise levels, and where they are said.
    """

    labels: NoiseConditioning | None
    parametrization: Parametrization
    process: Process
    returns: str
    centred: bool
    predicts: tuple[str, str]
    levels: tuple[str, str]


def convention(scheduler: Mapping[str, Any]) -> Convention:
    """The convention of a network, by the `scheduler_config.json` of its folder.

    Raises:
        ValueError: If the scheduler is of a kind that cannot be imported.

    Example:
        >>> convention({"_class_name": "ScoreSdeVeScheduler", "sigma_max": 348}).process
        VE(sigma_min=0.01, sigma_max=348.0)
    """
    kind = scheduler.get("_class_name", "DDPMScheduler")
    predicts = scheduler.get("prediction_type", "epsilon")
    for name, why in _REFUSED.items():
        if kind.startswith(name):
            raise ValueError(f"the scheduler {kind} {why}")
    if kind.startswith("ScoreSdeVe"):
        return _score_sde(scheduler)
    if kind.startswith("EDM"):
        return _edm(scheduler, scheduler.get("sigma_data", 0.5))
    if kind.startswith("FlowMatch") or predicts == "flow_prediction" or scheduler.get("use_flow_sigmas"):
        return _flow(scheduler, kind)
    if scheduler.get("timestep_type") == "continuous":
        if predicts != "v_prediction":
            raise ValueError(f"the scheduler {kind} has continuous timesteps and predicts {predicts}, not v_prediction")
        return _edm(scheduler, 1.0)
    if not any(name in scheduler for name in _BETAS):
        known = "DDPM and its relatives, ScoreSdeVe, EDM and FlowMatch"
        raise ValueError(f"the scheduler {kind} has no betas: only {known} can be imported")
    if predicts not in _PREDICTS:
        raise ValueError(f"the prediction_type {predicts!r} of the scheduler is not known ({', '.join(_PREDICTS)} are)")
    levels = table(scheduler)
    labels, process = IndexConditioning(levels, preserving=True), EDM(levels[0], min(levels[-1], _HIGHEST))
    text = f"{len(levels)}, {levels[0]:.3g} to {levels[-1]:.3g}", "betas of the scheduler"
    said = "prediction_type of the scheduler"
    return Convention(labels, _PREDICTS[predicts], process, "prediction", True, (predicts, said), text)


def _ends(scheduler: Mapping[str, Any], low: float, high: float) -> tuple[float, float, tuple[str, str]]:
    """The least and the greatest level, with defaults, and as a text."""
    found = scheduler.get("sigma_min"), scheduler.get("sigma_max")
    low, high = (float(default if value is None else value) for value, default in zip(found, (low, high), strict=True))
    if not 0 < low < high:
        raise ValueError(f"the scheduler needs 0 < sigma_min < sigma_max, got {low:g} and {high:g}")
    return low, high, (f"{low:.3g} to {high:.3g}", "sigma_min and sigma_max of the scheduler")


def _score_sde(scheduler: Mapping[str, Any]) -> Convention:
    low, high, text = _ends(scheduler, 0.01, 1348.0)
    labels, said = LevelConditioning(low, high), ("score", "as all networks of this scheduler")
    return Convention(labels, ScorePrediction(), VE(low, high), "score", False, said, text)


def _edm(scheduler: Mapping[str, Any], scale: float) -> Convention:
    low, high, text = _ends(scheduler, 0.002, 80.0)
    predicts = scheduler.get("prediction_type", "epsilon")
    signs = {"epsilon": "prediction", "v_prediction": "negative"}
    if predicts not in signs:
        raise ValueError(f"the prediction_type {predicts!r} of an EDM scheduler is not known ({', '.join(signs)} are)")
    said = f"{predicts} of EDM", f"the scheduler, with data of standard deviation {scale:g}"
    return Convention(None, EDMPrediction(scale), EDM(low, high), signs[predicts], True, said, text)


def _flow(scheduler: Mapping[str, Any], kind: str) -> Convention:
    if scheduler.get("invert_sigmas"):
        raise ValueError(f"the scheduler {kind} has inverted times (invert_sigmas), which cannot be imported")
    count = scheduler.get("num_train_timesteps", 1000)
    shift = float(scheduler.get("flow_shift") or scheduler.get("shift") or 1.0)
    low = shift / (count - 1) if count > 1 else 1e-3  # at the time s/N / (1 + (s - 1)/N) of the first timestep
    labels = FlowConditioning(float(count), low)
    text = f"from {low:.3g}", "the first timestep of the scheduler; the last is pure noise"
    said = "velocity", "as all networks of this scheduler"
    return Convention(labels, FlowPrediction(), EDM(low, _HIGHEST), "prediction", True, said, text)


def table(config: Mapping[str, Any]) -> list[float]:
    """The noise levels √(1/ᾱ - 1) of the timesteps of a scheduler, increasing, by its `scheduler_config.json`.

    Example:
        >>> levels = table({"num_train_timesteps": 1000, "beta_schedule": "linear"})
        >>> len(levels), round(levels[0], 4), round(levels[-1], 1)
        (1000, 0.01, 157.4)
    """
    alphas = torch.cumprod(1 - _betas(config), 0)
    if config.get("rescale_betas_zero_snr"):  # then the last step is pure noise, and has no level
        roots = alphas.sqrt()
        alphas = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])).square()[:-1]
    return [float(level) for level in torch.sqrt(1 / alphas - 1)]


def _betas(config: Mapping[str, Any]) -> Tensor:
    """The βs of a scheduler, `(N,)`; a ValueError if its schedule is not known."""
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float64)
    count = config.get("num_train_timesteps", 1000)
    first, last = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    kind = config.get("beta_schedule", "linear")
    if kind == "linear":
        return torch.linspace(first, last, count, dtype=torch.float64)
    if kind == "scaled_linear":
        return torch.linspace(math.sqrt(first), math.sqrt(last), count, dtype=torch.float64).square()
    if kind == "sigmoid":
        curve: Tensor = torch.linspace(-6, 6, count, dtype=torch.float64).sigmoid() * (last - first) + first
        return curve
    if kind == "squaredcos_cap_v2":
        time = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        bar: Tensor = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        return (1 - bar[1:] / bar[:-1]).clamp_max(0.999)
    known = "linear, scaled_linear, sigmoid, squaredcos_cap_v2, or trained_betas"
    raise ValueError(f"the beta_schedule {kind!r} of the scheduler is not known ({known} are): set its trained_betas")
