"""Checkpoints of Score SDE in all their forms become models, and are called as by their authors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.interop.score_sde import import_score_sde
from scorefield.interop.score_sde_architecture import architecture, renumbered
from scorefield.interop.score_sde_recipes import RECIPES, Recipe, find
from scorefield.nn.ncsnpp import NCSNpp
from scorefield.processes import EDM, VE, VP, Flow, SubVP
from scorefield.runs import Run
from scorefield.samplers import DDIM, Heun

SMALL: dict[str, Any] = {"size": 32, "width": 8, "multipliers": (1, 2), "depth": 1, "attention": (16,)}
NCSNPP = {**SMALL, "embedding": "level", "centered": False}
DDPMPP = {**SMALL, "embedding": "time", "taps": (), "progressive_input": "none"}
INDEXED = {**SMALL, "embedding": "time", "centered": False}


def numbers(arguments: Mapping[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """The state of a small network with nonzero tensors."""
    generator = torch.Generator().manual_seed(seed)
    state = NCSNpp(**arguments).state_dict()
    for name, value in state.items():
        if name != "sigmas":
            kept = (
                value if name.endswith((".bias", "GroupNorm_0.weight", "GroupNorm_1.weight")) else 0
            )  # initially 0 and 1
            state[name] = kept + 0.15 * torch.randn(value.shape, generator=generator)
    return state | {"sigmas": state["sigmas"].double()}


def released(arguments: Mapping[str, Any], prefix: str = "module.") -> tuple[dict[str, Any], NCSNpp, NCSNpp]:
    """What the trainer saves, and the networks with its raw and its averaged weights, as in the authors' code."""
    raw, average = NCSNpp(**arguments).eval(), NCSNpp(**arguments).eval()
    raw.load_state_dict(numbers(arguments))
    state = numbers(arguments, seed=1) | {k: v for k, v in raw.state_dict().items() if k.endswith(".0.W")}
    average.load_state_dict(state)
    shadow = [p.detach().clone() for p in average.parameters()]
    content = {
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.ones(1)}}, "param_groups": [{"lr": 2e-4}]},
        "model": {prefix + k: v for k, v in numbers(arguments).items()},
        "ema": {"decay": 0.999, "num_updates": 7, "shadow_params": shadow},
        "step": 8,
    }
    return content, raw, average


@pytest.fixture
def save(tmp_path):
    def save(content: Any) -> Any:
        torch.save(content, tmp_path / "checkpoint.pth")
        return tmp_path / "checkpoint.pth"

    return save


def column(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)


def score(network: NCSNpp, process: Any, continuous: bool, x: Tensor, t: Tensor) -> Tensor:
    """The score of the authors' `get_score_fn`, at times 0, 1/999, …, 1."""
    if isinstance(process, VE):
        sigma = process.sigma_min * (process.sigma_max / process.sigma_min) ** t
        return network(x, sigma if continuous else torch.round((1 - t) * 999)) / column(sigma)
    b = t**2 * 19.9 / 2 + t * 0.1
    std = 1 - torch.exp(-b) if isinstance(process, SubVP) else torch.sqrt(1 - torch.exp(-b))
    if not continuous:
        alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
        std = torch.sqrt(1 - alphas)[torch.round(t * 999).long()]
    return -network(x, t * 999) / column(std)


def scales(process: Any, continuous: bool, t: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(process, VE):
        return torch.ones_like(t), process.sigma_min * (process.sigma_max / process.sigma_min) ** t
    if not continuous:
        alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000).double(), 0)[torch.round(t * 999).long()]
        return alphas.sqrt(), torch.sqrt(1 - alphas)
    b = t**2 * 19.9 / 2 + t * 0.1
    sigma = -torch.expm1(-b) if isinstance(process, SubVP) else torch.sqrt(-torch.expm1(-b))
    return torch.exp(-b / 2), sigma


CASES = {
    "ve": (NCSNPP, VE(0.01, 50.0), True),
    "ve, indices": (INDEXED, VE(0.01, 50.0), False),
    "vp": (DDPMPP, VP(), True),
    "vp, indices": (DDPMPP, VP(), False),
    "sub-vp": (DDPMPP, SubVP(), True),
}


@pytest.mark.parametrize("name", CASES)
def test_the_network_is_called_as_by_its_authors(save, name):
    """Tweedie's formula with their score, at their states: D(x_t / α, σ / α) = (x_t + σ² s) / α."""
    arguments, process, continuous = CASES[name]
    content, raw, average = released(arguments)
    path = save(content)
    own = {} if name == "ve" else {"process": process, "continuous": continuous}
    model = import_score_sde(path, **own)
    assert model.process == process
    t = torch.tensor([100.0, 500.0, 900.0]) / 999
    alpha, sigma = (column(part.float()) for part in scales(process, continuous, t))
    generator = torch.Generator().manual_seed(2)
    x = alpha * torch.rand(3, 3, 32, 32, generator=generator) + sigma * torch.randn(3, 3, 32, 32, generator=generator)
    for network, weights in ((average, "ema"), (raw, "raw")):
        denoiser = import_score_sde(path, weights=weights, **own).denoiser
        with torch.no_grad():
            expected = (x + sigma**2 * score(network, process, continuous, x, t)) / alpha
            found = denoiser((x / alpha).double(), (sigma / alpha).double())
        noise = (sigma / alpha).double()
        torch.testing.assert_close((found - x / alpha) / noise, (expected - x / alpha) / noise, rtol=1e-5, atol=2e-5)


def answers(model: Any) -> Tensor:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return model.denoiser(x, torch.tensor(0.5))


def test_other_forms_of_the_file_give_the_same_model(save):
    """Without the prefix, without averages, the state alone, and with the numbering of older code."""
    content, _, _ = released(NCSNPP)
    raw = answers(import_score_sde(save(content), weights="raw"))
    assert torch.equal(answers(import_score_sde(save(released(NCSNPP, prefix="")[0]), weights="raw")), raw)
    state = numbers(NCSNPP)
    older = {re.sub(r"\d+", lambda n: str(int(n[0]) + 2 * (int(n[0]) > 5)), k, count=1): v for k, v in state.items()}
    assert set(older) != set(state)
    for form in (state, {f"module.{k}": v for k, v in state.items()}, {"model": state, "step": 3}, older):
        assert torch.equal(answers(import_score_sde(save(form))), raw)


def test_a_preset_determines_everything(save, monkeypatch):
    small = Recipe(VP(), True, DDPMPP)
    monkeypatch.setitem(RECIPES, "vp/small", small)
    content, _, _ = released(DDPMPP)
    model = import_score_sde(save(content), preset="small", dropout=0.3)
    assert model.process == VP()
    assert model.denoiser.network.dropout == 0.3
    expected = import_score_sde(save(content), process=VP())
    assert torch.equal(answers(model), answers(expected))
    assert not torch.equal(answers(model), answers(import_score_sde(save(content), process=SubVP())))
    assert not [p for p in model.parameters() if p.requires_grad]


def test_an_imported_model_samples_and_saves(save, tmp_path):
    """8-bit images from any process and sampler; a run folder gives the same model."""
    model = import_score_sde(save(released(NCSNPP)[0]), tmp_path / "run")
    images = model.sample(2, steps=3)
    assert images.shape == (2, 32, 32, 3)
    assert images.dtype == np.uint8
    again = Run(tmp_path / "run").model
    assert np.array_equal(again.sample(2, steps=3), images)
    assert again.denoiser.network.centered is False
    for process, sampler in ((EDM(0.02, 40.0), Heun()), (VP(), DDIM()), (Flow(), Heun())):
        again = again.replace(sampling=again.sampling.replace(process=process))
        assert again.sample(1, steps=2, sampler=sampler).shape == (1, 32, 32, 3)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["imported"]["kind"] == "score-sde"
    assert about["imported"]["weights"] == "averaged"
    choices = {name: (value, reason) for name, value, reason in about["choices"]}
    assert choices["size"] == ("32 x 32", "the size for which attention is at 16 x 16")
    assert choices["process"][0] == "VE(sigma_min=0.01, sigma_max=50.0)"


@pytest.mark.parametrize(("arguments", "low"), [(NCSNPP, 0.0), (DDPMPP, -1.0)])
def test_units(save, arguments, low):
    """VE networks take images from 0 to 1, the others from -1 to 1; moments are assumed, or those of given images."""
    own = {} if arguments is NCSNPP else {"process": VP()}
    model = import_score_sde(save(released(arguments)[0]), **own)
    ends = model.standardize(torch.tensor([0.0, 255.0]).reshape(2, 1, 1, 1).expand(2, 3, 32, 32))
    assert (float(ends[0].mean()), float(ends[1].mean())) == (low, 1.0)
    assert float(model.moments.mean.mean()) == (low + 1) / 2
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    model = import_score_sde(save(released(arguments)[0]), x=images, **own)
    assert float(model.moments.mean.mean()) == pytest.approx((images.mean() / 255) * (1 - low) + low, rel=1e-4)


def test_one_channel(save):
    model = import_score_sde(save(released({**NCSNPP, "channels": 1})[0]))
    assert model.schema.shape == (32, 32)
    assert model.sample(1, steps=1).shape == (1, 32, 32)


def kinds() -> dict[str, Recipe]:
    """The recipes with different networks."""
    return {str(sorted(recipe.network.items(), key=str)): recipe for recipe in RECIPES.values()}


@pytest.mark.parametrize("recipe", list(kinds().values()), ids=lambda recipe: str(dict(recipe.network)))
def test_names_and_shapes_determine_the_architecture(recipe):
    with torch.device("meta"):
        network = NCSNpp(**recipe.arguments)
    state = network.state_dict()
    assert renumbered(state) == state
    found = architecture(state)
    assert found == {name: getattr(network, name) for name in found}
    assert {"channels", "size", "width", "multipliers", "depth", "attention", "embedding", "block", "taps"} <= set(
        found
    )


def test_recipes_agree_with_their_names():
    assert find("church_ncsnpp_continuous") == RECIPES["ve/church_ncsnpp_continuous"]
    assert {name: recipe.process.sigma_max for name, recipe in RECIPES.items() if "256" in name or "ffhq" in name} == {
        "ve/celebahq_256_ncsnpp_continuous": 348.0,
        "ve/ffhq_256_ncsnpp_continuous": 348.0,
        "ve/ffhq_ncsnpp_continuous": 1348.0,
    }
    for name, recipe in RECIPES.items():
        assert recipe.continuous is ("continuous" in name)
        assert type(recipe.process).__name__.lower() == name.split("/")[0]
        assert recipe.arguments["centered"] is not name.startswith("ve/")
        assert (recipe.network.get("depth") == 8) is ("deep" in name)
        assert (recipe.network.get("block") == "ddpm") is ("_ddpm" in name and "ddpmpp" not in name)


def test_noise_conditioning():
    """Indices decrease with the level for VE; the table of DDPM for VP."""
    labels = find("ve/cifar10_ncsnpp").labels
    torch.testing.assert_close(labels.label(torch.tensor([50.0, 0.01])), torch.tensor([0.0, 999.0]).double())
    table = find("vp/cifar10_ddpmpp").labels.levels
    alphas = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(table, np.sqrt((1 - alphas) / alphas), rtol=1e-9)


def broken(change) -> dict[str, Any]:
    content = released(NCSNPP)[0]
    change(content)
    return content


def without(*names: str):
    return broken(lambda content: [content["model"].pop(f"module.{name}") for name in names])


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        (
            lambda: [1, 2],
            {},
            "has no network of Score SDE (found list): it must hold names all_modules.0…, in a state_dict or un",
        ),
        (
            lambda: {"weight": torch.ones(2)},
            {},
            "has no network of Score SDE (found weight): it must hold names all_modules.0…",
        ),
        (
            lambda: {"model": {"all_modules.0.W": 3}},
            {},
            "has no network of Score SDE (found all_modules.0.W): it must hold",
        ),
        (
            lambda: released(DDPMPP)[0],
            {},
            "does not hold the process of its training: pass its preset, such as 'vp/cifar10_ddpmpp_con",
        ),
        (
            lambda: without("sigmas"),
            {},
            "does not hold its noise levels (sigmas): pass process=VE(smallest, largest), or a",
        ),
        (
            lambda: released(INDEXED)[0],
            {"process": VE()},
            "takes the index of a level: pass continuous=False, or its preset",
        ),
        (
            lambda: released(NCSNPP)[0],
            {"process": VE(0.01, 90.0)},
            "has noise levels from 0.01 to 50, not from 0.01 to 90: it belongs to another preset",
        ),
        (
            lambda: released({**NCSNPP, "attention": ()})[0],
            {},
            "does not determine the size of the images: pass size=, or a preset",
        ),
        (
            lambda: without("all_modules.4.Conv_0.weight"),
            {},
            "the tensors are not those of a known Score SDE network: pass its preset",
        ),
        (
            lambda: without("all_modules.4.Conv_0.bias", "all_modules.1.bias"),
            {},
            "does not fit NCSNpp for VE: 2 missing (all_modules.1.bias, all_modules.4.Conv_0.bias): is it of another network?",
        ),
        (
            lambda: released(NCSNPP)[0],
            {"width": 12},
            "shape (all_modules.0.W has shape (8,), not (12,), all_modules.1.weight has shape (32, 16), not (48, 24), ",
        ),
        (
            lambda: broken(lambda content: content["ema"]["shadow_params"].pop()),
            {},
            "the file has 155 averaged tensors, but the network has 156 parameters: use weights='raw'",
        ),
        (
            lambda: broken(lambda content: content["ema"]["shadow_params"].reverse()),
            {},
            "does not fit NCSNpp for VE, averaged: ",
        ),
        (lambda: released(NCSNPP)[0], {"weights": "best"}, 'weights must be "ema" or "raw", got \'best\''),
        (
            lambda: released(NCSNPP)[0],
            {"preset": "vp/cifar10_ddpm", "process": VP()},
            "preset='vp/cifar10_ddpm' determines the process: do not pass process=VP(",
        ),
        (lambda: released(NCSNPP)[0], {"process": EDM()}, "Score SDE uses the processes VE, VP and SubVP, got EDM"),
        (
            lambda: released(DDPMPP)[0],
            {"process": SubVP(), "continuous": False},
            "Score SDE trains SubVP only with continuous times: set continuous=True",
        ),
        (
            lambda: released(NCSNPP)[0],
            {"preset": "cifar10_ddpmpp_continuous"},
            "there are 2 presets 'cifar10_ddpmpp_continuous': use vp/cifar10_ddpmpp_continuous or subvp/cifar10_ddpmpp_con",
        ),
        (
            lambda: released(NCSNPP)[0],
            {"preset": "ve/cifar_ncsnpp"},
            "there is no preset 've/cifar_ncsnpp': use ve/cifar10_ncsnpp, ",
        ),
    ],
)
def test_errors_say_what_is_wrong(save, content, how, message):
    with pytest.raises(ValueError) as error:
        import_score_sde(save(content()), **how)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth"):
        import_score_sde(tmp_path / "nothing.pth")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"broken.pth is truncated or damaged"):
        import_score_sde(tmp_path / "broken.pth")
    for name, start in (("checkpoint_12", b"\x84\xa5model"), ("weights.flax", b"any")):
        (tmp_path / name).write_bytes(start)
        with pytest.raises(
            ValueError, match=f"{name} is a checkpoint of the JAX code, which cannot be read: use the file"
        ):
            import_score_sde(tmp_path / name)


def test_nothing_is_unpickled(save):
    with pytest.raises(ValueError, match=r"pickled|truncated or damaged"):
        import_score_sde(save({"model": Recipe(VP(), True, {})}))
