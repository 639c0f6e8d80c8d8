from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scorefield.data import ArrayRows
from scorefield.denoisers import Denoiser, EDMPrediction, Preconditioned
from scorefield.nn import MLP, UNet
from scorefield.objectives import DenoisingScoreMatching, LogNormal
from scorefield.rng import Rng
from scorefield.settings import Training
from scorefield.training import Feed, Trainer, loop
from scorefield.training.held_out import excess
from scorefield.units import Standardize

OBJECTIVE = DenoisingScoreMatching(LogNormal(-0.5, 1.2))


class Own(nn.Module):
    """A network of a user: layers in a row, the label beside the data, a norm with buffers."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features + 1, 32),
            nn.BatchNorm1d(32),
            nn.SiLU(),
            nn.Linear(32, 32),
            nn.SiLU(),
            nn.Linear(32, features),
        )

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layers(torch.cat([x, c[:, None]], 1))


def network_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "own":
        return Own(3)
    return MLP(3, 32, 2) if kind == "mlp" else UNet(1, 2, (16, 16), 1, 1, embedding=16)


def trainer_of(
    kind: str = "mlp",
    count: int = 100,
    precision: Any = "float32",
    objective: Any = OBJECTIVE,
    network: nn.Module | None = None,
    seed: int = 0,
    **settings: Any,
) -> Trainer:
    shape = (2, 6) if kind == "unet" else (3,)
    x = torch.randn(count + 30, *shape, generator=torch.Generator().manual_seed(5))
    budget = {} if {"minutes", "epochs"} & set(settings) else {"steps": 10}
    training = Training(
        **{**budget, "batch": 16, "learning_rate": 1e-3, "muon_learning_rate": 0.01, "reference_batch": 30, **settings}
    )
    feed = Feed(ArrayRows(x[30:]), Standardize(shape), training.batch or 0, seed)
    denoiser = Preconditioned(network or network_of(kind), EDMPrediction(), precision)
    return Trainer(denoiser, feed, x[:30], objective, training, seed)


# -- budgets and rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({"steps": 7}, 7), ({"epochs": 3}, 19), ({"epochs": 3, "accumulate": 2}, 10), ({"epochs": 0.01}, 1)],
)
def test_budgets_in_steps_and_passes(settings, steps):
    trainer = trainer_of(**settings)
    reports = list(trainer.run())
    assert [p.step for p in reports] == list(range(1, steps + 1))
    assert [p.fraction for p in reports] == pytest.approx([k / steps for k in range(1, steps + 1)])
    assert trainer.stopped == "the budget is used"
    assert list(trainer.run()) == []


def test_a_budget_in_minutes():
    trainer = trainer_of(minutes=0.3 / 60)
    reports = list(trainer.run())
    assert trainer.seconds >= 0.3 > reports[-2].seconds
    assert reports[-1].fraction == 1 and len(reports) > 3
    assert [p.seconds for p in reports] == sorted(p.seconds for p in reports)
    # a resumed run counts what was used before
    tensors, about = trainer.state()
    again = trainer_of(minutes=0.3 / 60)
    again.load(tensors, {**about, "stopped": "", "seconds": 0.2})
    assert min(p.seconds for p in again.run()) > 0.2


def test_rates_rise_and_fall():
    """From 1/(warmup + 1) of the way up, and straight down to almost nothing at the end."""
    rates = [p.rate for p in trainer_of(steps=20, warmup=4).run()]
    assert rates == pytest.approx([min(1, (k + 1) / 5) * (1 - k / 20) for k in range(20)])
    assert trainer_of(steps=4, warmup=0).run().__next__().rate == 1


@pytest.fixture
def often(monkeypatch):
    """Measures the held-out loss at any step, however short the run."""
    monkeypatch.setattr(loop, "_INTERVAL", 1)


@pytest.mark.parametrize("evaluations", [1, 3, 20, 50])
def test_held_out_losses_on_the_way(evaluations, often):
    """As often as asked for, at even distances, the last time at the end; no oftener than there are steps."""
    trainer = trainer_of(steps=20, evaluations=evaluations)
    reports = [p for p in trainer.run() if p.held_out is not None]
    assert len(reports) == min(evaluations, 20)
    assert reports[-1].step == 20
    assert [(p.step, p.held_out) for p in reports] == trainer.history
    gaps = [b.step - a.step for a, b in itertools.pairwise(reports)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_short_runs_are_not_spent_on_measuring():
    trainer = trainer_of(steps=3 * loop._INTERVAL + 1, evaluations=50)
    reports = [p.step for p in trainer.run() if p.held_out is not None]
    assert reports == [loop._INTERVAL, 2 * loop._INTERVAL, 3 * loop._INTERVAL]


def test_gradients_are_clipped():
    """With a small bound, the weights see gradients of that norm; a large one changes nothing."""
    norms = {}
    for clip in (1e-3, 1e6):
        trainer = trainer_of(steps=1, clip=clip)
        next(trainer.run())
        norms[clip] = float(trainer.flat.gradients.norm())
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-4)
    assert norms[1e6] > 0.01
    small = trainer_of(steps=1, clip=1e6)
    small._loss(0)
    assert float(small.flat.gradients.norm()) == pytest.approx(norms[1e6], rel=1e-5)


@dataclass(frozen=True)
class Still(DenoisingScoreMatching):
    """The loss at one level with noise that the example itself decides: the same in any batch."""

    def __call__(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
        level = torch.full_like(x0[:, :1], 0.5)
        return (denoiser(x0 + level * torch.sin(1000 * x0), level) - x0).square().mean(1)


def test_accumulated_gradients_are_those_of_the_large_batch():
    class Wrapped(Denoiser):  # no network to prepare batches for
        def __init__(self, inner: Denoiser) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return self.inner(x, level)

    found = []
    for settings in ({"batch": 64}, {"batch": 16, "accumulate": 4}):
        whole = trainer_of(steps=3, clip=1e6, **settings)
        trainer = Trainer(
            Wrapped(whole.denoiser), whole.feed, whole.held_out, Still(LogNormal()), whole.training
        )  # the parameters become views of another flat tensor
        reports = list(trainer.run())
        found.append(
            (torch.stack([p.loss for p in reports]), trainer.flat.gradients.clone(), trainer.flat.values.clone())
        )
    for large, parts in zip(*found):
        torch.testing.assert_close(parts, large, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["mlp", "unet", "own"])
def test_training_lowers_the_held_out_loss(kind):
    """Of data at two points, which are as far from Gaussian and from independent as data can be."""
    trainer = trainer_of(kind, count=400, steps=120, evaluations=4, learning_rate=5e-3, warmup=5, batch=64)
    for x in (trainer.feed._kept, trainer.held_out):
        x.copy_(x.flatten(1)[:, 0].sign().reshape(-1, *(1,) * (x.ndim - 1)).expand_as(x))
    before = trainer._losses_of(trainer.flat.values).data
    list(trainer.run())
    assert trainer.history[-1][1] < trainer.history[0][1]
    assert excess(trainer._losses_of(trainer.averages[1].values).data, before) < -3
    assert trainer.finish()[1] < float(before.mean())


# -- what goes wrong -----------------------------------------------------------------------------------------------


class Breaks(nn.Module):
    """A network that fails at its nth call, once."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.at = at
        self.calls = 0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        self.calls += 1
        return x * self.scale * (math.nan if self.calls == self.at else 1.0)


def test_a_gradient_that_is_not_finite_stops_at_its_step():
    trainer = trainer_of(network=Breaks(4), evaluations=1)
    reports = []
    message = r"^the gradient became non-finite .NaN or inf. at step 4 .loss nan.: "
    message += "try a smaller learning rate, a longer warmup, or precision='float32'$"
    with pytest.raises(RuntimeError, match=message):
        for progress in trainer.run():
            reports.append(progress.step)
    assert reports == [1, 2, 3]
    assert bool(torch.isfinite(trainer.flat.values).all())  # the weights are those of step 3


@pytest.mark.parametrize(("rate", "matrix_rate"), [(None, 0.1), (0.1, None)])
def test_rates_must_be_given(rate, matrix_rate):
    message = f"^a trainer needs learning_rate and muon_learning_rate, got {rate} and {matrix_rate}$"
    with pytest.raises(ValueError, match=message):
        trainer_of(learning_rate=rate, muon_learning_rate=matrix_rate)


def test_a_budget_must_be_given():
    with pytest.raises(ValueError, match=r"^training needs a budget: set minutes, steps or epochs$"):
        trainer_of(steps=None)


@pytest.mark.parametrize(
    "change", [{"step": 10**30}, {"seconds": -(10**400)}, {"worse": "3"}, {"history": [[10**400, 0.1]]}]
)
def test_a_state_whose_numbers_are_none(change):
    """Whole numbers that no computation takes, and words."""
    tensors, about = trainer_of().state()
    with pytest.raises(ValueError, match=r"^the state does not say where training stood, but \{"):
        trainer_of().load(tensors, about | change)


def test_a_state_of_another_network():
    tensors, about = trainer_of().state()
    other = trainer_of(network=MLP(3, 8, 1))
    have, need = tensors["values"].numel(), other.flat.values.numel()
    message = f"^the state is of a network with {have} parameters, this one has {need}: start a new run$"
    with pytest.raises(ValueError, match=message):
        other.load(tensors, about)


# -- the end -------------------------------------------------------------------------------------------------------


def memorizes(**settings: Any) -> Trainer:
    """Twelve data in ten dimensions, and a network that can hold them all."""
    generator = torch.Generator().manual_seed(0)
    x, held_out = torch.randn(12, 10, generator=generator), torch.randn(200, 10, generator=generator)
    torch.manual_seed(0)
    denoiser = Preconditioned(MLP(10, 128, 2), EDMPrediction())
    training = Training(
        **{
            "steps": 1500,
            "batch": 64,
            "learning_rate": 4e-3,
            "muon_learning_rate": 0.0,
            "reference_batch": 0,
            **settings,
        }
    )
    return Trainer(denoiser, Feed(ArrayRows(x), Standardize((10,)), 64, 0), held_out, OBJECTIVE, training)


@pytest.fixture(scope="module")
def memorized() -> Trainer:
    trainer = memorizes(patience=4)
    list(trainer.run())
    return trainer


def test_it_stops_when_the_held_out_loss_rises(memorized):
    assert memorized.stopped == ("the held-out loss rose: 4 measurements in a row lie significantly above the best")
    assert memorized.step < 1500
    losses = [loss for _, loss in memorized.history]
    assert min(losses) < min(losses[-4:])


def test_weights_from_the_middle_are_kept_if_they_are_better_for_sure(memorized):
    values, best = memorized.flat.values.clone(), memorized.best.clone()
    chosen, loss = memorized.finish()
    assert chosen == "best during training"
    assert loss == pytest.approx(min(loss for _, loss in memorized.history))
    network = memorized.denoiser
    assert torch.equal(torch.cat([p.flatten() for p in memorized.flat.parameters]), best)
    assert not torch.equal(best, values)
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_patience_is_as_long_as_asked_for():
    assert memorizes(patience=100, steps=400).training.patience == 100
    trainer = memorizes(patience=100, steps=400)
    list(trainer.run())
    assert trainer.step == 400 and trainer.stopped == "the budget is used"


@pytest.mark.parametrize("averages", [(), (0.1,), (0.05, 0.15, 0.25)])
def test_the_weights_of_the_least_held_out_loss_are_taken(averages):
    trainer = trainer_of(count=400, steps=60, averages=averages, learning_rate=5e-3)
    list(trainer.run())
    candidates = trainer._candidates()
    assert list(candidates) == ["last step", *(f"average of width {w:g}" for w in averages)]
    losses = {name: float(trainer._losses_of(values).data.mean()) for name, values in candidates.items()}
    expected = {name: values.clone() for name, values in candidates.items()}
    chosen, loss = trainer.finish()
    assert loss == min(losses.values()) == losses[chosen]
    assert torch.equal(torch.cat([p.flatten() for p in trainer.flat.parameters]), expected[chosen])


def test_measuring_leaves_training_as_it_is():
    trainer = trainer_of("own")
    trainer.denoiser.train()
    values, buffers = trainer.flat.values.clone(), [b.clone() for b in trainer.denoiser.buffers()]
    trainer._losses_of(torch.zeros_like(values))
    assert torch.equal(trainer.flat.values, values)
    assert all(torch.equal(a, b) for a, b in zip(buffers, trainer.denoiser.buffers()))
    assert trainer.denoiser.training


# -- to go on ------------------------------------------------------------------------------------------------------


def clone(state: tuple[dict[str, Tensor], dict[str, Any]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, about = state
    return {k: v.clone() for k, v in tensors.items()}, {**about, "history": [list(pair) for pair in about["history"]]}


SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {"steps": 40, "muon_learning_rate": 0.0, "evaluations": 10},
    "mlp-muon": {"steps": 40, "evaluations": 10},
    "mlp-accumulate": {"steps": 40, "accumulate": 3, "evaluations": 7},
    "own": {"steps": 20, "evaluations": 5},
    "unet": {"steps": 20, "evaluations": 4},
    "unet-bfloat16": {"steps": 20, "precision": "bfloat16", "evaluations": 4},
    "mlp-bfloat16": {"steps": 20, "precision": "bfloat16", "evaluations": 4},
    "unet-streams": {"steps": 12, "reference_batch": 0},
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * ("bfloat16" in name or name == "mlp-accumulate"))
        for name in SETTINGS
    ],
)
def test_it_goes_on_to_the_same_bits(name, often):
    """From any step: the first, in the middle of batches that were prepared together, right after a measurement."""
    kind = name.split("-")[0]
    trainer = trainer_of(kind, **SETTINGS[name])
    steps = SETTINGS[name]["steps"]
    kept = {0: clone(trainer.state())}
    losses = []
    for progress in trainer.run():
        losses.append(progress.loss)
        kept[progress.step] = clone(trainer.state())
    history = list(trainer.history)
    end = trainer.finish()
    result = {k: v.clone() for k, v in trainer.denoiser.state_dict().items()}
    assert trainer._together > 1  # so that some steps lie in the middle of a group
    for step in {1, steps // 2 + 1, steps - 1, steps}:
        again = trainer_of(kind, **SETTINGS[name])
        for _ in zip(range(3), again.run()):  # some other past
            pass
        again.stopped = ""
        again.load(*kept[step])
        assert torch.equal(
            torch.stack([p.loss for p in again.run()] or [torch.zeros(())]),
            torch.stack(losses[step:] or [torch.zeros(())]),
        )
        assert again.history == history
        assert again.finish() == end
        for key, value in again.denoiser.state_dict().items():
            assert torch.equal(value, result[key]), key


def test_seeds_differ():
    ends = []
    for seed in (0, 0, 1):
        trainer = trainer_of(seed=seed, steps=5)
        list(trainer.run())
        ends.append(trainer.flat.values.clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2])
