"""Mixtures of Gaussians that networks for grids see and correct."""

from __future__ import annotations

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import Data, Network, Training, fit, load
from scorefield.denoisers import Gaussian, Preconditioned, share_of_network
from scorefield.fitting import Options, plan, prepare
from scorefield.fitting.mixture import fit_mixture_of_many
from scorefield.fitting.principal import fit_principal_mixture, trusted_level
from scorefield.nn import UNet
from scorefield.rng import Samples
from scorefield.samplers import image_sampling, sde_sampling

SHORT, SMALL = Training(steps=2), Network(widths=(8,))


def smooth(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Gaussian fields on a torus, `(count, side, side)`, with a covariance that falls with the distance."""
    k = np.fft.fftfreq(side) * side
    size = 1 / (1 + (k[:, None] ** 2 + k**2) / 4)
    noise = np.random.default_rng(seed).normal(size=(count, side, side))
    x = np.fft.ifft2(np.fft.fft2(noise) * size).real
    return (x / x.std()).astype(np.float32)


def planned(x: np.ndarray, **how):
    options = Options(training=SHORT, **how)
    return plan(prepare(x, options), options)


def test_the_baseline_of_gaussian_fields_is_exact_up_to_its_rows():
    """Its error is that of a mean and a covariance of N rows, to first order.

    With K = C (C + σ²)⁻¹ the error of a covariance is δK = (1 - K) δC (C + σ²)⁻¹, where elements of δC in the basis of
    eigenvectors have the variances λ_i λ_j (1 + δ_ij) / N; that of a mean is (1 - K) δm.
    """
    x = smooth(5000, 8)
    found = prepare(x, Options(training=SHORT))
    baseline = fit_principal_mixture(found, 0.05)
    assert baseline is not None and baseline.components == 1
    new = found.units(torch.from_numpy(smooth(4000, 8, seed=1)))
    flat = found.units(torch.from_numpy(smooth(40_000, 8, seed=2))).flatten(1).double()
    exact = Gaussian(flat.mean(0), flat.T.cov())
    for level in (1.0, 3.0, 10.0):
        noisy = new + level * Samples(3, 0, len(new)).normal(tuple(new.shape), new.dtype)
        best = exact(noisy.flatten(1).double(), torch.tensor(level)).reshape(noisy.shape)
        error = float((baseline.mixture(noisy, torch.tensor(level)) - best).square().flatten(1).sum(1).mean())
        values, left = exact.values, level**2 / (exact.values + level**2)
        pairs = (left**2 * values)[:, None] * (values / (values + level**2)) * (1 + torch.eye(64))
        expected = float(pairs.sum() + (left**2 * values).sum()) / (0.9 * 5000)
        assert error < 1.4 * expected, level  # the exact one has been estimated, too, from 9 times as many


def test_what_is_chosen_and_how_it_is_left_out():
    x = smooth(1000, 16)
    found = planned(x)
    assert found.choice("baseline").value == "a Gaussian in the first 18 principal components"  # 900 rows, 50 for each
    network = found.network
    assert isinstance(network, UNet) and network.extra == 1
    without = (
        {"network": Network(baseline=False)},
        {"network": UNet(2, 1, (8,))},
        {"parametrization": "v"},
        {"objective": "exactscorematching"},
    )
    for how in without:
        other = planned(x, **how)
        assert other.baseline is None and not any(choice.name == "baseline" for choice in other.choices)
    assert planned(x[:800]).baseline is None and planned(x[:, :15, :15]).baseline is None  # few, and small


def test_a_model_is_saved_with_it_and_samples_are_the_same(tmp_path):
    model = fit(smooth(1000, 16), tmp_path / "run", network=SMALL, training=SHORT, device="cpu")
    assert isinstance(model.denoiser, Preconditioned) and model.denoiser.baseline is not None
    again = load(tmp_path / "run" / "model.safetensors")
    assert np.array_equal(model.sample(3, seed=4), again.sample(3, seed=4))


def test_conditional_grids_have_it_too():
    x = smooth(1000, 16)
    label = np.repeat(["a", "b"], 500)
    model = fit(x, context={"label": label}, network=SMALL, training=SHORT, device="cpu")
    assert model.denoiser.baseline is not None
    assert model.condition(label="a").sample(2).shape == (2, 16, 16)


def test_a_run_of_a_version_without_it_is_resumed_without_it(tmp_path):
    x, run = smooth(1000, 16), tmp_path / "run"
    fit(x, run, training=SHORT, network=dataclasses.replace(SMALL, baseline=False), device="cpu")
    record = json.loads((run / "run.json").read_text())
    del record["asked"]["network"]["baseline"]
    (run / "run.json").write_text(json.dumps(record))
    model = fit(x, run, training=SHORT, network=SMALL, device="cpu")
    assert model.denoiser.baseline is None


def test_mirrored_forms_are_looked_at():
    """Fields that are brighter on the left, with mirrored forms as probable: the baseline treats both alike.

    Means of 4,000 rows, half of them mirrored at random, have a standard error of 2 · 2 / √4000 in the difference of halves.
    """
    x = smooth(4000, 8)
    x[:, :, :4] += 2.0
    options = Options(training=SHORT, data=Data(mirror=(1,)))
    found = fit_principal_mixture(prepare(x, options), 0.05)
    assert found is not None
    mean = found.mixture.mean[0]
    difference = float((mean[:, :4] - mean[:, 4:]).mean())
    assert abs(difference) < 5 * 2 / math.sqrt(4000)
    one_sided = fit_principal_mixture(prepare(x, Options(training=SHORT)), 0.05).mixture.mean[0]
    assert float((one_sided[:, :4] - one_sided[:, 4:]).mean()) > 1


def test_large_grids_have_the_same_components():
    """Signals of 1,100 points are too long for their covariance: the directions that stand out are found all the same."""
    t, rng = np.arange(1100) / 1100, np.random.default_rng(0)
    waves = np.stack([np.sin(2 * np.pi * k * t) for k in (1, 2, 3)])
    x = rng.normal(size=(2000, 3)) * [3.0, 2.0, 1.0] @ waves + 0.1 * rng.normal(size=(2000, 1100))
    options = Options(training=SHORT, data=Data(structure="grid"))
    prepared = prepare(x.astype(np.float32), options)
    found = fit_principal_mixture(prepared, 0.05)
    assert found is not None
    exact = torch.from_numpy(waves / np.linalg.norm(waves, axis=1, keepdims=True)).float()
    cosines = (exact @ found.mixture.vectors[:, :3]).abs()
    assert float((cosines - torch.eye(3)).abs().max()) < 0.1
    assert float(torch.linalg.svdvals(exact @ found.mixture.vectors[:, :3]).min()) > 0.999
    scale = float(prepared.scaled_units.std.flatten()[0])
    assert float(found.mixture.rest.sqrt()) * scale == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(("count", "most"), [(12_000, 0.05), (50_000, 0.015)])
def test_many_rows_have_the_mixture_that_they_are_from(count, most):
    """20 Gaussians in five dimensions: 8,000 new rows are described nearly as well as by the mixture itself.

    Its 419 numbers cost 419 / 2 N = 0.017 and 0.004 nats, the 30 components that are taken half as much again.
    """
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 5)) * 4

    def drawn(count: int) -> Tensor:
        return torch.from_numpy(centres[rng.integers(20, size=count)] + 0.5 * rng.normal(size=(count, 5)))

    found = fit_mixture_of_many(drawn(count).float())
    new = drawn(8000)
    exact = torch.logsumexp(-2 * (new[:, None] - torch.from_numpy(centres)).square().sum(-1), 1)
    exact = exact - math.log(20) - 2.5 * math.log(2 * math.pi * 0.25)
    lost = exact - found.log_prob(new.float()).double()
    assert float(lost.mean()) < most
    assert len(found.weights) == 30


def test_more_components_are_taken_only_if_left_out_rows_say_so():
    z = torch.randn(6000, 6, generator=torch.Generator().manual_seed(0))
    assert len(fit_mixture_of_many(z).weights) == 1


def test_groups_are_left_out_as_a_whole():
    """100 groups of equal rows: a component for each would describe rows well whose copies it has seen."""
    z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).repeat_interleave(100, 0)
    alone = fit_mixture_of_many(z)
    grouped = fit_mixture_of_many(z, groups=np.repeat(np.arange(100), 100))
    assert len(grouped.weights) <= 3 < len(alone.weights)


def test_grids_of_any_size_have_as_many_directions_as_memory_holds_rows_for(monkeypatch):
    """As for rows of which only 40 are in memory at once, or of one group, or one number."""
    x = smooth(400, 8)
    whole = prepare(x, Options(training=SHORT))
    monkeypatch.setattr("scorefield.fitting.principal._IN_MEMORY", 40 * 64)
    few = fit_principal_mixture(whole, 0.05)
    assert few is not None and few.dimensions == 4
    monkeypatch.setattr("scorefield.fitting.principal._SMALL", 10)
    few = fit_principal_mixture(whole, 0.05)
    assert few is not None and few.mixture.vectors.shape == (64, 4)
    monkeypatch.setattr("scorefield.fitting.principal._IN_ALL", 64 * 200)
    few = fit_principal_mixture(whole, 0.05)
    assert few is not None and few.dimensions == 4
    point = fit_principal_mixture(prepare(x[:, :1, :1], Options(training=SHORT, data=Data(structure="grid"))), 0.05)
    assert point is not None and point.mixture.vectors.shape == (1, 1)


def test_rows_of_one_group_are_divided_all_the_same():
    x = smooth(400, 8)
    usual = prepare(x, Options(training=SHORT))
    split = dataclasses.replace(usual.split, groups=np.zeros(len(x), dtype=int))
    found = fit_principal_mixture(dataclasses.replace(usual, split=split), 0.05)
    other = fit_principal_mixture(usual, 0.05)
    assert found is not None and other is not None
    assert float(found.mixture.rest) == pytest.approx(float(other.mixture.rest), rel=0.2)


def test_the_trusted_level_is_where_the_divergence_is_that_small():
    """Of data N(0, 1.5²) and a baseline N(0, 1), in three dimensions, the divergence at each level is known.

    What is lost where the network fades in is integrated over steps of 0.1 %.
    """
    levels = torch.logspace(-2, 3, 400).double()
    narrow, wide = 1 / (1 + levels**2), 2.25 / (2.25 + levels**2)  # the denoisers are multiples of the state
    errors = [(k**2 * levels**2 + (1 - k) ** 2 * 2.25).expand(100, -1) for k in (wide, narrow)]
    weights = 1 / levels**2 + 1
    found = trusted_level(levels, weights * errors[0], weights * errors[1], weights, 3)
    assert found is not None

    def lost(trusted: float) -> float:
        ratio = (2.25 + trusted**2) / (1 + trusted**2)
        divergence = 1.5 * (ratio - 1 - math.log(ratio))
        fading = trusted * torch.exp(-0.001 * torch.arange(500).double())
        difference = 2.25 / (2.25 + fading**2) - 1 / (1 + fading**2)
        rate = 3 * difference**2 * (2.25 + fading**2) / fading**2
        return divergence + 0.001 * float((rate * (1 - share_of_network(fading, trusted)) ** 2).sum())

    assert lost(found / 1.02) > 0.02 > lost(found * 1.02)


def test_a_network_that_is_better_at_all_levels_is_asked_at_all_levels():
    levels, better = torch.logspace(-2, 1, 9), torch.full((100, 9), 0.5)
    assert trusted_level(levels, better, 1.5 * better, 1 / levels**2, 3) is None
    assert trusted_level(levels, better, better, 1 / levels**2, 3) == pytest.approx(0.01)
    assert trusted_level(levels, better[:20], better[:20], 1 / levels**2, 3) is None  # too few to say


def test_what_is_uncertain_is_not_trusted():
    """Two standard errors of the rows are counted: of noise without a mean, less is trusted than of none."""
    levels, losses = torch.logspace(-2, 1, 9), torch.ones(100, 9)
    noise = torch.randn(100, 9, generator=torch.Generator().manual_seed(0))
    found = [trusted_level(levels, losses, losses + size * noise, 1 / levels**2, 1) for size in (0.0, 0.1, 0.25)]
    assert found[0] < found[1] < found[2]


def trusting() -> tuple[Preconditioned, Preconditioned]:
    """A denoiser whose network answers more than 0, and the same with a trusted level of 2."""
    network = UNet(2, 1, (8,), extra=1)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(0.3 * torch.randn(p.shape))
    whole = Preconditioned(network, baseline=Gaussian(torch.zeros(1, 4, 4), torch.full((1, 4, 4), 3.0)))
    return whole, whole.trusting(2.0)


def test_above_the_trusted_level_the_baseline_answers_alone():
    whole, part = trusting()
    x = torch.randn(5, 1, 4, 4)
    for level in (0.5, 1.53):
        assert torch.equal(part(x, torch.tensor(level)), whole(x, torch.tensor(level)))
    middle = torch.tensor(2.0 / math.sqrt(1.3))
    torch.testing.assert_close(part(x, middle), (whole(x, middle) + part.baseline(x, middle)) / 2)
    above = torch.tensor(2.1)
    assert torch.equal(part(x, above), part.baseline(x, above))
    assert not torch.allclose(part(x, above), whole(x, above))
    part.network = torch.nn.Identity()  # would fail if it were asked
    part(x, above)


def test_a_baseline_computes_in_the_type_of_its_network():
    whole, part = trusting()
    x = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    for denoiser, dtype in ((whole, torch.float32), (copy.deepcopy(part).double(), torch.float64)):
        kinds = list[torch.dtype]()
        denoiser.baseline.register_forward_pre_hook(lambda _, given, kinds=kinds: kinds.append(given[0].dtype))
        found = denoiser(x, torch.tensor(1.9, dtype=torch.float64))
        assert kinds == [dtype] and found.dtype == torch.float64
    torch.testing.assert_close(
        part(x, torch.tensor(1.9)), copy.deepcopy(part).double()(x, torch.tensor(1.9)), atol=1e-5, rtol=1e-5
    )


def test_levels_of_each_state_are_told_apart():
    whole, part = trusting()
    x, level = torch.randn(4, 1, 4, 4), torch.tensor([0.3, 5.0, 1.3, 2.5]).reshape(4, 1, 1, 1)
    found = part(x, level)
    below = torch.tensor([0, 2])
    torch.testing.assert_close(found[below], whole(x, level)[below])
    above = torch.tensor([1, 3])
    torch.testing.assert_close(found[above], part.baseline(x[above], level[above]))


def test_a_model_leaves_large_levels_to_what_knows_them(tmp_path):
    """Of Gaussian fields the mixture knows all that a network could, above all one that has made two steps."""
    model = fit(smooth(1000, 16), tmp_path / "run", network=SMALL, training=SHORT, device="cpu")
    record = json.loads((tmp_path / "run" / "fit.json").read_text())
    assert record["trusted_level"] == model.denoiser.trusted < 2
    again = load(tmp_path / "run" / "model.safetensors")
    assert again.denoiser.trusted == model.denoiser.trusted
    assert np.array_equal(model.sample(2, seed=3), again.sample(2, seed=3))


def test_what_a_context_decides_is_not_left_to_what_does_not_know_it():
    label = np.repeat(["a", "b"], 500)
    model = fit(smooth(1000, 16), context={"label": label}, network=SMALL, training=SHORT, device="cpu")
    assert model.denoiser.baseline is not None and model.denoiser.trusted is None


def test_images_are_drawn_in_few_steps_unless_a_context_is_given():
    images = (40 * smooth(1000, 16) + 120).clip(0, 255).round().astype(np.uint8)
    few = planned(images)
    assert few.sampling == image_sampling(few.process)
    context = {"label": np.repeat(["a", "b"], 500)}
    options = Options(training=SHORT)
    given = plan(prepare(images, options, context), options)
    assert given.sampling == sde_sampling(given.process)
    fields = planned(smooth(1000, 16))
    assert fields.sampling == sde_sampling(fields.process)
