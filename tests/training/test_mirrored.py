"""Batches of mirrored examples: what is mirrored, with what, and what a model then learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield import Network, Training, fit
from scorefield.data import ArrayRows
from scorefield.fitting import Options, plan, prepare, train
from scorefield.objectives import posterior_mean
from scorefield.settings import Data
from scorefield.training import Feed, Mirrored
from scorefield.units import Standardize


def feed_of(count: int, batch: int, context: torch.Tensor | None = None) -> Feed:
    """Images of 2 x 3 points, all of different values."""
    x = torch.arange(count * 6).reshape(count, 1, 2, 3).float()
    return Feed(ArrayRows(x), Standardize((1, 1, 1)), batch, 0, context=context)


def test_half_of_the_examples_are_mirrored_each_as_a_whole():
    plain, mirrored = feed_of(4000, 4000).batches(0), Mirrored(feed_of(4000, 4000), (1,), 0).batches(0)
    same, other = ((mirrored == x).flatten(1).all(1) for x in (plain, plain.flip(3)))
    assert bool((same ^ other).all())
    assert abs(int(same.sum()) - 2000) < 4.5 * 1000**0.5


def test_axes_are_mirrored_independently():
    plain, mirrored = feed_of(4000, 4000).batches(0), Mirrored(feed_of(4000, 4000), (0, 1), 0).batches(0)
    for form in (plain, plain.flip(2), plain.flip(3), plain.flip(2, 3)):
        count = int((mirrored == form).flatten(1).all(1).sum())
        assert abs(count - 1000) < 4.5 * (4000 * 3 / 16) ** 0.5


def test_what_is_mirrored_is_addressed():
    """Batch k is the same whatever was asked before, alone or among its neighbours; seeds differ."""
    whole = Mirrored(feed_of(50, 8), (1,), 0).batches(0, 12).reshape(12, 8, 1, 2, 3)
    for number in (11, 0, 5):
        assert torch.equal(Mirrored(feed_of(50, 8), (1,), 0).batches(number), whole[number])
    assert not torch.equal(Mirrored(feed_of(50, 8), (1,), 1).batches(0, 12).reshape(whole.shape), whole)


def test_contexts_that_are_fields_are_mirrored_with_their_examples_and_labels_stay():
    fields = torch.arange(50 * 6).reshape(50, 1, 2, 3).float()
    batches = Mirrored(feed_of(50, 8, fields), (0, 1), 0, fields=True)
    assert torch.equal(batches.contexts(3, 4), batches.batches(3, 4))
    labels = torch.arange(50).reshape(50, 1).float()
    batches = Mirrored(feed_of(50, 8, labels), (0, 1), 0)
    low = batches.batches(3, 4).amin((1, 2, 3)) / 6
    assert torch.equal(batches.contexts(3, 4)[:, 0], low)


@pytest.mark.parametrize("axes", [(1,), (0, 1)])
def test_targets_are_means_over_the_data_and_all_their_mirror_images(axes):
    batches = Mirrored(feed_of(20, 5), axes, 0)
    reference, complete, _ = batches.reference(2, 1, 4096)
    assert complete and reference is not None and len(reference) == 20 * 2 ** len(axes)
    x0 = batches.batches(2)
    level = torch.full((5, 1, 1, 1), 40.0)
    x = x0 + level * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    data = feed_of(20, 20).batches(0)
    for axis in axes:
        data = torch.cat([data, data.flip(2 + axis)])
    weights = (-(x[:, None] - data).square().flatten(2).sum(2) / (2 * 40.0**2)).double().softmax(1)
    exact = torch.einsum("bn,nchw->bchw", weights, data.double())
    assert torch.allclose(posterior_mean(x, level, reference, None).double(), exact, rtol=1e-3)


def test_references_that_are_a_part_of_the_data_are_mirrored_at_random():
    plain, _, _ = feed_of(900, 5).reference(2, 1, 400)
    found, complete, _ = Mirrored(feed_of(900, 5), (1,), 0).reference(2, 1, 400)
    assert not complete and plain is not None and found is not None
    same, other = ((found == x).flatten(1).all(1) for x in (plain, plain.flip(3)))
    assert bool((same ^ other).all()) and abs(int(same.sum()) - 200) < 45


def halves(count: int) -> np.ndarray:
    """Images that are bright on the left, with some noise."""
    x = 0.3 * np.random.default_rng(0).normal(size=(count, 8, 8))
    x[:, :, :4] += 2
    return x


def test_moments_are_those_of_the_data_with_their_mirror_images():
    x = halves(300)
    both = np.concatenate([x, x[:, :, ::-1]])
    wish = Data(held_out=0, maps="affine")
    one = prepare(x, Options(Data(held_out=0, maps="affine", mirror=(1,)))).moments
    other = prepare(both, Options(wish)).moments
    assert torch.allclose(one.mean, other.mean, atol=1e-5)
    assert torch.allclose(one.covariance, other.covariance, atol=1e-5)


@pytest.mark.slow
def test_a_model_draws_mirror_images_as_often_as_the_images():
    training = Training(steps=300, batch=16, evaluations=1)
    model = fit(halves(400), data=Data(mirror=1), network=Network(widths=(16,)), training=training, device="cpu")
    drawn = model.sample(256)
    right = drawn[:, :, 4:].mean((1, 2)) > drawn[:, :, :4].mean((1, 2))
    assert abs(right.mean() - 0.5) < 4.5 * 0.5 / 16
    assert np.abs(np.abs(drawn[:, :, 4:].mean((1, 2)) - drawn[:, :, :4].mean((1, 2))) - 2).mean() < 0.3


def test_a_fit_says_along_which_axes():
    options = Options(Data(mirror=(0, 1)), Network(widths=(8,)), Training(steps=2, batch=4))
    planned = plan(prepare(halves(60), options), options)
    assert planned.choice("mirror").value == "axis 0 and axis 1" and planned.choice("mirror").given
    assert train(planned).model.sample(2).shape == (2, 8, 8)


@pytest.mark.parametrize("mirror", [(3,), (-1,), (1, 1), ("x",), (True,)])
def test_mirror_names_spatial_axes(mirror):
    with pytest.raises(ValueError, match=r"^mirror names spatial axes, each once: 0, 1 or 2; got "):
        Data(mirror=mirror)


def test_mirror_is_for_axes_that_are_there():
    with pytest.raises(
        ValueError,
        match=r"^mirror names spatial axes of a grid, got 2, and these data have 2, counted from 0: leave it out",
    ):
        prepare(halves(60), Options(Data(mirror=2)))
    with pytest.raises(ValueError, match=r"^mirror names spatial axes of a grid, got 0, and these data are vectors"):
        prepare(np.random.default_rng(0).normal(size=(60, 3)), Options(Data(mirror=(0,))))
