"""Published checkpoints of Score SDE (Song et al., 2021) as models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..denoisers.pretrained import PretrainedDenoiser
from ..model import Model
from ..nn.ncsnpp import NCSNpp
from ..processes import VE, Process
from ..samplers import ExponentialAdams, Sampling
from ..schedules import Karras
from .images import Choice, form, keep, moments, units
from .released import fill, is_state, read_released, without_prefix
from .score_sde_architecture import architecture, renumbered
from .score_sde_recipes import Recipe, find

__all__ = ["import_score_sde"]

_STEPS = 64
_MSGPACK = (*range(0x81, 0x90), 0xDE, 0xDF)  # how a file of flax begins


def import_score_sde(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    preset: str | None = None,
    process: Process | None = None,
    continuous: bool = True,
    weights: Literal["ema", "raw"] = "ema",
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
    **network: Any,
) -> Model:
    """A checkpoint of github.com/yang-song/score_sde_pytorch as a model of images: NCSN++, DDPM++ or DDPM, on VE, VP or sub-VP.

    The file is what their trainer writes, a dict of the network's state, the averaged weights, the optimizer's state and the
    step; or a state_dict alone; with `module.` before its names or without. The architecture is read off names and shapes. A
    network with random waves (`fourier` in their configuration) was trained on VE, and needs no more; of others the file does
    not hold the process: give their preset, or what it was.

    Arguments:
        path: The file, which ends in `.pth`.
        run: A folder to keep the model in, as a run that the other commands take.
        preset: The name of the configuration, which then says all: "vp/cifar10_ddpmpp_continuous".
        process: The process of the training instead: VE, VP or SubVP.
        continuous: Whether it took any time, or whole-numbered ones alone; with `process`.
        weights: "ema", the averaged weights if there are any, or "raw".
        x: Images, `(N, H, W, C)` of 8 bits or numbers from 0 to 1: their mean and variance are those of the model.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.
        network: Arguments of `NCSNpp` that differ from the preset's, or from what the file seems to say, such as `size`.

    Returns:
        The model, in the form of `x`, of 8-bit images `(H, W, C)` if there are none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken, holds objects, is of the JAX code, leaves open what must be known, or does not fit: the
            first wrong names and shapes are listed.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'weights are "ema" or "raw", got {weights!r}')
    if preset is not None and process is not None:
        raise ValueError(f"preset={preset!r} says what the process was: leave out process={process!r}")
    content = _read(path)
    state = _state(content, path)
    recipe = find(preset) if preset is not None else _recipe(state, process, continuous, path)
    seen = {} if preset is not None else _architecture(state, network.get("size"), path)
    built = NCSNpp(**{**seen, **recipe.arguments, **network})
    if isinstance(recipe.process, VE) and recipe.continuous and built.embedding == "time":
        raise ValueError(f"the network in {path} knows levels by their index: give continuous=False, or its preset")
    _check_levels(recipe, state, path)
    name = preset or f"{type(built).__name__} for {type(recipe.process).__name__}"
    chosen = _fill(built, content, state, weights, name)
    side = (built.size, built.size)
    schema = form(built.channels, side, x)
    standardize = units(schema, built.centered)
    law, told = moments(schema, standardize, x)
    sampler = ExponentialAdams(order=2, scale=float(law.covariance.mean().sqrt()), eta=1.0)
    denoiser = PretrainedDenoiser(built, recipe.labels, recipe.parametrization)
    model = Model(schema, standardize, denoiser, law, Sampling(sampler, _STEPS, Karras(), recipe.process))
    model.eval().requires_grad_(False)
    if run is not None:
        origin = {"kind": "score-sde", "network": name, "path": os.path.abspath(path), "weights": chosen[1]}
        keep(model, run, origin, [*_choices(model, built, preset, "size" in network), chosen, told], x, source)
    return model


def _read(path: str | os.PathLike[str]) -> Any:
    if Path(path).is_file():
        with open(path, "rb") as file:
            start = file.read(1)
        if Path(path).suffix == ".flax" or (start and start[0] in _MSGPACK):
            what = f"{path} is a checkpoint of the JAX code, which is not read"
            raise ValueError(f"{what}: take the file of score_sde_pytorch, which ends in .pth")
    return read_released(path)


def _state(content: Any, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state of the network in what a file holds."""
    given = content.get("model", content) if isinstance(content, Mapping) else content
    state = without_prefix(given) if is_state(given) else {}
    if not any(name.startswith("all_modules.") for name in state):
        names = ", ".join(map(str, list(given)[:3])) if isinstance(given, Mapping) else type(given).__name__
        need = "names all_modules.0…, in a state_dict or under 'model'"
        raise ValueError(f"{path} holds no network of Score SDE ({names}): it needs {need}")
    return renumbered(state)


def _recipe(
    state: Mapping[str, Tensor], process: Process | None, continuous: bool, path: str | os.PathLike[str]
) -> Recipe:
    """How a network was trained, from what the file holds and the user says."""
    sigmas = state.get("sigmas")
    if process is None:
        if "all_modules.0.W" not in state:
            ask = "give preset='vp/cifar10_ddpmpp_continuous' or what it was, or process=VP(), SubVP() or VE()"
            raise ValueError(f"{path} does not hold the process of its training: {ask}")
        if sigmas is None:
            ask = "give process=VE(smallest, largest), or a preset"
            raise ValueError(f"{path} does not hold its noise levels (sigmas): {ask}")
        process = VE(*(float(f"{float(level):.6g}") for level in sigmas.double().aminmax()))
    return Recipe(process, continuous, {} if sigmas is None else {"levels": len(sigmas)})


def _check_levels(recipe: Recipe, state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """The levels of the file are those of the recipe, where they matter."""
    sigmas, process = state.get("sigmas"), recipe.process
    if sigmas is None or not isinstance(process, VE):
        return
    low, high = (float(level) for level in sigmas.double().aminmax())
    if abs(low / process.sigma_min - 1) > 1e-3 or abs(high / process.sigma_max - 1) > 1e-3:
        what = f"{path} has noise levels from {low:g} to {high:g}"
        raise ValueError(f"{what}, not from {process.sigma_min:g} to {process.sigma_max:g}: its preset is another")


def _architecture(state: Mapping[str, Tensor], size: int | None, path: str | os.PathLike[str]) -> dict[str, Any]:
    seen = architecture(state, size)
    if not seen["size"]:
        raise ValueError(f"nothing in {path} tells the size of images: give size=…, or a preset")
    return seen


def _fill(network: NCSNpp, content: Any, state: Mapping[str, Tensor], weights: str, name: str) -> Choice:
    """Gives a network its numbers; averaged ones are a list, in the order of its parameters."""
    numbers = {**state, "sigmas": network.sigmas}
    fill(network, numbers, name)
    average = content.get("ema") if "model" in content else None
    if weights == "raw" or not isinstance(average, Mapping) or "shadow_params" not in average:
        return "weights", "raw", "as asked for" if weights == "raw" else "the file holds no averaged ones"
    names = [parameter for parameter, _ in network.named_parameters()]
    averaged = [value for value in average["shadow_params"] if isinstance(value, Tensor)]
    if len(names) != len(averaged):
        what = f"the file averages {len(averaged)} tensors, the network has {len(names)}"
        raise ValueError(f"{what}: take the others, by weights='raw'")
    fill(network, numbers | dict(zip(names, averaged)), f"{name}, averaged")
    return "weights", "averaged", "the file holds them, and the authors sample with them"


def _choices(model: Model, network: NCSNpp, preset: str | None, sized: bool) -> list[Choice]:
    count = sum(p.numel() for p in network.parameters())
    own = f"that of {preset}"
    why = "as asked for" if sized else own if preset else "the one for which it attends at 16 points a side"
    range_ = f"from {-1 if network.centered else 0} to 1"
    made = own if preset else "read off the names and shapes in the file"
    return [
        ("structure", model.schema.structure, model.schema.reason),
        ("network", f"{type(network).__name__}, {count:,} parameters", made),
        ("size", f"{network.size} x {network.size}", why),
        ("process", repr(model.process), f"that of its training, for images {range_}"),
    ]
