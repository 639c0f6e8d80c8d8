"""The training configurations of the published checkpoints of Song et al. (2021), which the files do not hold."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..denoisers import NoisePrediction, Parametrization, ScorePrediction
from ..denoisers.pretrained import IndexConditioning, LevelConditioning, NoiseConditioning, TimeConditioning
from ..processes import VE, VP, Process, SubVP

__all__ = ["RECIPES", "Recipe", "find", "recipe_of"]


@dataclass(frozen=True)
class Recipe:
    """How a network was trained: its process, whether at all times, and the arguments of `NCSNpp` that are not defaults."""

    process: Process
    continuous: bool
    network: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.process, VE | VP | SubVP):
            raise ValueError(f"Score SDE uses the processes VE, VP and SubVP, got {type(self.process).__name__}")
        if isinstance(self.process, SubVP) and not self.continuous:
            raise ValueError("Score SDE trains SubVP only with continuous times: set continuous=True")

    @property
    def parametrization(self) -> Parametrization:
        """What the network predicts, before the division by the level."""
        return ScorePrediction() if isinstance(self.process, VE) else NoisePrediction()

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `NCSNpp`; images were in [0, 1] for VE, in [-1, 1] for the others."""
        if not isinstance(self.process, VE):
            return {"centered": True, **self.network}
        range_ = {"sigma_min": self.process.sigma_min, "sigma_max": self.process.sigma_max}
        return {"centered": False, **range_, **self.network}

    @property
    def labels(self) -> NoiseConditioning:
        """How the network is conditioned on the noise level."""
        process, levels = self.process, self.network.get("levels", 1000)
        if isinstance(process, VE):
            if self.continuous:
                return LevelConditioning(process.sigma_min, process.sigma_max)
            times = torch.linspace(1, 0, levels, dtype=torch.float64)
            return IndexConditioning(process.sigma(times).tolist())
        if not isinstance(process, VP | SubVP):
            raise TypeError(f"there is no noise conditioning for {type(process).__name__}")
        if self.continuous:
            return TimeConditioning(process.beta_min, process.beta_max, isinstance(process, SubVP))
        beta = torch.linspace(process.beta_min / levels, process.beta_max / levels, levels, dtype=torch.float64)
        level = torch.expm1(-torch.log1p(-beta).cumsum(0)).sqrt()  # √((1 - ᾱ) / ᾱ)
        return IndexConditioning(level.tolist(), preserving=True)


_LEVEL = {"embedding": "level"}
_TIME = {"embedding": "time"}
_DEEP = {"depth": 8}
_DDPMPP = {**_TIME, "taps": (), "progressive_input": "none"}
_DDPM = {**_DDPMPP, "block": "ddpm", "rescale": False, "depth": 2, "groups": 32}
_DDPM_256 = {**_DDPM, "size": 256, "multipliers": (1, 1, 2, 2, 4, 4), "dropout": 0.0}
_SKIPS = {**_LEVEL, "progressive": "output_skip", "progressive_input": "input_skip", "dropout": 0.0, "levels": 2000}
_256 = {**_SKIPS, "size": 256, "multipliers": (1, 1, 2, 2, 2, 2, 2), "depth": 2}
_1024 = {**_SKIPS, "size": 1024, "width": 16, "multipliers": (1, 2, 4, 8, 16, 32, 32, 32), "depth": 1}

RECIPES: dict[str, Recipe] = {
    "ve/cifar10_ncsnpp": Recipe(VE(0.01, 50.0), False, _TIME),
    "ve/cifar10_ncsnpp_continuous": Recipe(VE(0.01, 50.0), True, _LEVEL),
    "ve/cifar10_ncsnpp_deep_continuous": Recipe(VE(0.01, 50.0), True, {**_LEVEL, **_DEEP}),
    "ve/cifar10_ddpm": Recipe(VE(0.01, 50.0), False, _DDPM),
    "ve/celeba_ncsnpp": Recipe(VE(0.01, 90.0), False, {**_TIME, "size": 64}),
    "ve/bedroom_ncsnpp_continuous": Recipe(VE(0.01, 378.0), True, _256),
    "ve/church_ncsnpp_continuous": Recipe(VE(0.01, 380.0), True, _256),
    "ve/celebahq_256_ncsnpp_continuous": Recipe(VE(0.01, 348.0), True, _256),
    "ve/ffhq_256_ncsnpp_continuous": Recipe(VE(0.01, 348.0), True, _256),
    "ve/celebahq_ncsnpp_continuous": Recipe(VE(0.01, 1348.0), True, _1024),
    "ve/ffhq_ncsnpp_continuous": Recipe(VE(0.01, 1348.0), True, _1024),
    "vp/cifar10_ncsnpp": Recipe(VP(), False, _TIME),
    "vp/cifar10_ncsnpp_continuous": Recipe(VP(), True, _TIME),
    "vp/cifar10_ncsnpp_deep_continuous": Recipe(VP(), True, {**_TIME, **_DEEP}),
    "vp/cifar10_ddpm": Recipe(VP(), False, _DDPM),
    "vp/cifar10_ddpm_continuous": Recipe(VP(), True, _DDPM),
    "vp/cifar10_ddpmpp": Recipe(VP(), False, _DDPMPP),
    "vp/cifar10_ddpmpp_continuous": Recipe(VP(), True, _DDPMPP),
    "vp/cifar10_ddpmpp_deep_continuous": Recipe(VP(), True, {**_DDPMPP, **_DEEP}),
    "vp/bedroom_ddpm": Recipe(VP(), False, _DDPM_256),
    "vp/church_ddpm": Recipe(VP(), False, _DDPM_256),
    "vp/celebahq_ddpm": Recipe(VP(), False, _DDPM_256),
    "subvp/cifar10_ncsnpp_continuous": Recipe(SubVP(), True, _TIME),
    "subvp/cifar10_ncsnpp_deep_continuous": Recipe(SubVP(), True, {**_TIME, **_DEEP}),
    "subvp/cifar10_ddpm_continuous": Recipe(SubVP(), True, _DDPM),
    "subvp/cifar10_ddpmpp_continuous": Recipe(SubVP(), True, _DDPMPP),
    "subvp/cifar10_ddpmpp_deep_continuous": Recipe(SubVP(), True, {**_DDPMPP, **_DEEP}),
}


def find(name: str) -> Recipe:
    """The recipe of the authors' name, such as "vp/cifar10_ddpmpp_continuous"; the folder may be left out if no other fits."""
    if name in RECIPES:
        return RECIPES[name]
    same = [full for full in RECIPES if full.split("/")[1] == name]
    if len(same) == 1:
        return RECIPES[same[0]]
    similar = same or difflib.get_close_matches(name, RECIPES, 3, 0.5) or list(RECIPES)
    what = f"there are {len(same)} presets {name!r}" if same else f"there is no preset {name!r}"
    raise ValueError(f"{what}: use {', '.join(similar[:-1])}{' or ' if similar[1:] else ''}{similar[-1]}")


def recipe_of(values: Mapping[str, Any], network: Mapping[str, Any]) -> Recipe | None:
    """The recipe in a configuration; None if it does not say which process it is.

    Arguments:
        values: The settings, by names such as "training.sde".
        network: The arguments of the network.

    Example:
        >>> recipe_of({"training.sde": "vpsde", "training.continuous": False}, {}).process
        VP(beta_min=0.1, beta_max=20.0, start=1e-05)
    """
    kind = str(values.get("training.sde", "")).lower()
    continuous = bool(values.get("training.continuous", True))
    low, high = values.get("model.beta_min", 0.1), values.get("model.beta_max", 20.0)
    if kind in ("vpsde", "vp"):
        return Recipe(VP(low, high), continuous, network)
    if kind in ("subvpsde", "subvp"):
        return Recipe(SubVP(low, high), True, network)
    if kind in ("vesde", "ve") and "model.sigma_max" in values:
        return Recipe(VE(values.get("model.sigma_min", 0.01), values["model.sigma_max"]), continuous, network)
    return None
