"""Folders of the package diffusers that hold a `UNet2DModel`, as models."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..denoisers import DataPrediction, NoisePrediction, Parametrization, VPrediction
from ..denoisers.pretrained import IndexConditioning, PretrainedDenoiser
from ..model import Model
from ..processes import EDM
from ..samplers import ExponentialAdams, Sampling
from .images import SPREAD, form, keep, moments, units
from .released import fill, read_released

__all__ = ["UNet2D", "import_diffusers", "table"]

_STEPS = 50
_HIGHEST = 200.0  # above, the state is noise to the eye: tables end there, or go on for nothing
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_PREDICTS: dict[str, Parametrization] = {
    "epsilon": NoisePrediction(),
    "v_prediction": VPrediction(),
    "sample": DataPrediction(),
}


class UNet2D(nn.Module):
    """A `UNet2DModel` of diffusers as a network F(x, c), c being its timestep, which need not be whole.

    Arguments:
        config: What its `config.json` holds.

    Raises:
        ImportError: If diffusers is not installed.
        ValueError: If the network wants classes, or answers with other channels.
    """

    def __init__(self, config: str) -> None:
        super().__init__()
        self.config = config
        given = json.loads(config)
        self.channels = int(given.get("in_channels", 3))
        self.whole = given.get("time_embedding_type", "positional") == "learned"
        if given.get("class_embed_type") is not None or given.get("num_class_embeds") is not None:
            raise ValueError("the network is told classes, which models here are not: take an unconditional one")
        if int(given.get("out_channels", 3)) not in (self.channels, 2 * self.channels):
            got = f"{given.get('out_channels')} channels for {self.channels}"
            raise ValueError(f"the network answers with {got}: it is for something else than drawing images")
        try:
            kind = import_module("diffusers").UNet2DModel
        except ImportError as error:
            raise ImportError("a UNet2DModel needs the package diffusers: pip install diffusers") from error
        self.model = kind.from_config(given)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts, `(B, C, H, W)` and timesteps `(B,)` to `(B, C, H, W)`; variances that were learned are left out."""
        answer = self.model(x, c.round().long() if self.whole else c, return_dict=False)[0]
        return answer[:, : self.channels]


def table(config: Mapping[str, Any]) -> list[float]:
    """The noise levels √(1/ᾱ - 1) of a scheduler's timesteps, which rise.

    Arguments:
        config: What its `scheduler_config.json` holds.

    Raises:
        ValueError: If its betas are not known here.

    Example:
        >>> levels = table({"num_train_timesteps": 1000, "beta_schedule": "linear"})
        >>> len(levels), round(levels[0], 4), round(levels[-1], 1)
        (1000, 0.01, 157.4)
    """
    alphas = torch.cumprod(1 - _betas(config), 0)
    if config.get("rescale_betas_zero_snr"):  # the last step is pure noise then, and has no level
        roots = alphas.sqrt()
        alphas = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])).square()[:-1]
    return torch.sqrt(1 / alphas - 1).tolist()


def _betas(config: Mapping[str, Any]) -> Tensor:
    """The βs of a scheduler, of shape `(N,)`."""
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float64)
    count, first, last = (config.get(n, d) for n, d in _DEFAULTS)
    kind = config.get("beta_schedule", "linear")
    if kind == "linear":
        return torch.linspace(first, last, count, dtype=torch.float64)
    if kind == "scaled_linear":
        return torch.linspace(math.sqrt(first), math.sqrt(last), count, dtype=torch.float64).square()
    if kind == "sigmoid":
        return torch.linspace(-6, 6, count, dtype=torch.float64).sigmoid() * (last - first) + first
    if kind == "squaredcos_cap_v2":
        time = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        bar = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        return (1 - bar[1:] / bar[:-1]).clamp_max(0.999)
    known = "linear, scaled_linear, sigmoid, squaredcos_cap_v2, or trained_betas"
    raise ValueError(f"the scheduler's beta_schedule is {kind!r}, known are {known}: give it its trained_betas")


_DEFAULTS = (("num_train_timesteps", 1000), ("beta_start", 1e-4), ("beta_end", 0.02))


def import_diffusers(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> Model:
    """A folder of diffusers that holds a `UNet2DModel` and its scheduler, as a model of images.

    The scheduler says what the network predicts (epsilon, v_prediction, sample) and the levels of its timesteps; between
    two of them the network is asked at a timestep that is not whole. The package diffusers builds the network: it is
    needed here, and wherever the model is used.

    Arguments:
        path: The folder of a pipeline, or of its unet: `config.json` and `diffusion_pytorch_model.safetensors` (or
            `.bin`), with `scheduler_config.json` beside them, in `scheduler/` or in `../scheduler/`.
        run: A folder to keep the model in, as a run that the other commands take.
        size: The side of the images, or height and width, if the configuration does not say.
        x: Images, `(N, H, W, C)` of 8 bits or numbers from 0 to 1: their mean and variance are those of the model.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.

    Returns:
        The model, in the form of `x`, of 8-bit images `(H, W, C)` if there are none.

    Raises:
        FileNotFoundError: If there are no such files.
        ImportError: If diffusers is not installed.
        ValueError: If the network or the scheduler is not known here, or the weights do not fit.
    """
    path = Path(path)
    about = _find(path, ("config.json", "unet/config.json"))
    kind = json.loads(about.read_text()).get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ValueError(f"{about} describes a {kind}, only a UNet2DModel can be imported")
    beside = ("scheduler_config.json", "scheduler/scheduler_config.json", "../scheduler/scheduler_config.json")
    scheduler = json.loads(_find(path, beside).read_text())
    levels, predicts = _convention(scheduler)
    config = about.read_text()
    network = UNet2D(config)
    weights = _find(about.parent, _WEIGHTS)
    fill(network.model, read_released(weights), "a UNet2DModel of that config.json")
    network.eval().requires_grad_(False)
    asked = json.loads(config).get("sample_size") if size is None else size
    if asked is None:
        raise ValueError(f"{about} does not say the size of images (sample_size): give size=…")
    side = (asked, asked) if isinstance(asked, int) else (int(asked[0]), int(asked[1]))
    schema = form(network.channels, side, x)
    standardize = units(schema, centred=True)
    law, told = moments(schema, standardize, x)
    scale = 2 * SPREAD if x is None else float(law.covariance.mean().sqrt())
    denoiser = PretrainedDenoiser(network, IndexConditioning(levels, preserving=True), _PREDICTS[predicts])
    process = EDM(levels[0], min(levels[-1], _HIGHEST))
    sampler = ExponentialAdams(order=2, scale=scale, eta=1.0)
    model = Model(schema, standardize, denoiser, law, Sampling(sampler, _STEPS, process=process)).eval()
    if run is not None:
        count = sum(p.numel() for p in network.parameters())
        choices = [
            ("structure", schema.structure, schema.reason),
            ("network", f"UNet2DModel, {count:,} parameters", f"{about.name} of the folder"),
            ("predicts", predicts, "the scheduler's prediction_type"),
            ("noise levels", f"{len(levels)}, {levels[0]:.3g} to {levels[-1]:.3g}", "the scheduler's table of betas"),
            told,
        ]
        keep(model, run, {"kind": "diffusers", "network": kind, "path": str(path.absolute())}, choices, x, source)
    return model


def _find(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of some files that is there."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"there is none of {', '.join(names)} in {folder}: is it a folder of diffusers?")


def _convention(scheduler: Mapping[str, Any]) -> tuple[list[float], str]:
    """The levels of the timesteps, and what the network predicts."""
    kind = scheduler.get("_class_name", "DDPMScheduler")
    if "beta_start" not in scheduler and "beta_schedule" not in scheduler and "trained_betas" not in scheduler:
        raise ValueError(f"the scheduler {kind} has no table of betas: only those of DDPM and its like can be imported")
    predicts = scheduler.get("prediction_type", "epsilon")
    if predicts not in _PREDICTS:
        raise ValueError(f"the scheduler's prediction_type is {predicts!r}, known are {', '.join(_PREDICTS)}")
    return table(scheduler), predicts
