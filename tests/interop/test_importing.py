"""Checkpoints of every format against the published networks, written anew; what the weights do not show is said."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from references import ACTIVATIONS, Weights, ddpm, ncsnv2, tutorial
from safetensors.torch import save_file
from torch import Tensor

from scorefield.interop import import_checkpoint, import_ncsnv2, import_score_sde, import_tutorial
from scorefield.interop.configuration import stored_configuration
from scorefield.interop.importing import kind_of
from scorefield.interop.score_sde_recipes import RECIPES
from scorefield.model import load
from scorefield.nn.ncsnpp import NCSNpp
from scorefield.processes import VE, VP, SubVP, TutorialVE

CLOSE: dict[str, float] = {"rtol": 1e-5, "atol": 1e-5}
SIGMAS = torch.logspace(0.5, -2, 12)


def images(count: int = 2, side: int = 32, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def save(tmp_path):
    def save(content: Any, name: str = "checkpoint.pth") -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def quiet(call: Any, *args: Any, **options: Any) -> Any:
    """A call that must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call(*args, **options)


# -- NCSNv2 --------------------------------------------------------------------------------------------------------


def ncsnv2_checkpoint(activation: str, seed: int = 0) -> Weights:
    weights = Weights(seed)
    ncsnv2(weights, images(), activation)
    return weights


def scaled_score(model: Any, x: Tensor, level: float) -> Tensor:
    with torch.no_grad():
        return (model.denoiser(x.double(), torch.tensor(level, dtype=torch.float64)) - x) / level


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_ncsnv2_with_every_activation(save, activation):
    """The activation leaves no trace in the weights: with the right one the score is exact, with another it is not."""
    weights, x = ncsnv2_checkpoint(activation), images()
    path = save({"sigmas": SIGMAS, **weights.state})
    expected = ncsnv2(weights, x, activation).double()
    model = quiet(import_ncsnv2, path, size=32, activation=activation, centred=False)
    torch.testing.assert_close(scaled_score(model, x, 0.5), expected, **CLOSE)
    other = import_ncsnv2(path, size=32, activation="relu" if activation == "elu" else "elu", centred=False)
    apart = (scaled_score(other, x, 0.5) - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert float(apart) > 0.05


def test_what_is_assumed_is_said(save, tmp_path):
    path = save({"sigmas": SIGMAS, **ncsnv2_checkpoint("elu").state})
    with pytest.warns(
        UserWarning, match=r"assumed .*: activation elu \(activation=\), images from 0 to 1 \(centred=\)"
    ) as notes:
        import_ncsnv2(path, tmp_path / "run", size=32)
    assert [note.filename for note in notes] == [__file__]
    choices = {
        name: (value, why) for name, value, why in json.loads((tmp_path / "run/run.json").read_text())["choices"]
    }
    assert choices["activation"] == ("elu", "assumed, as in all released checkpoints")
    assert choices["assumed"][0] == "activation elu (activation=), images from 0 to 1 (centred=)"
    with pytest.raises(ValueError, match="activation must be one of elu, relu, lrelu, silu, got 'tanh'"):
        import_ncsnv2(path, size=32, activation="tanh")


CONFIG = """\
data: !!python/object:argparse.Namespace
  dataset: CIFAR10
  image_size: 32  # pixels
  logit_transform: {logit}
  rescaled: {rescaled}
model: !!python/object:argparse.Namespace
  ngf: 4
  nonlinearity: swish
  num_classes: 12
  sigma_begin: 3
  sigma_dist: geometric
  sigma_end: 0.01
optim: !!python/object:argparse.Namespace
  betas:
  - 0.9
  eps: 1.0e-08
"""


def test_the_configuration_next_to_the_file_is_used(save, tmp_path):
    """`config.yml` of the training code: activation, range, size and ladder."""
    weights, x = ncsnv2_checkpoint("silu"), images()
    path = save(weights.state)
    (tmp_path / "config.yml").write_text(CONFIG.format(logit="false", rescaled="true"))
    model = quiet(import_ncsnv2, path, tmp_path / "run")
    expected = ncsnv2(weights, (x + 1) / 2, "silu").double()
    torch.testing.assert_close(scaled_score(model, x, 0.5), expected, **CLOSE)
    assert model.schema.shape == (32, 32, 3) and len(model.denoiser.sigmas) == 12
    choices = {name: why for name, _, why in json.loads((tmp_path / "run/run.json").read_text())["choices"]}
    assert choices["activation"] == choices["size"] == "from config.yml next to the file"
    assert quiet(import_ncsnv2, path, activation="elu").denoiser.network.activation == "elu"
    (tmp_path / "config.yml").write_text(CONFIG.format(logit="true", rescaled="false"))
    with pytest.raises(ValueError, match=r"config\.yml says that the network was trained on logits of images"):
        import_ncsnv2(path)


def test_other_configurations_are_not_used(save, tmp_path):
    path = save(ncsnv2_checkpoint("elu").state)
    for text in ("model:\n  ngf: 64\n  nonlinearity: relu\n", "name: a\n", "", "\x00: ["):
        (tmp_path / "config.yml").write_text(text)
        assert stored_configuration(path, 4).path is None
    (tmp_path / "config.yml").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"model": {"nf": 4, "nonlinearity": "tanh"}}))
    with pytest.raises(ValueError, match=r"has the nonlinearity 'tanh', which is not known .*: pass activation="):
        import_ncsnv2(path, size=32)


def test_ncsnv2_inside_a_file_of_score_sde(save):
    """The averaged weights are a list in the order of the names; every importer accepts the file."""
    raw, average = ncsnv2_checkpoint("elu"), ncsnv2_checkpoint("elu", seed=1)
    order = sorted(raw.state, key=lambda name: name[::-1])  # not the order of our network
    model = {f"module.{name}": raw.state[name] for name in order}
    model["module.sigmas"] = SIGMAS
    shadow = [average.state[name] for name in order]
    content = {"optimizer": {}, "model": model, "ema": {"decay": 0.999, "shadow_params": shadow}, "step": 7}
    path, x = save(content), images()
    for weights, kept in (("ema", average), ("raw", raw)):
        expected = ncsnv2(kept, x, "elu").double()
        for importer in (import_ncsnv2, import_score_sde, import_tutorial, import_checkpoint):
            if importer is import_tutorial and weights == "raw":
                continue
            options: dict[str, Any] = {"size": 32} | ({"weights": weights} if weights == "raw" else {})
            with pytest.warns(UserWarning, match="activation elu"):
                found = importer(path, **options)
            torch.testing.assert_close(scaled_score(found, x, 0.5), expected, **CLOSE)
    shadow.pop()
    with pytest.raises(ValueError, match=r"averaged tensors, but the network has .* parameters: use weights='raw'"):
        import_ncsnv2(save(content), size=32)


# -- Score SDE -----------------------------------------------------------------------------------------------------


def on_vp(network: Any, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """The prediction of the noise in a state of DDPM at an index, and the level there."""
    bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[index]
    level = torch.sqrt(1 / bar - 1)
    return network(x, torch.full((len(x),), float(index))), level


def noise_prediction(model: Any, x: Tensor, level: Tensor) -> Tensor:
    """That of an imported model for the state x = α (x_0 + level z)."""
    outer = x.double() * torch.sqrt(1 + level**2)
    with torch.no_grad():
        return (outer - model.denoiser(outer, level)) / level


@pytest.mark.parametrize(("activation", "groups"), [("silu", 32), ("relu", 32), ("silu", None)])
def test_ddpm_with_fewer_than_128_features(save, tmp_path, activation, groups):
    """Neither activation nor groups leave a trace: by arguments, by a configuration, and assumed as in the authors' `ddpm`."""
    weights, x = Weights(), images() * 2 - 1
    ddpm(weights, x, torch.zeros(2), activation, groups)
    expected, level = on_vp(lambda x, c: ddpm(weights, x, c, activation, groups), x, 300)
    path = save({"model": {f"module.{name}": value for name, value in weights.state.items()}})
    vp: dict[str, Any] = {"process": VP(), "continuous": False}
    own = {"activation": activation, "groups": 32 if groups else 0}
    found = noise_prediction(quiet(import_score_sde, path, **vp, **own), x, level)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=2e-5)
    preset = quiet(import_score_sde, path, preset="vp/cifar10_ddpm", width=64, multipliers=(1, 2), depth=1, **own)
    torch.testing.assert_close(noise_prediction(preset, x, level), expected.double(), rtol=1e-4, atol=2e-5)
    named = {
        "name": "ddpm" if groups else "ncsnpp",
        "nf": 64,
        "nonlinearity": {"silu": "swish"}.get(activation, activation),
    }
    training = {"sde": "vpsde", "continuous": False}
    (tmp_path / "config.json").write_text(
        json.dumps({"model": named, "training": training, "data": {"image_size": 32}})
    )
    stored = quiet(import_score_sde, path)
    torch.testing.assert_close(noise_prediction(stored, x, level), expected.double(), rtol=1e-4, atol=2e-5)
    (tmp_path / "config.json").unlink()
    message = r"assumed .*: activation silu \(activation=\), 32 groups in each norm, as in `ddpm` \(groups=\)"
    with pytest.warns(UserWarning, match=message):
        assumed = import_score_sde(path, **vp)
    apart = (noise_prediction(assumed, x, level) - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert float(apart) < 1e-5 if (activation, groups) == ("silu", 32) else float(apart) > 0.05


def test_groups_that_cannot_be_32_leave_a_trace(save):
    weights = Weights()
    ddpm(weights, images() * 2 - 1, torch.zeros(2), "silu", None, width=24)
    with pytest.warns(UserWarning) as notes:
        model = import_score_sde(save(weights.state), process=VP())
    assert model.denoiser.network.groups == 0
    assert not any("groups" in str(note.message) for note in notes)


def test_the_process_follows_from_a_configuration(save, tmp_path):
    weights = Weights()
    ddpm(weights, images() * 2 - 1, torch.zeros(2), "silu")
    path = save(weights.state)
    for sde, process, continuous in (
        ("vpsde", VP(), True),
        ("subvpsde", SubVP(), True),
        ("vesde", VE(0.01, 50.0), False),
    ):
        model = {"nf": 64, "nonlinearity": "swish", "name": "ddpm", "sigma_min": 0.01, "sigma_max": 50}
        training = {"sde": sde, "continuous": continuous}
        (tmp_path / "config.json").write_text(json.dumps({"model": model, "training": training}))
        assert quiet(import_score_sde, path).process == process
    (tmp_path / "config.json").write_text(json.dumps({"model": {"nf": 64, "nonlinearity": "swish"}}))
    with pytest.raises(ValueError, match="does not hold the process of its training"):
        import_score_sde(path)


def test_the_preset_of_celeba(save):
    """NCSN++ on 1,000 indices of levels from 90 to 0.01, for 64 x 64 images from 0 to 1."""
    recipe = RECIPES["ve/celeba_ncsnpp"]
    with torch.device("meta"):
        network = NCSNpp(**recipe.arguments)
    assert (network.size, network.embedding, network.multipliers, network.depth) == (64, "time", (1, 2, 2, 2), 4)
    small = {"width": 8, "depth": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = NCSNpp(**{**recipe.arguments, **small}).eval()
    for parameter in own.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    model = quiet(import_score_sde, save({"model": own.state_dict(), "step": 1}), preset="celeba_ncsnpp", **small)
    assert model.process == VE(0.01, 90.0) and model.schema.shape == (64, 64, 3)
    x, index = images(1, 64), 400
    level = 90 * (0.01 / 90) ** (index / 999)
    with torch.no_grad():
        expected = own(x, torch.full((1,), float(index))).double()
    torch.testing.assert_close(scaled_score(model, x, level), expected, rtol=1e-4, atol=1e-4)


# -- the tutorial --------------------------------------------------------------------------------------------------


def test_the_checkpoint_of_the_tutorial(save, tmp_path):
    """Tweedie's formula with its score, at its times; every importer accepts it."""
    weights, x = Weights(), images(3, 28, 1)
    time = torch.tensor([0.05, 0.4, 0.95])
    expected = tutorial(weights, x, time)
    path = save({f"module.{name}": value for name, value in weights.state.items()}, "ckpt.pth")
    level = torch.sqrt((25 ** (2 * time) - 1) / (2 * math.log(25)))[:, None, None, None].double()
    for importer in (import_tutorial, import_checkpoint, import_score_sde, import_ncsnv2):
        model = quiet(importer, path, base=25.0) if importer in (import_tutorial, import_checkpoint) else None
        if model is None:
            with pytest.warns(UserWarning, match=r"assumed .*: base 25 \(base=\)"):
                model = importer(path)
        with torch.no_grad():
            found = (model.denoiser(x.double(), level) - x) / level
        torch.testing.assert_close(found, level * expected.double(), rtol=1e-4, atol=1e-5)
    assert model.process == TutorialVE(25.0, 1e-5)
    quiet(import_tutorial, path, tmp_path / "run", base=25.0)
    again = load(tmp_path / "run")
    assert again.sample(2, steps=3).shape == (2, 28, 28)
    wider = quiet(import_tutorial, path, base=30.0)
    assert float(wider.process.sigma(torch.tensor(1.0))) == pytest.approx(math.sqrt((30**2 - 1) / (2 * math.log(30))))


# -- one entry -----------------------------------------------------------------------------------------------------


def test_formats_are_recognized(save, tmp_path):
    score_sde = Weights()
    ddpm(score_sde, images(), torch.zeros(2), "silu")
    digits = Weights()
    tutorial(digits, images(1, 28, 1), torch.ones(1))
    assert kind_of(save(ncsnv2_checkpoint("elu").state)) == "ncsnv2"
    assert kind_of(save([ncsnv2_checkpoint("elu").state, {"state": {}}, 3])) == "ncsnv2"
    assert kind_of(save({"model": score_sde.state, "step": 3})) == "score-sde"
    assert kind_of(save(digits.state)) == "tutorial"
    assert kind_of(tmp_path) == "diffusers"
    unet = {
        "conv_in.weight": torch.ones(1),
        "down_blocks.0.a": torch.ones(1),
        "time_embedding.linear_1.bias": torch.ones(1),
    }
    save_file(unet, tmp_path / "diffusion_pytorch_model.safetensors")
    assert kind_of(tmp_path / "diffusion_pytorch_model.safetensors") == "diffusers"
    with pytest.raises(FileNotFoundError, match=r"has none of config\.json, unet/config\.json"):
        import_score_sde(tmp_path / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"input_blocks.0.0.weight": torch.ones(1)},
            "holds a network of guided-diffusion or improved-diffusion: convert it",
        ),
        (
            {"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1)}},
            "holds a network of guided-diffusion or improved-diffusion",
        ),
        (
            {"x_embedder.proj.weight": torch.ones(1)},
            "holds a diffusion transformer, and only convolutional networks of images",
        ),
        (
            {"a": torch.ones(1)},
            r"is of no known format \(found a\): it must be a checkpoint of NCSN or NCSNv2, a checkpoint",
        ),
        ({"a": 1}, r"is of no known format \(found a\)"),
        (torch.ones(1), r"is of no known format \(found Tensor\)"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(save, content, message):
    path = save(content)
    with pytest.raises(ValueError, match=message) as error:
        import_checkpoint(path)
    assert "\n" not in str(error.value)
    if isinstance(content, dict) and "a" not in content:
        for importer in (import_ncsnv2, import_score_sde, import_tutorial):
            with pytest.raises(ValueError, match=message):
                importer(path)


def test_arguments_of_another_format_are_refused(save):
    weights = Weights()
    tutorial(weights, images(1, 28, 1), torch.ones(1))
    path = save(weights.state)
    with pytest.raises(
        ValueError, match=r"is a checkpoint of the tutorial .*, to which ladder= does not apply: leave it out"
    ):
        import_ncsnv2(path, ladder=(1.0, 0.01, 10))
    with pytest.raises(ValueError, match="to which preset= does not apply"):
        import_checkpoint(path, preset="vp/cifar10_ddpm")
