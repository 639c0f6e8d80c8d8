"""Folders of diffusers become models; a small stand-in replaces their network, so that diffusers is not needed."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scorefield.interop.diffusers import UNet2D, import_diffusers, table
from scorefield.processes import VE
from scorefield.runs import Run
from scorefield.samplers import DDIM

SCHEDULER = {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, "beta_schedule": "linear"}


class UNet2DModel(nn.Module):
    """A convolution plus the timestep and the class, with the interface of the diffusers network; it records its inputs."""

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, num_class_embeds: int | None = None, **others: Any
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.class_embedding = None if num_class_embeds is None else nn.Embedding(num_class_embeds, out_channels)
        self.calls: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> UNet2DModel:
        return cls(**{k: v for k, v in config.items() if not k.startswith("_")})

    def forward(
        self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None = None, return_dict: bool = True
    ) -> Any:
        self.calls.append((sample.clone(), timestep.clone()))
        output = self.conv(sample) + 1e-3 * timestep.reshape(-1, 1, 1, 1)
        if (self.class_embedding is None) != (class_labels is None):
            raise ValueError("class labels are for networks with classes, which need them")
        if self.class_embedding is not None:
            output = output + self.class_embedding(class_labels)[..., None, None]
        return SimpleNamespace(sample=output) if return_dict else (output,)


@pytest.fixture(autouse=True)
def diffusers(monkeypatch):
    module = ModuleType("diffusers")
    module.UNet2DModel = UNet2DModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diffusers", module)


@pytest.fixture
def folder(tmp_path):
    """Writes a folder with the layout of a pipeline, or of a network alone."""

    def write(scheduler: dict[str, Any] | None = None, pipeline: bool = False, **config: Any) -> Path:
        home = tmp_path / "unet" if pipeline else tmp_path
        schedulers = tmp_path / "scheduler" if pipeline else tmp_path
        for place in (home, schedulers):
            place.mkdir(exist_ok=True)
        about = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 3, "out_channels": 3, **config}
        (home / "config.json").write_text(json.dumps(about))
        (schedulers / "scheduler_config.json").write_text(json.dumps({**SCHEDULER, **(scheduler or {})}))
        torch.manual_seed(0)
        save_file(UNet2DModel.from_config(about).state_dict(), home / "diffusion_pytorch_model.safetensors")
        return tmp_path

    return write


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("step", [0, 417, 999])
def test_the_posterior_mean_follows_the_convention(folder, predicts, step):
    """At a timestep of the table, with x_t = √ᾱ x_0 + √(1 - ᾱ) ε, the prediction gives x_0 by the usual formulas."""
    denoiser = import_diffusers(folder({"prediction_type": predicts})).denoiser
    bar = math.prod(1 - (1e-4 + (0.02 - 1e-4) * i / 999) for i in range(step + 1))
    level = torch.tensor(math.sqrt(1 / bar - 1), dtype=torch.float64)
    noisy = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    found = denoiser(noisy / math.sqrt(bar), level)
    (sample, timestep), *_ = denoiser.network.model.calls
    torch.testing.assert_close(sample.double(), noisy, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(timestep, torch.full((2,), float(step)), rtol=0, atol=1e-3)
    output = denoiser.network(noisy.float(), torch.full((2,), float(step))).double()
    mean = {
        "epsilon": (noisy - math.sqrt(1 - bar) * output) / math.sqrt(bar),
        "v_prediction": math.sqrt(bar) * noisy - math.sqrt(1 - bar) * output,
        "sample": output,
    }[predicts]
    torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-4)


def noisy(seed: int = 1) -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)).double()


def network_at(model: Any, x: Tensor, timestep: float, label: int | None = None) -> Tensor:
    """The output of the diffusers network in the model."""
    inner = next(part for part in model.modules() if isinstance(part, UNet2DModel))
    labels = {} if label is None else {"class_labels": torch.full((len(x),), label)}
    return inner(x.float(), torch.full((len(x),), timestep), return_dict=False, **labels)[0].double()


SCORE_SDE = {"_class_name": "ScoreSdeVeScheduler", "num_train_timesteps": 2000, "sigma_min": 0.02, "sigma_max": 90.0}


@pytest.mark.parametrize("level", [0.02, 1.3, 80.0])
def test_networks_of_score_sde(folder, level):
    """The network of google/ncsnpp returns the score of images from 0 to 1, at the level as its timestep."""
    model = import_diffusers(folder(SCORE_SDE, time_embedding_type="fourier", center_input_sample=True))
    assert model.process == VE(0.02, 90.0)
    assert float(model.standardize(torch.full((1, 3, 8, 8), 255.0)).max()) == 1.0
    assert float(model.standardize(torch.zeros(1, 3, 8, 8)).min()) == 0.0
    x, at = noisy(), torch.tensor(level, dtype=torch.float64)
    found = (model.denoiser(x, at) - x) / level
    torch.testing.assert_close(found, level * network_at(model, x, level), rtol=1e-5, atol=1e-5 * (1 + level))
    assert model.sample(1, steps=3).shape == (1, 8, 8, 3)


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_edm_schedulers(folder, predicts, name):
    """The denoised sample of the scheduler, with data of its standard deviation."""
    about = {"_class_name": name, "sigma_data": 0.7, "sigma_min": 0.01, "sigma_max": 70.0, "prediction_type": predicts}
    model = import_diffusers(folder(about))
    assert (model.process.sigma_min, model.process.sigma_max) == (0.01, 70.0)
    x = noisy()
    for level in (0.01, 0.6, 70.0):
        total = level**2 + 0.7**2
        output = network_at(model, x / math.sqrt(total), math.log(level) / 4)
        sign = 1 if predicts == "epsilon" else -1
        expected = 0.7**2 / total * x + sign * level * 0.7 / math.sqrt(total) * output
        found = model.denoiser(x, torch.tensor(level, dtype=torch.float64))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="the prediction_type 'sample' of an EDM scheduler is not known"):
        import_diffusers(folder({**about, "prediction_type": "sample"}))


def test_continuous_timesteps_are_edm_with_data_of_unit_variance(folder):
    about = {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous", "prediction_type": "v_prediction"}
    model = import_diffusers(folder({**about, "sigma_min": 0.002, "sigma_max": 700.0}))
    x, level = noisy(), 3.0
    output = network_at(model, x / math.sqrt(10), math.log(level) / 4)
    found = model.denoiser(x, torch.tensor(level, dtype=torch.float64))
    torch.testing.assert_close(found, x / 10 - level / math.sqrt(10) * output, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="continuous timesteps and predicts epsilon, not v_prediction"):
        import_diffusers(folder({**about, "prediction_type": "epsilon"}))


@pytest.mark.parametrize(
    "about",
    [
        {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0},
        {"_class_name": "FlowMatchHeunDiscreteScheduler"},
        {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    ],
    ids=lambda about: about["_class_name"],
)
def test_flow_matching(folder, about):
    """At the time τ the state is (1 - τ) x_0 + τ z and the network gives z - x_0, at the timestep 1000 τ."""
    model = import_diffusers(folder(about))
    state = noisy()
    for time in (0.004, 0.3, 0.98):
        level = torch.tensor(time / (1 - time), dtype=torch.float64)
        found = model.denoiser(state / (1 - time), level)
        torch.testing.assert_close(found, state - time * network_at(model, state, 1000 * time), rtol=1e-5, atol=1e-5)
    assert model.sample(1, steps=3).shape == (1, 8, 8, 3)
    if about["_class_name"].startswith("FlowMatchEuler"):
        with pytest.raises(ValueError, match="has inverted times"):
            import_diffusers(folder({**about, "invert_sigmas": True}))


@pytest.mark.parametrize("about", [{}, SCORE_SDE, {"_class_name": "EDMEulerScheduler"}], ids=["DDPM", "VE", "EDM"])
def test_classes_become_a_context(folder, tmp_path, about):
    """The number of a class is the context "label"; each sample may have its own."""
    model = import_diffusers(folder(about, num_class_embeds=4), tmp_path / "run")
    again = Run(tmp_path / "run").model
    assert again.context.names == ("label",)
    x, level = noisy(), torch.tensor(0.8, dtype=torch.float64)
    for label in range(4):
        conditioned = again.condition(label=label)
        own = import_diffusers(folder(about)).denoiser  # the same convolution without classes
        moved = again.denoiser.given(again.context({"label": [label]}))(x, level) - own(x, level)
        inner = next(part for part in again.modules() if isinstance(part, UNet2DModel))
        shift = inner.class_embedding.weight[label].double()[:, None, None]
        ratio = moved / shift
        torch.testing.assert_close(ratio, ratio.mean().expand(ratio.shape), rtol=1e-4, atol=1e-4)
        assert abs(float(ratio.mean())) > 0.1
        assert conditioned.sample(2, steps=2).shape == (2, 8, 8, 3)
    assert again.condition(label=[0, 3]).sample(2, steps=2).shape == (2, 8, 8, 3)
    with pytest.raises(ValueError):
        model.sample(1)


def test_levels_between_two_timesteps_give_fractional_ones(folder):
    denoiser = import_diffusers(folder()).denoiser
    levels = table(SCHEDULER)
    denoiser(torch.zeros(1, 3, 8, 8), torch.tensor(math.sqrt(levels[3] * levels[4])))
    assert float(denoiser.network.model.calls[-1][1]) == pytest.approx(3.5, abs=1e-3)
    learned = import_diffusers(folder(time_embedding_type="learned")).denoiser
    learned(torch.zeros(1, 3, 8, 8), torch.tensor(levels[3]))
    assert learned.network.model.calls[-1][1].tolist() == [3]
    assert learned.network.model.calls[-1][1].dtype == torch.int64


@pytest.mark.parametrize("pipeline", [True, False])
def test_a_saved_run_gives_the_same_model(folder, tmp_path, pipeline):
    model = import_diffusers(folder(pipeline=pipeline), tmp_path / "run")
    again = Run(tmp_path / "run").model
    for sampler in (None, DDIM()):
        drawn = again.sample(2, sampler=sampler, steps=3)
        assert (drawn.shape, drawn.dtype) == ((2, 8, 8, 3), np.uint8)
        assert np.array_equal(drawn, model.sample(2, sampler=sampler, steps=3))
    kept = Run(tmp_path / "run").read("run.json")
    assert ["predicts", "epsilon", "prediction_type of the scheduler"] in kept["choices"]
    assert again.process.sigma_max == pytest.approx(157.4, abs=0.1)


def test_learned_variances_are_ignored_and_bin_files_are_read(folder):
    path = folder(out_channels=6, sample_size=[4, 6])
    weights = UNet2DModel(3, 6).state_dict()
    (path / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(weights, path / "diffusion_pytorch_model.bin")
    model = import_diffusers(path)
    assert torch.equal(model.denoiser.network.model.conv.weight, weights["conv.weight"])
    assert model.sample(1, steps=2).shape == (1, 4, 6, 3)


def test_noise_levels_of_known_schedules():
    """The ends agree with the formulas, and all increase."""
    linear = table(SCHEDULER)
    assert linear[0] == pytest.approx(math.sqrt(1 / (1 - 1e-4) - 1))
    scaled = table({"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 0.012})
    assert scaled[-1] == pytest.approx(14.6146, abs=1e-3)  # Stable Diffusion's largest level
    cosine = table({"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 10})
    bar = [math.cos((i / 10 + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(10)]
    assert cosine[4] == pytest.approx(math.sqrt(bar[0] / bar[5] - 1))
    sigmoid = table({"beta_schedule": "sigmoid", "num_train_timesteps": 50})
    given = table({"trained_betas": [0.1, 0.2]})
    assert given == pytest.approx([math.sqrt(1 / 0.9 - 1), math.sqrt(1 / 0.72 - 1)])
    for levels in (linear, scaled, cosine, sigmoid, given):
        assert levels == sorted(levels)
    rescaled = table({**SCHEDULER, "rescale_betas_zero_snr": True})
    assert len(rescaled) == 999
    assert rescaled[0] == pytest.approx(linear[0])
    with pytest.raises(
        ValueError, match=r"beta_schedule 'laplace' of the scheduler is not known \(linear, scaled_linear"
    ):
        table({"beta_schedule": "laplace"})


def test_a_missing_diffusers_package_is_named(folder, monkeypatch):
    path = folder()
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match="a UNet2DModel needs the package diffusers: pip install diffusers"):
        import_diffusers(path)


def test_what_cannot_be_imported_is_refused(folder, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere has none of config\.json, unet/config\.json: is it a folder of"
    ):
        import_diffusers(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="describes a UNet2DConditionModel, but only a UNet2DModel can be imported"):
        import_diffusers(folder(_class_name="UNet2DConditionModel"))
    for embedded in ("timestep", "identity"):
        with pytest.raises(ValueError, match=rf"class_embed_type {embedded}\): only classes can be imported"):
            import_diffusers(folder(class_embed_type=embedded))
    with pytest.raises(ValueError, match="returns 4 channels for 3"):
        import_diffusers(folder(out_channels=4))
    with pytest.raises(
        ValueError, match=r"prediction_type 'flow' of the scheduler is not known \(epsilon, v_prediction"
    ):
        import_diffusers(folder({"prediction_type": "flow"}))
    with pytest.raises(ValueError, match="does not give the size of the images"):
        import_diffusers(folder(sample_size=None))
    path = folder()
    (path / "scheduler_config.json").write_text(json.dumps({"_class_name": "IPNDMScheduler"}))
    with pytest.raises(
        ValueError, match="IPNDMScheduler has no betas: only DDPM and its relatives, ScoreSdeVe, EDM and"
    ):
        import_diffusers(path)
    for kind, why in (
        ("CMStochasticIterativeScheduler", "is of a consistency model, which maps noise to images in one step"),
        ("ScoreSdeVpScheduler", "has labels that depend on the number of sampling steps"),
        ("KarrasVeScheduler", "evaluates networks of another scheduler"),
    ):
        with pytest.raises(ValueError, match=f"the scheduler {kind} {why}"):
            import_diffusers(folder({"_class_name": kind}))
    with pytest.raises(ValueError, match="needs 0 < sigma_min < sigma_max, got 2 and 1"):
        import_diffusers(folder({"_class_name": "EDMEulerScheduler", "sigma_min": 2, "sigma_max": 1}))
    path = folder()
    save_file({"conv.weight": torch.ones(1)}, path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(
        ValueError, match=r"does not fit a UNet2DModel of that config\.json: 1 missing \(conv\.bias\); 1 of"
    ):
        import_diffusers(path)


def test_the_network_keeps_its_configuration():
    config = json.dumps({"in_channels": 1, "out_channels": 1})
    assert UNet2D(config).config == config
    with pytest.raises(ValueError, match="returns must be one of prediction, negative, score, got 'noise'"):
        UNet2D(config, returns="noise")
