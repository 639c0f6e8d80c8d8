"""Imports folders of diffusers that hold a `UNet2DModel`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..denoisers import DataPrediction, NoisePrediction, Parametrization, VPrediction
from ..denoisers.pretrained import IndexConditioning, PretrainedDenoiser
from ..model import Model
from ..processes import EDM
from ..samplers import ExponentialAdams, Sampling
from .images import SPREAD, form, keep, moments, units
from .released import fill, read_released

__all__ = ["UNet2D", "import_diffusers", "table"]

_STEPS = 50
_HIGHEST = 200.0  # at higher levels the data are invisible: larger levels of a table are not needed
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_PREDICTS: dict[str, Parametrization] = {"epsilon": NoisePrediction(), "v_prediction": VPrediction()}
_PREDICTS |= {"sample": DataPrediction()}


class UNet2D(nn.Module):
    """A `UNet2DModel` of diffusers, by the text of its `config.json`, as a network F(x, c), where c is its timestep."""

    def __init__(self, config: str) -> None:
        super().__init__()
        self.config = config
        arguments = json.loads(config)
        self.channels = int(arguments.get("in_channels", 3))
        self.integer_steps = arguments.get("time_embedding_type", "positional") == "learned"
        if arguments.get("class_embed_type") is not None or arguments.get("num_class_embeds") is not None:
            raise ValueError("the network is class-conditional, which cannot be imported: use an unconditional one")
        if int(arguments.get("out_channels", 3)) not in (self.channels, 2 * self.channels):
            got = f"{arguments.get('out_channels')} channels for {self.channels}"
            raise ValueError(f"the network returns {got}: it is not a diffusion model of images")
        try:
            kind = import_module("diffusers").UNet2DModel
        except ImportError as error:
            raise ImportError("a UNet2DModel needs the package diffusers: pip install diffusers") from error
        self.model = kind.from_config(arguments)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """The prediction, `(B, C, H, W)`, at timesteps `(B,)`, without a learned variance."""
        output: Tensor = self.model(x, c.round().long() if self.integer_steps else c, return_dict=False)[0]
        return output[:, : self.channels]


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


def import_diffusers(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> Model:
    """Imports a folder of diffusers with a `UNet2DModel` and its scheduler as a model of images.

    The scheduler says what the network predicts (epsilon, v_prediction, sample), and its betas give the noise levels of
    the timesteps; at levels in between, the network is evaluated at fractional timesteps. The package diffusers builds
    the network: it is needed here, and wherever the model is used.

    Arguments:
        path: The folder of a pipeline, or of its unet: `config.json` and `diffusion_pytorch_model.safetensors` (or
            `.bin`), with `scheduler_config.json` next to them, in `scheduler/` or in `../scheduler/`.
        run: A folder in which to save the model as a run, for the command line.
        size: The side of the images, or height and width, if the configuration does not say.
        x: Images, `(N, H, W, C)`, 8-bit or with values from 0 to 1, which give the model its mean and variance.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.

    Returns:
        The model, in the form of `x`, by default of 8-bit images `(H, W, C)`.

    Raises:
        FileNotFoundError: If there are no such files.
        ImportError: If diffusers is not installed.
        ValueError: If the network or the scheduler is not supported, or the weights do not fit.
    """
    path = Path(path)
    about = _find(path, ("config.json", "unet/config.json"))
    kind = json.loads(about.read_text()).get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ValueError(f"{about} describes a {kind}, but only a UNet2DModel can be imported")
    candidates = ("scheduler_config.json", "scheduler/scheduler_config.json", "../scheduler/scheduler_config.json")
    scheduler = json.loads(_find(path, candidates).read_text())
    levels, predicts = _convention(scheduler)
    config = about.read_text()
    network = UNet2D(config)
    weights = _find(about.parent, _WEIGHTS)
    fill(network.model, read_released(weights), "a UNet2DModel of that config.json")
    network.eval().requires_grad_(False)
    requested = json.loads(config).get("sample_size") if size is None else size
    if requested is None:
        raise ValueError(f"{about} does not give the size of the images (sample_size): pass size=")
    side = (requested, requested) if isinstance(requested, int) else (int(requested[0]), int(requested[1]))
    schema = form(network.channels, side, x)
    standardize = units(schema, centred=True)
    gaussian, moments_choice = moments(schema, standardize, x)
    scale = 2 * SPREAD if x is None else float(gaussian.covariance.mean().sqrt())
    denoiser = PretrainedDenoiser(network, IndexConditioning(levels, preserving=True), _PREDICTS[predicts])
    process = EDM(levels[0], min(levels[-1], _HIGHEST))
    sampler = ExponentialAdams(order=2, scale=scale, eta=1.0)
    model = Model(schema, standardize, denoiser, gaussian, Sampling(sampler, _STEPS, process=process)).eval()
    if run is not None:
        count = sum(p.numel() for p in network.parameters())
        choices = [
            ("structure", schema.structure, schema.reason),
            ("network", f"UNet2DModel, {count:,} parameters", f"from {about.name}"),
            ("predicts", predicts, "prediction_type of the scheduler"),
            ("noise levels", f"{len(levels)}, {levels[0]:.3g} to {levels[-1]:.3g}", "betas of the scheduler"),
            moments_choice,
        ]
        keep(model, run, {"kind": "diffusers", "network": kind, "path": str(path.absolute())}, choices, x, source)
    return model


def _find(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of several files that exists."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has none of {', '.join(names)}: is it a folder of diffusers?")


def _convention(scheduler: Mapping[str, Any]) -> tuple[list[float], str]:
    """The noise levels of the timesteps, and what the network predicts."""
    kind = scheduler.get("_class_name", "DDPMScheduler")
    if "beta_start" not in scheduler and "beta_schedule" not in scheduler and "trained_betas" not in scheduler:
        raise ValueError(f"the scheduler {kind} has no betas: only DDPM and related schedulers can be imported")
    predicts = scheduler.get("prediction_type", "epsilon")
    if predicts not in _PREDICTS:
        raise ValueError(f"the prediction_type {predicts!r} of the scheduler is not known ({', '.join(_PREDICTS)} are)")
    return table(scheduler), predicts
