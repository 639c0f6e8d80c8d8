from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from scorefield.data import ArrayRows
from scorefield.fitting import Options, Plan, plan, prepare, split, threads, train, trainer_of
from scorefield.fitting.fitted import _Losses, _memorized
from scorefield.nn import MLP
from scorefield.noise_levels import NoiseLevels
from scorefield.runs import fit
from scorefield.settings import Data, Network, Training


def cloud(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape))


def planned(x, context=None, **options) -> Plan:
    wish = Options(**options)
    return plan(prepare(x, wish, context), wish)


def prepared(x, **options):
    return prepare(x, Options(**options))


def numbers(rows) -> list[float]:
    return rows.take(range(len(rows))).flatten().tolist()


# -- what is held out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("count", [3, 7, 8, 100, 2048, 5000])
def test_a_part_is_held_out_and_the_rest_is_trained_on(count, part):
    rows = ArrayRows(torch.arange(float(count))[:, None])
    parts = split(rows, part, seed=3)
    train, held_out = numbers(parts.train), numbers(parts.held_out)
    assert sorted(train + held_out) == list(range(count))
    assert len(held_out) == max(1, min(count - 2, max(2, round(part * count))))
    again = split(rows, part, seed=3)
    assert (numbers(again.train), numbers(again.held_out)) == (train, held_out)
    if count > 8 and 0.05 < part < 0.95:
        assert numbers(split(rows, part, seed=4).held_out) != held_out


@pytest.mark.parametrize(("count", "part"), [(100, 0.0), (2, 0.1), (2, 0.9)])
def test_nothing_is_held_out_if_none_is_asked_for_or_none_can_be_spared(count, part):
    rows = ArrayRows(torch.arange(float(count))[:, None])
    parts = split(rows, part, seed=0)
    assert parts.train is parts.held_out is rows


def test_of_few_data_the_part_is_representative():
    """Its mean scatters much less than that of a random part, which would by 1/√count."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(0)) / x.std(0)
    means = torch.stack([split(ArrayRows(x), 0.1, seed).held_out.take(range(20)).mean(0) for seed in range(30)])
    assert float(means.square().mean().sqrt()) < 0.7 / 20**0.5


def test_constant_places_of_grids_do_not_hide_the_others():
    x = torch.zeros(40, 1, 2, 2)
    x[:, 0, 0, 0] = torch.randn(40, generator=torch.Generator().manual_seed(0))
    assert len(split(ArrayRows(x), 0.25, 0).held_out) == 10


# -- units ---------------------------------------------------------------------------------------------------------


def test_units_of_vectors_are_a_columns_own():
    x = cloud(500, 3) * [1.0, 100.0, 1e-4] + [0.0, -7.0, 1e3]
    units = prepared(x).units
    np.testing.assert_allclose(units.mean, x.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(units.std, x.std(0), rtol=1e-9)


@pytest.mark.parametrize("last", [False, True])
def test_units_of_grids_are_a_channels_own(last):
    """Neighbours keep their proportions: a dark corner stays dark."""
    x = cloud(60, 2, 20, 24) * np.array([1.0, 50.0])[:, None, None] + np.array([3.0, -400.0])[:, None, None]
    x += np.arange(24)
    units = prepared(np.moveaxis(x, 1, -1) if last else x).units
    assert units.mean.shape == units.std.shape == (2, 1, 1)
    np.testing.assert_allclose(units.mean.flatten(), x.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(units.std.flatten(), x.std((0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_large_offsets_survive(offset):
    """x = offset ± 1: what is trained on, what is held out and what is drawn has unit spread about the offset."""
    x = cloud(400, 2) + offset
    found = planned(x, training=Training(steps=3))
    trainer = trainer_of(found)
    every = torch.cat([trainer.feed._kept, trainer.held_out]).double()
    assert float(every.mean(0).abs().max()) < 1e-4
    np.testing.assert_allclose(every.std(0), 1, atol=5e-3)
    assert len(every.unique()) > 790  # no digits are lost
    drawn = train(found).model.sample(500)
    assert drawn.dtype == np.float64
    np.testing.assert_allclose(drawn.mean(0) - offset, 0, atol=0.4)
    np.testing.assert_allclose(drawn.std(0), 1, atol=0.4)
    assert len(np.unique(drawn)) > 990


# -- moments -------------------------------------------------------------------------------------------------------


def test_vectors_have_a_full_covariance():
    x = cloud(500, 3) @ np.array([[1, 0.9, 0.5], [0, 0.3, 0.1], [0, 0, 0.02]]) * [1, 1e3, 1e-3] + 5
    moments = prepared(x, data=Data(held_out=0)).moments
    assert not moments.diagonal
    np.testing.assert_allclose(moments.covariance, np.corrcoef(x.T), atol=1e-5)
    np.testing.assert_allclose(moments.mean, 0, atol=1e-6)


@pytest.mark.slow
def test_grids_and_wide_or_few_vectors_have_variances():
    for x in (cloud(50, 20, 20), cloud(100, 30), cloud(1200, 300)):
        moments = prepared(x, data=Data(structure="vector", maps="affine") if x.ndim == 2 else Data()).moments
        assert moments.diagonal
        assert float(moments.covariance.mean()) == pytest.approx(1, rel=0.1)


def test_a_value_that_almost_no_datum_shows():
    """A column that is constant among the examples has its variance all the same."""
    x = cloud(8000, 3)
    x[:, 2] = 0
    for k, value in enumerate((1, 3, 7, 12, 20)):
        x[17 + 3 * k : 20 + 3 * k, 2] = value
    moments = prepared(x).moments
    assert bool(torch.isfinite(moments.covariance).all())
    np.testing.assert_allclose(moments.covariance.diagonal()[:2], 1, atol=0.05)  # of 4,096 examples
    assert 0.05 < float(moments.covariance[2, 2]) < 1  # an atom keeps to the middle of its interval


def test_columns_that_repeat_each_other():
    x = cloud(300, 1).repeat(3, axis=1) * [1.0, -2.0, 3.0]
    assert not prepared(x).moments.diagonal


# -- choices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [cloud(100, 3), cloud(30, 20, 20), pd.DataFrame(cloud(50, 2), columns=["a", "b"])])
def test_every_choice_has_its_reason(x):
    found = planned(x)
    names = [choice.name for choice in found.choices]
    assert names[:6] == [
        "structure",
        "network",
        "process",
        "parametrization",
        "objective",
        "steps" if "steps" in names else "minutes",
    ]
    assert len(set(names)) == len(names)
    assert {"batch", "learning_rate", "muon_learning_rate", "reference_batch", "precision", "sampling"} < set(names)
    assert ({"minutes", "steps", "epochs"} & set(names)) in ({"minutes"}, {"steps"})
    assert all(isinstance(value, str) and isinstance(why, str) and len(why) > 10 for _, value, why in found.choices)
    assert not any(choice.given for choice in found.choices)
    size = sum(p.numel() for p in found.network.parameters())
    assert found.choice("network").value == f"{type(found.network).__name__}, {size:,} parameters"
    open_ = [f.name for f in fields(Training) if getattr(found.training, f.name) in (None, "auto")]
    budgets = set(open_) - {
        "threads",
        "compile",
        "channels_last",
        "end_early",
    }  # which the device and the budget decide
    assert budgets < {"minutes", "steps", "epochs"} and len(budgets) == 2
    with pytest.raises(KeyError, match="there is no choice 'colour' among structure, "):
        found.choice("colour")


def test_what_the_user_says_is_not_chosen():
    wish = Training(
        epochs=2,
        batch=10,
        learning_rate=1e-3,
        muon_learning_rate=0.0,
        muon_every=1,
        reference_batch=5,
        precision="float32",
        clip=0.3,
    )
    levels = NoiseLevels(0.01, 50.0, -1.0, 1.5)
    found = planned(
        cloud(100, 3),
        data=Data(held_out=0.5),
        network=Network(widths=(24,), depth=1),
        training=wish,
        noise_levels=levels,
        seed=9,
        device="cpu",
    )
    assert found.training == wish
    names = [choice.name for choice in found.choices]
    assert names == ["structure", "network", "process", "parametrization", "objective", "sampling"]
    assert found.noise_levels is levels
    assert trainer_of(found).steps == 10
    assert (found.network.width, found.network.depth) == (24, 1)
    assert (found.objective.levels.mean, found.objective.levels.std) == (-1.0, 1.5)
    assert found.process == levels.process()


def test_zero_reference_and_rate_are_answers():
    training = planned(
        cloud(30, 20, 20), training=Training(steps=1, muon_learning_rate=0.0, reference_batch=0)
    ).training
    assert training.muon_learning_rate == training.reference_batch == 0


@pytest.mark.slow
def test_integers_have_levels_by_their_step():
    x = np.random.default_rng(0).integers(0, 8, size=(300, 2))
    step = 1 / x.std(0).max()
    points, floats = Data(dequantize=False), Data(maps="affine")
    assert planned(x, data=points).noise_levels == planned(x.astype(float), data=floats).noise_levels
    assert "step between neighbouring values" in planned(x, data=floats).noise_levels.reasons[0] or 0.1 * step > 2e-2


# -- the world around ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (20, 20)])
def test_nobodys_random_numbers_are_touched(shape):
    torch.manual_seed(1)
    np.random.seed(1)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    dtype, grads = torch.get_default_dtype(), torch.is_grad_enabled()
    for objective in (None, "learneduncertainty(denoisingscorematching)"):
        how = Training(steps=2, batch=4)
        found = planned(cloud(60, *shape), training=how, network=Network(widths=(16,)), objective=objective)
        train(found).model.sample(2)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])
    assert (dtype, grads) == (torch.get_default_dtype(), torch.is_grad_enabled())


def test_a_fit_is_its_seeds():
    """The first weights, the split and the batches: none depends on what was drawn before."""
    states = []
    for seed in (0, 0, 1):
        torch.rand(seed + 3)
        trainer = trainer_of(planned(cloud(60, 3), training=Training(steps=2), seed=seed))
        first = trainer.flat.values.clone()
        list(trainer.run())
        states.append((first, trainer.flat.values.clone()))
    for one, same, other in zip(*states):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        vectors, grids = planned(cloud(60, 3)), planned(cloud(40, 20, 20), network=Network(widths=(8,)))
        with threads(vectors):
            assert torch.get_num_threads() == 1
        with threads(grids):
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), threads(vectors):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_devices_that_are_not_there(device):
    with pytest.raises(ValueError, match=rf"^there is no device '{device}' here: use device='cpu' \(.+\)$"):
        planned(cloud(60, 3), device=device)


# -- networks of the user ------------------------------------------------------------------------------------------


class Own(nn.Module):
    def __init__(self, outs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 20), nn.BatchNorm1d(20), nn.Dropout(0.5), nn.Linear(20, outs))

    def forward(self, x, c):
        return self.layers(torch.cat([x, c[:, None]], 1))


class Scales(nn.Module):
    """No parameter has an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x, c):
        return self.scale * x


def test_a_network_of_ones_own_is_taken_as_it_is():
    network = Own(3)
    network.layers[2].eval()
    buffers = {k: v.clone() for k, v in network.state_dict().items()}
    found = planned(cloud(60, 3), network=network, training=Training(steps=2))
    assert found.network is network
    assert found.choice("network").given and found.choice("network").value.startswith("Own, ")
    assert all(torch.equal(v, buffers[k]) for k, v in network.state_dict().items())
    assert network.layers[1].training and not network.layers[2].training
    list(trainer_of(found).run())
    assert not torch.equal(network.layers[1].running_mean, buffers["layers.1.running_mean"])
    with threads(planned(cloud(60, 3), network=Scales())):
        pass


@pytest.mark.parametrize("outs", [1, 2])
def test_a_network_that_answers_another_shape(outs):
    """One number would broadcast against three, and be trained in silence."""
    need = r"x of shape \(2, 3\) and c of shape \(2,\) with the shape of x"
    message = rf"^the network must answer {need}, got shape \(2, {outs}\): its first and last layer must fit the data$"
    with pytest.raises(ValueError, match=message):
        planned(cloud(60, 3), network=Own(outs))


def test_a_network_that_answers_no_tensor():
    class Pair(Scales):
        def forward(self, x, c):
            return x, c

    with pytest.raises(ValueError, match="with the shape of x, got a tuple: its first"):
        planned(cloud(60, 3), network=Pair())


# -- the end -------------------------------------------------------------------------------------------------------


def test_what_was_measured():
    fitted = train(planned(cloud(100, 3), training=Training(steps=30, evaluations=3), network=MLP(3, 8, 1)))
    model, about = fitted.model, fitted.record
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert about["steps"] == 30 and about["stopped"] == "the budget is used" and about["seconds"] > 0
    assert about["weights"] in {"last step", "average of width 0.05", "average of width 0.15", "best during training"}
    assert about["held_out_loss"] == fitted.held_out_loss and about["warning"] == fitted.warning
    by_level = about["by_level"]
    assert set(by_level) == {"level", "loss", "train_loss", "zero_loss"}
    assert {len(v) for v in by_level.values()} == {len(by_level["level"])}
    assert by_level["level"][0] == pytest.approx(model.process.sigma_min, rel=1e-5)
    assert by_level["level"][-1] == pytest.approx(model.process.sigma_max, rel=1e-5)
    assert all(np.isfinite(v).all() for v in by_level.values())
    assert np.mean(by_level["zero_loss"]) == pytest.approx(1, abs=0.5)  # of a network that answers 0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_two_data_are_enough_to_begin(count):
    assert train(planned(cloud(count, 2), training=Training(steps=2))).model.sample(3).shape == (3, 2)


# -- memorization --------------------------------------------------------------------------------------------------


def test_memorization_is_said():
    """When the weights of an earlier step are kept, and when training data cost less than others."""
    x = np.random.default_rng(0).normal(size=(40, 8))
    with pytest.warns(UserWarning, match=r"^The held-out loss rose: from step \d+ on the network memorized its data"):
        fit(x, steps=200, data=Data(held_out=0.3))
    found, levels = planned(x), torch.tensor([0.1, 1.0])
    losses = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) + 1

    def said(held_out, train):
        return _memorized(found, trainer_of(found), "last step", _Losses(levels, held_out, train, train))

    assert said(losses.flip(0) * 2, losses).startswith(
        "The held-out loss exceeds the training loss at levels 0.1 to 1, by a factor of up to 2.0"
    )
    assert said(losses.flip(0), losses) == ""
    assert said(losses[:1] * 2, losses[:1]) == ""
    assert said(losses[:2] * 5, losses[:20]).endswith("2 held-out rows are too few to test it.")  # 12 rows, say
    assert said(losses[:20] * 1.01, losses[:20]) == ""


def test_nothing_is_said_of_a_fit_to_enough_data(recwarn):
    fit(np.random.default_rng(0).normal(size=(2000, 2)), steps=100)
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]
