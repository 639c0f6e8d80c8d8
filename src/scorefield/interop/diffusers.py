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

from ..context import Context, ContextColumn
from ..denoisers import ConditionalPreconditioned, DenoiserModule, PretrainedConditional
from ..denoisers.precondition import Preconditioned
from ..denoisers.pretrained import PretrainedDenoiser
from ..model import Model
from ..reading import reads, text_of
from ..samplers import sde_sampling
from .diffusers_schedulers import Convention, convention, table
from .images import STEPS, Imported, finish, form, moments, units
from .released import fill, read_released

__all__ = ["UNet2D", "import_diffusers", "table"]

_RETURNS = ("prediction", "negative", "score")
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


class UNet2D(nn.Module):
    """A `UNet2DModel` of diffusers, by the text of its `config.json`, as a network F(x, c) or F(x, c, context).

    Arguments:
        config: The text.
        returns: What the model returns: "prediction" for F, "negative" for -F, "score" for F over its timestep.
        offset: Its timestep is c + offset.

    Raises:
        ImportError: If diffusers is not installed.
        ValueError: If the model is not one of images, or takes something other than a class.
    """

    def __init__(self, config: str, returns: str = "prediction", offset: float = 0.0) -> None:
        super().__init__()
        self.config, self.returns, self.offset = config, returns, offset
        arguments = json.loads(config)
        self.channels = int(arguments.get("in_channels", 3))
        self.integer_steps = arguments.get("time_embedding_type", "positional") == "learned"
        self.classes = int(arguments.get("num_class_embeds") or 0)
        embedded = arguments.get("class_embed_type")
        if embedded is not None:
            what = "numbers" if embedded == "timestep" else "vectors"
            raise ValueError(f"the network takes {what} (class_embed_type {embedded}): only classes can be imported")
        if int(arguments.get("out_channels", 3)) not in (self.channels, 2 * self.channels):
            got = f"{arguments.get('out_channels')} channels for {self.channels}"
            raise ValueError(f"the network returns {got}: it is not a diffusion model of images")
        if returns not in _RETURNS:
            raise ValueError(f"returns must be one of {', '.join(_RETURNS)}, got {returns!r}")
        try:
            kind = import_module("diffusers").UNet2DModel
        except ImportError as error:
            raise ImportError("a UNet2DModel needs the package diffusers: pip install diffusers") from error
        self.model = kind.from_config(arguments)

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """The prediction, `(B, C, H, W)`, at labels `(B,)`, without a learned variance.

        A context, `(B, classes + 1)`, is 1 at the class of an image.
        """
        step = c + self.offset if self.offset else c
        step = step.round().long() if self.integer_steps else step
        labels = {} if context is None else {"class_labels": context[:, :-1].argmax(1)}
        output: Tensor = self.model(x, step, return_dict=False, **labels)[0]
        output = output[:, : self.channels]
        if self.returns == "score":
            return output * c.reshape(-1, 1, 1, 1)
        return -output if self.returns == "negative" else output


@reads("check that it is whole, and of that code")
def import_diffusers(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> Model:
    """Imports a folder of diffusers with a `UNet2DModel` and its scheduler as a model of images.

    The scheduler says what the network predicts and how it takes the noise: DDPM and its relatives with `epsilon`,
    `v_prediction` or `sample`, whose betas give the noise levels of the timesteps (at levels in between, the network is
    evaluated at fractional timesteps); `ScoreSdeVeScheduler`, whose networks are NCSN++ (google/ncsnpp-…); the EDM
    schedulers; and those of flow matching. A class-conditional network becomes a conditional model of the context "label",
    the number of a class. The package diffusers builds the network: it is needed here, and wherever the model is used.

    Arguments:
        path: The folder of a pipeline, or of its unet: `config.json` and `diffusion_pytorch_model.safetensors` (or
            `.bin`), with `scheduler_config.json` next to them, in `scheduler/` or in `../scheduler/`.
        run: A folder in which to save the model as a run, for the command line.
        size: The side of the images, or height and width, if the configuration does not say.
        x: Images, `(N, H, W, C)`, 8-bit or with values from 0 to 1, which give the model its mean and variance. From 8 images
            on, an unconditional import is checked on them: see `scorefield.interop.check_import`.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.

    Returns:
        The model, in the form of `x`, by default of 8-bit images `(H, W, C)`. A warning says if the check failed.

    Raises:
        FileNotFoundError: If there are no such files.
        ImportError: If diffusers is not installed.
        ValueError: If the network or the scheduler is not supported, or the weights do not fit.
    """
    path = Path(path)
    about = _find(path, ("config.json", "unet/config.json"))
    config = text_of(about)
    kind = json.loads(config).get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ValueError(f"{about} describes a {kind}, but only a UNet2DModel can be imported")
    candidates = ("scheduler_config.json", "scheduler/scheduler_config.json", "../scheduler/scheduler_config.json")
    how = convention(json.loads(text_of(_find(path, candidates))))
    offset = math.log(how.parametrization.scale) / 4 if how.labels is None else 0.0
    network = UNet2D(config, how.returns, offset)
    fill(network.model, read_released(_find(about.parent, _WEIGHTS)), "a UNet2DModel of that config.json")
    network.eval().requires_grad_(False)
    model = _model(network, how, _side(about, size), x)
    classes = f", {network.classes} classes (--given label=…)" if network.classes else ""
    choices = [
        ("structure", model.schema.structure, model.schema.reason),
        (
            "network",
            f"UNet2DModel, {sum(p.numel() for p in network.parameters()):,} parameters{classes}",
            "from config.json",
        ),
        ("predicts", *how.predicts),
        ("noise levels", *how.levels),
        moments(model.schema, units(model.schema, how.centred), x)[1],
    ]
    origin = {"kind": "diffusers", "network": kind, "path": str(path.absolute())}
    return finish(Imported(model, origin, choices), run, x, source)


def _side(about: Path, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the images."""
    requested = json.loads(text_of(about)).get("sample_size") if size is None else size
    if requested is None:
        raise ValueError(f"{about} does not give the size of the images (sample_size): pass size=")
    return (requested, requested) if isinstance(requested, int) else (int(requested[0]), int(requested[1]))


def _model(network: UNet2D, how: Convention, side: tuple[int, int], x: Any | None) -> Model:
    """The model of images of that size, conditional if the network is."""
    schema = form(network.channels, side, x)
    standardize = units(schema, how.centred)
    gaussian, _ = moments(schema, standardize, x)
    sampling = sde_sampling(how.process, STEPS)
    empty = torch.zeros(0, dtype=torch.float64)
    column = ContextColumn("label", tuple(range(network.classes)))
    context = Context((column,), (), empty, empty) if network.classes else None
    return Model(schema, standardize, _denoiser(network, how, context), gaussian, sampling, context).eval()


def _denoiser(network: UNet2D, how: Convention, context: Context | None) -> DenoiserModule:
    labels, parametrization = how.labels, how.parametrization
    if context is None:
        if labels is None:
            return Preconditioned(network, parametrization)
        return PretrainedDenoiser(network, labels, parametrization)
    if labels is None:
        return ConditionalPreconditioned(network, context.row_shape, False, parametrization)
    return PretrainedConditional(network, context.row_shape, labels, parametrization)


def _find(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of several files that exists."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has none of {', '.join(names)}: is it a folder of diffusers?")
