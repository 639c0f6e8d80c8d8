"""Checkpoints of NCSN and NCSNv2 in all their forms become models and run folders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import scorefield
from scorefield.denoisers.ncsn import NCSNDenoiser
from scorefield.interop.checkpoints import import_ncsnv2
from scorefield.nn.refinenet import RefineNet
from scorefield.processes import VE
from scorefield.runs import Run, fingerprint
from scorefield.samplers import DDIM, Heun

SIGMAS = torch.logspace(0.5, -2, 12)
State = Mapping[str, Tensor]


def random_state(depth: int = 4, classes: int = 0, channels: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """The state of a small network with nonzero parameters."""
    network = RefineNet(channels, 2, depth, classes)
    generator = torch.Generator().manual_seed(seed)
    return {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in network.state_dict().items()}


def released(raw: State, average: State | None, sigmas: Tensor | None = SIGMAS) -> list[Any]:
    """What the training code of NCSNv2 saves; that of NCSN stops after the state of the optimizer."""
    extra = {} if sigmas is None else {"sigmas": sigmas}
    state = {f"module.{k}": v for k, v in {**extra, **raw}.items()}
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.ones(1)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    return [state, optimizer] if average is None else [state, optimizer, 7, 300_000, dict(average)]


@pytest.fixture
def save(tmp_path):
    def save(content: Any) -> Any:
        torch.save(content, tmp_path / "checkpoint.pth")
        return tmp_path / "checkpoint.pth"

    return save


def scores(denoiser: Any) -> Tensor:
    x = torch.rand(2, denoiser.network.channels, 16, 16, generator=torch.Generator().manual_seed(0))
    return denoiser.score(x, torch.tensor([0, len(denoiser.sigmas) - 1]))


def expected(state: State, depth: int = 4, classes: int = 0, channels: int = 3, sigmas: Tensor = SIGMAS) -> Tensor:
    network = RefineNet(channels, 2, depth, classes)
    network.load_state_dict(state)
    return scores(NCSNDenoiser(network, sigmas)).detach()


@pytest.mark.parametrize("depth", [4, 5, 6])
def test_the_released_file_is_imported(save, depth):
    """The averaged weights have no prefix, and the noise levels are stored with the raw weights."""
    raw, average = random_state(depth), random_state(depth, seed=1)
    path = save(released(raw, average))
    model = import_ncsnv2(path, size=16)
    assert torch.equal(scores(model.denoiser), expected(average, depth))
    assert torch.equal(scores(import_ncsnv2(path, size=16, weights="raw").denoiser), expected(raw, depth))
    assert model.process == VE(float(SIGMAS[-1].double()), float(SIGMAS[0].double()))
    assert model.schema.shape == (16, 16, 3)


def test_other_forms_of_the_file_give_the_same_model(save):
    raw = random_state()
    for content in (
        released(raw, None),
        released(raw, None)[:1],
        {"sigmas": SIGMAS, **raw},
        {f"module.{k}": v for k, v in {"sigmas": SIGMAS, **raw}.items()},
    ):
        assert torch.equal(scores(import_ncsnv2(save(content), size=16).denoiser), expected(raw))
    bare = import_ncsnv2(save(raw), size=16, ladder=(float(SIGMAS[0]), float(SIGMAS[-1]), 12))
    torch.testing.assert_close(bare.denoiser.sigmas, SIGMAS)


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32)])
def test_a_file_of_ncsn_without_noise_levels(save, channels, side):
    raw = random_state(classes=10, channels=channels)
    model = import_ncsnv2(save(released(raw, None, None)))
    sigmas = torch.tensor(np.geomspace(1, 0.01, 10)).float()
    torch.testing.assert_close(model.denoiser.sigmas, sigmas)
    assert torch.equal(scores(model.denoiser), expected(raw, 4, 10, channels, sigmas))
    assert model.schema.shape == ((side, side) if channels == 1 else (side, side, channels))


@pytest.mark.parametrize(
    ("ladder", "classes", "written", "why"),
    [
        ((50, 232), 0, "langevin(0.062), moves=5, steps=231", "as published for this ladder; 1,156 evaluations"),
        ((140, 788), 0, "langevin(0.049), moves=4, steps=787", "as published for this ladder; 3,149 evaluations"),
        ((348, 2311), 0, "langevin(0.009), moves=3, steps=2310", "as published for this ladder; 6,931 evaluations"),
        ((1, 10), 10, "langevin(0.2), moves=100, steps=9", "as published for this ladder; 901 evaluations"),
        ((30, 40), 0, "langevin(0.2325), moves=5, steps=39", "the ladder is not a published one; .*; 196 evaluations"),
    ],
)
def test_the_sampler_of_the_authors_is_listed(save, tmp_path, ladder, classes, written, why):
    sigmas = torch.tensor(np.geomspace(ladder[0], 0.01, ladder[1])).float()
    import_ncsnv2(save(released(random_state(classes=classes), None, sigmas)), tmp_path / "run", size=8)
    found = {name: (value, reason) for name, value, reason in Run(tmp_path / "run").read("run.json")["choices"]}
    value, reason = found["annealed Langevin"]
    assert value == f"annealedlangevin({written})"
    assert re.fullmatch(f"for --sampler, {why}", reason)


@pytest.mark.parametrize(
    ("count", "largest", "side"), [(232, 50, 32), (500, 90, 64), (1086, 190, 128), (2311, 348, 256)]
)
def test_published_ladders_determine_the_size(save, count, largest, side):
    ladder = torch.tensor(np.geomspace(largest, 0.01, count)).float()
    assert import_ncsnv2(save(released(random_state(), None, ladder))).schema.shape == (side, side, 3)


def test_a_saved_run_gives_the_same_model(save, tmp_path):
    """The same scores, the same samples by any sampler, and 8-bit images in the user's units."""
    model = import_ncsnv2(save(released(random_state(), random_state(seed=1))), tmp_path / "run", size=8)
    again = Run(tmp_path / "run").model
    assert torch.equal(scores(again.denoiser), scores(model.denoiser))
    for sampler in (None, DDIM(), Heun()):
        drawn = again.sample(2, sampler=sampler, steps=3)
        assert (drawn.shape, drawn.dtype) == ((2, 8, 8, 3), np.uint8)
        assert np.array_equal(drawn, model.sample(2, sampler=sampler, steps=3))
    kept = Run(tmp_path / "run").read("run.json")
    assert kept["imported"]["network"] == "NCSNv2"
    assert kept["imported"]["weights"] == "averaged"
    assert ["noise levels", "12, 3.16228 to 0.01", "the network's ladder, for images from 0 to 1"] in kept["choices"]
    assert kept["asked"]["fingerprint"] is None
    with pytest.raises(ValueError, match="run already holds a run: choose a new folder"):
        import_ncsnv2(save(released(random_state(), None)), tmp_path / "run", size=8)


def test_units_and_moments(save, tmp_path):
    """Mean and variance are assumed without data, and computed from data, in the units of the network."""
    path = save(released(random_state(), None))
    for centred, mean, std in ((False, 0.5, 0.25), (True, 0.0, 0.5)):
        model = import_ncsnv2(path, size=8, centred=centred)
        black = model.standardize(torch.zeros(1, 3, 8, 8))
        assert torch.equal(black, torch.full_like(black, -1.0 if centred else 0.0))
        torch.testing.assert_close(model.moments.mean, torch.full((3, 8, 8), mean))
        torch.testing.assert_close(model.moments.covariance, torch.full((3, 8, 8), std**2))
    x = np.random.default_rng(0).integers(0, 256, (9, 6, 10, 3)).astype(np.uint8)
    model = import_ncsnv2(path, tmp_path / "run", x=x, source={"path": "images"})
    assert model.schema.shape == (6, 10, 3)
    np.testing.assert_allclose(model.moments.mean, x.mean(0).transpose(2, 0, 1) / 255, rtol=1e-5)
    np.testing.assert_allclose(model.moments.covariance, x.var(0).transpose(2, 0, 1) / 255**2, rtol=1e-4)
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["shape"] == [9, 3, 6, 10]
    assert kept["asked"]["source"] == {"path": "images"}
    assert kept["asked"]["fingerprint"] == fingerprint(model.schema.rows(x))
    floats = import_ncsnv2(path, x=(x / 255).astype(np.float32))
    torch.testing.assert_close(floats.moments.mean, model.moments.mean, rtol=1e-5, atol=1e-6)
    assert floats.sample(1, steps=2).dtype == np.float32


def test_other_networks_are_refused(save):
    with pytest.raises(ValueError, match=r"no network of NCSN or NCSNv2: begin_conv\.weight .*\(a, b, …\)"):
        import_ncsnv2(save({"a": torch.ones(1), "b": torch.ones(1)}))
    with pytest.raises(
        ValueError, match=r"NCSNv2 \(found model, step\): it must hold a state_dict, or .*; for Score SDE"
    ):
        import_ncsnv2(save({"model": {"a": torch.ones(1)}, "step": 3}))
    with pytest.raises(ValueError, match=r"has no weights of NCSN or NCSNv2 \(found Tensor\)"):
        import_ncsnv2(save(torch.ones(3)))


def test_names_and_shapes_that_do_not_fit(save):
    raw = random_state()
    raw["surplus"] = torch.ones(1)
    raw["end_conv.bias"] = torch.ones(4)
    del raw["refine2.msf.convs.0.bias"], raw["res4.1.conv2.weight"]
    message = (
        r"does not fit NCSNv2 with 2 features and 3 channels: "
        r"2 missing \(res4\.1\.conv2\.weight, refine2\.msf\.convs\.0\.bias\); 1 unknown \(surplus\); "
        r"1 of another shape \(end_conv\.bias has shape \(4,\), not \(3,\)\)"
    )
    with pytest.raises(ValueError, match=message):
        import_ncsnv2(save(released(raw, None)), size=8)


def test_missing_information_is_requested(save):
    raw, other = random_state(), random_state(classes=3)
    with pytest.raises(
        ValueError, match=r"does not hold the size of the images, and its noise levels \(12 levels from 3\.16"
    ):
        import_ncsnv2(save(released(raw, None)))
    with pytest.raises(ValueError, match=r"has no noise levels \(sigmas\): pass ladder=\(largest, smallest, number\)"):
        import_ncsnv2(save(raw), size=8)
    with pytest.raises(ValueError, match="the file has its own 12 noise levels: do not pass ladder"):
        import_ncsnv2(save(released(raw, None)), size=8, ladder=(1, 0.1, 12))
    with pytest.raises(ValueError, match=r"needs largest > smallest > 0 and at least 2 levels, got \(0\.1, 1, 3\)"):
        import_ncsnv2(save(other), size=8, ladder=(0.1, 1, 3))
    with pytest.raises(ValueError, match="the network knows 3 noise levels, got 5"):
        import_ncsnv2(save(other), size=8, ladder=(1, 0.1, 5))
    with pytest.raises(ValueError, match='weights must be "ema" or "raw", got \'best\''):
        import_ncsnv2(save(raw), weights="best")  # type: ignore[arg-type]


def test_images_that_do_not_fit(save):
    path = save(released(random_state(), None))
    with pytest.raises(
        ValueError, match=r"the network is for images \(3, 8, 8\) \(channels first\), but the data are \(1, 8, 8\)"
    ):
        import_ncsnv2(path, x=np.zeros((5, 8, 8), np.uint8))
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)
    with pytest.raises(
        ValueError, match=r"images must be 8-bit or have values from 0 to 1, these range from -.*rescale"
    ):
        import_ncsnv2(path, x=x)
    with pytest.raises(
        ValueError, match=r"depth 4 needs images with sides that are multiples of 2, got shape \(3, 7, 7\)"
    ):
        import_ncsnv2(path, size=7)


def test_load_reads_an_imported_run(save, tmp_path):
    import_ncsnv2(save(released(random_state(), None)), tmp_path / "run", size=8)
    assert isinstance(scorefield.load(tmp_path / "run").denoiser, NCSNDenoiser)
