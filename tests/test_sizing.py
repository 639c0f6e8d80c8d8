"""What networks and batches are sized by: data, budget and device in nominal figures; never a clock or a number of threads."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from scorefield import Network, Training, fit
from scorefield.fitting import Options, plan, prepare
from scorefield.fitting.hardware import Hardware
from scorefield.fitting.sizing import batch_for_grids, compiles, growth, muon_every, muon_reason, muon_share
from scorefield.nn import UNet, choose, choose_for_tables
from scorefield.runs import Run
from scorefield.training.ending import Ending
from scorefield.training.flat import inside
from scorefield.training.optimizer import multiplications

H100 = Hardware.of_gpu(132, 9, 80e9)
SMALL_GPU = Hardware.of_gpu(24, 8, 8e9)
CPU = Hardware()
FEW = Training(steps=2, batch=4, precision="float32", reference_batch=0, evaluations=1)
BUDGETS = (1, 5, 10, 20, 60, 600, 10_000)
COUNTS = (10, 2_000, 54_000, 10**6, 10**8)


def size(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def on_meta(*args, **options) -> torch.nn.Module:
    """A network that takes no memory."""
    with torch.device("meta"):
        return choose(*args, **options)[0]


def images(count: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


# -- devices -------------------------------------------------------------------------------------------------------


def test_every_cpu_has_the_same_figures(monkeypatch):
    before = Hardware.of(torch.device("cpu"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert Hardware.of(torch.device("cpu")) == before == CPU and CPU.speed == 1 and not CPU.gpu


def test_a_gpu_is_known_by_its_properties(monkeypatch):
    class Found:
        multi_processor_count, major, total_memory = 132, 9, int(80e9)

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Found)
    assert Hardware.of(torch.device("cuda")) == H100 and H100.gpu
    rates = [Hardware.of_gpu(100, capability, 1e9).rate for capability in range(3, 14)]
    assert rates == sorted(rates)
    assert Hardware(**json.loads(json.dumps(asdict(H100)))) == H100


@pytest.mark.parametrize("figures", [{"rate": 0.0}, {"rate": math.nan}, {"memory": -1.0}])
def test_figures_are_positive(figures):
    with pytest.raises(ValueError, match="a device has a positive rate and memory, got rate="):
        Hardware("cuda", **figures)


# -- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [True, False])
def test_it_grows_with_minutes_with_the_rate_and_with_the_data(grid):
    devices = (CPU, SMALL_GPU, H100)
    found = np.array([[[growth(Training(minutes=m), d, n, grid) for n in COUNTS] for d in devices] for m in BUDGETS])
    assert all((np.diff(found, axis=axis) >= 0).all() for axis in range(3))
    assert found.min() == 1 and found.max() == 8
    assert (found[:, :, :2] == 1).all()  # few examples never have a larger network
    assert (found[:3, 0] == 1).all()  # nor has a CPU in ten minutes


@pytest.mark.parametrize("budget", [{"steps": 10**6}, {"epochs": 1000}])
def test_a_budget_without_minutes_leaves_networks_on_a_cpu_as_they_are(budget):
    assert growth(Training(**budget, batch=64), CPU, 10**8, True) == 1
    assert growth(Training(**budget, batch=64), CPU, 10**8, False) == 1


def test_on_a_gpu_it_counts_examples():
    steps = [growth(Training(steps=n, batch=512), H100, 10**7, True) for n in (100, 1_000, 10_000, 100_000)]
    assert steps == sorted(steps) and steps[0] == 1 < steps[1]
    assert growth(Training(epochs=10.0, batch=8), H100, 10**6, True) == math.sqrt(50)
    assert growth(Training(steps=10_000, batch=64), H100, 10**6, True) == growth(
        Training(steps=10_000, batch=16, accumulate=4), H100, 10**6, True
    )  # and not the parts of a step
    rows = [growth(Training(steps=10, batch=1024), H100, n, False) for n in COUNTS]
    assert rows == sorted(rows) and rows[2] > 1


def test_what_the_rule_is_meant_to_give():
    ten = growth(Training(minutes=10), H100, 45_000, True)
    assert 15e6 < size(on_meta((3, 32, 32), 45_000, growth=ten)) < 40e6
    assert growth(Training(minutes=60), CPU, 45_000, True) == 1
    night = growth(Training(minutes=480), CPU, 54_000, True)
    assert 1.3 < on_meta((1, 28, 28), 54_000, growth=night).widths[0] / 48 < 1.8


@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 100)])
def test_parameters_grow_with_the_growth_and_groups_divide(shape):
    networks = [on_meta(shape, 10**6, growth=each) for each in (1, 1.3, 1.6, 1.99, 2, 2.5, 4, 8)]
    sizes = [size(network) for network in networks]
    assert sizes == sorted(sizes) and sizes[-1] > 30 * sizes[0]
    assert all(width % 16 == 0 for network in networks for width in network.widths)


def test_vectors_and_tables_grow_too():
    for make in (
        lambda g: choose((100,), 10**6, growth=g),
        lambda g: choose((2,), 10**6, growth=g),
        lambda g: choose_for_tables(5, (7, 8), 10**6, growth=g),
        lambda g: choose_for_tables(5, (7, 8), 10**6, attention=True, growth=g),
    ):
        with torch.device("meta"):
            sizes = [size(make(each)[0]) for each in (1, 1.2, 1.7, 2, 4, 8)]
        assert sizes == sorted(sizes) and sizes[-1] > 20 * sizes[0]


def test_what_was_chosen_without_growth_is_chosen_still():
    """The networks of earlier versions, which resumed runs need."""
    sizes = [size(on_meta((1, 28, 28), 54_000)), size(on_meta((3, 32, 32), 45_000)), size(on_meta((3, 100), 400))]
    assert sizes == [1_115_860, 4_342_332, 1_768_764]
    vectors = [size(on_meta((features,), count)) for features, count in ((2, 400), (10, 20_000), (100, 200_000))]
    assert vectors == [12_866, 89_994, 1_187_428]


def test_a_network_that_no_machine_could_hold_takes_no_memory():
    network = on_meta((3, 256, 256), 10**9, growth=8.0)
    assert isinstance(network, UNet) and size(network) > 10**8
    assert {p.device.type for p in network.parameters()} == {"meta"}


def test_what_is_asked_for_does_not_grow():
    assert on_meta((3, 32, 32), 10**6, (32, 64), growth=4.0).widths == (32, 64)
    assert on_meta((3, 32, 32), 10**6, None, 3, growth=4.0).depth == 3
    assert on_meta((3, 32, 32), 10**6, growth=4.0).depth == 2


# -- batches, and what a GPU gains from ----------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", [1, 784, 3072, 12_288, 196_608, 2**22])
def test_batches_of_grids(numbers):
    small = max(4, min(64, 100_000 // numbers))
    assert batch_for_grids(numbers, 10**6, CPU) == small
    assert batch_for_grids(numbers, 10, H100) <= small  # few examples
    found = [batch_for_grids(numbers, 10**6, Hardware("cuda", 1e14, memory)) for memory in (1e9, 8e9, 8e10)]
    assert found == sorted(found) and found[0] >= 1 and found[-1] <= 512 and (small <= found[-1] or numbers > 2**21)
    assert batch_for_grids(numbers, 10**6, Hardware("cuda", 1e14, 4000 * numbers)) == 1  # no room for more


def test_a_gpu_compiles_where_the_budget_pays_for_it(monkeypatch):
    there = Training(minutes=5)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert compiles(there, H100, True, 10**5) and not compiles(Training(minutes=4.9), H100, True, 10**5)
    assert compiles(Training(epochs=100), H100, True, 10**5) and not compiles(Training(steps=9, batch=9), H100, True, 9)
    assert not compiles(there, CPU, True, 10**5) and not compiles(there, H100, False, 10**5)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not compiles(there, H100, True, 10**5)


def test_a_plan_for_a_gpu(monkeypatch):
    """All that differs between devices, and that it is the same however many threads there are."""
    monkeypatch.setattr("scorefield.fitting.budget.compiles", lambda *_: True)
    options = Options(training=Training(minutes=10, precision="float32"), device="cpu")
    prepared = prepare(images(), options)
    monkeypatch.setattr("scorefield.fitting.sizing._GRIDS", 20)
    cpu, gpu = plan(prepared, options), plan(prepared, options, H100)
    assert (cpu.growth, cpu.training.compile, cpu.training.channels_last) == (1, None, None)
    assert (
        gpu.growth == math.sqrt(len(prepared.split.train) / 20) and gpu.training.compile and gpu.training.channels_last
    )
    assert gpu.training.learning_rate == pytest.approx(cpu.training.learning_rate / gpu.growth)
    assert size(gpu.network) > 2 * size(cpu.network)
    assert "times as wide" in gpu.choice("network").reason and "times" not in cpu.choice("network").reason
    given = replace(options, training=replace(options.training, compile=False, channels_last=False))
    assert not plan(prepared, given, H100).training.compile
    own = replace(options, network=Network(widths=(8,)))
    assert plan(prepared, own, H100).growth == 1
    mine = plan(prepared, replace(options, network=UNet(2, 3, (8,))), H100)
    assert mine.training.compile is None and mine.growth == 1  # a network of the user's is computed as it is


@pytest.mark.slow
def test_many_columns_and_rows_have_a_narrower_network_and_muon(monkeypatch):
    """Unless the user says how wide it is; a run that knows of no growth keeps the wider one."""
    x = np.random.default_rng(0).normal(size=(120, 70))
    monkeypatch.setattr("scorefield.fitting.budget._ROWS", 100)
    options = Options(device="cpu")
    prepared = prepare(x, options)
    found = plan(prepared, options)
    assert (found.network.width, found.growth, found.training.batch, found.training.steps) == (256, 0.5, 1024, 5000)
    assert found.training.muon_learning_rate > 0 and found.training.learning_rate == 3e-3
    assert plan(prepared, replace(options, growth=1.0)).network.width == 512
    for usual in (
        plan(prepared, replace(options, network=Network(widths=(512,)))),
        plan(prepared, replace(options, objective="sliced")),
        plan(prepare(x[:, :64], options), options),
        plan(prepare(x[:100], options), options),
    ):
        assert usual.growth == 1 and usual.training.muon_learning_rate == 0 and usual.training.batch == 256
    assert plan(prepared, replace(options, training=Training(steps=7, batch=8))).training.steps == 7


# -- runs that go on -----------------------------------------------------------------------------------------------


def interrupted(x, folder, **how):
    def stop(progress):
        if progress.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(x, folder, **how, watch=stop)
    record = json.loads((folder / "run.json").read_text())
    return record, lambda changed: (folder / "run.json").write_text(json.dumps(changed))


def test_a_run_keeps_its_network(tmp_path, monkeypatch):
    how = {"training": FEW, "device": "cpu"}
    monkeypatch.setattr("scorefield.fitting.budget.growth", lambda *_: 1.4)
    record, _ = interrupted(images(), tmp_path / "run", **how)
    assert record["growth"] == 1.4
    monkeypatch.setattr("scorefield.fitting.budget.growth", lambda *_: 1.0)  # resumed where another would be chosen
    assert fit(images(), tmp_path / "run", **how).about["steps"] == 2 and Run(tmp_path / "run").ended


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 64), (1, 128, 128), (1, 128), (1, 16, 16, 16)])
def test_muon_adds_little_to_the_work_of_a_network(shape):
    """As little in half as many steps for half of a batch; an eighth at most, unless that took more than two steps."""
    network, _ = choose(shape, 20_000)
    batch = batch_for_grids(math.prod(shape), 20_000, CPU)
    matrices = [(p.shape[0], p.numel() // p.shape[0]) for p in network.parameters() if inside(p)]
    added = sum(multiplications(*each) for each in matrices)
    found = []
    for rows in (batch, batch * 2, batch * 4, batch * 64):
        share = muon_share(network, shape, Training(batch=rows))
        every = muon_every(share)
        assert share == pytest.approx(added / (3 * rows * network.multiplications(shape[1:])))
        assert every == 2 or share / every <= 1 / 8
        assert every == 1 or share / (every - 1) > 1 / 8
        assert share == muon_share(network, shape, Training(batch=rows // 2, accumulate=2))
        assert ("more rarely" in muon_reason(share)) is (share / every > 1 / 8)
        found.append(every)
    assert found == sorted(found, reverse=True) and found[-1] == 1


def test_where_muon_waits_is_said():
    """The default of 28 x 28 points has it in each step, that of 128 x 128 does not; vectors do, and unknown networks."""
    asked = {shape: chosen_for(np.zeros(shape)) for shape in ((40, 1, 28, 28), (40, 1, 128, 128))}
    assert [found.training.muon_every for found in asked.values()] == [1, 2]
    assert asked[40, 1, 128, 128].choice("muon_every").value == "2"
    assert "once in 2 steps" in muon_reason(0.2) and "in each step, Muon adds 10 %" in muon_reason(0.1)
    assert asked[40, 1, 128, 128].choice("muon_every").reason.endswith(" to the multiplications of a step")
    own = chosen_for(np.zeros((40, 1, 128, 128)), training=Training(muon_every=3))
    assert own.training.muon_every == 3 and all(choice.name != "muon_every" for choice in own.choices)
    without = chosen_for(np.zeros((40, 1, 128, 128)), training=Training(muon_learning_rate=0.0))
    assert without.training.muon_every == 1 and all(choice.name != "muon_every" for choice in without.choices)
    vectors = chosen_for(np.zeros((40, 3)), training=Training(muon_learning_rate=0.01))
    assert vectors.training.muon_every == 1 and "vectors" in vectors.choice("muon_every").reason
    assert muon_share(torch.nn.Conv2d(64, 64, 3), (64, 8, 8), Training(batch=1)) is None and muon_every(None) == 1
    assert "does not say" in muon_reason(None)


@pytest.mark.parametrize("every", [0, -1, 1.5, math.nan, math.inf])
def test_steps_between_those_of_muon_are_whole(every):
    with pytest.raises(ValueError, match="steps are whole, got muon_every="):
        Training(muon_every=every)


def chosen_for(x: np.ndarray, **options):
    x = torch.from_numpy(x + np.random.default_rng(0).normal(size=x.shape)).float()
    options = Options(device="cpu", **options)
    return plan(prepare(x, options), options)


def test_runs_that_had_muon_in_each_step_go_on_so(tmp_path):
    """To the bits of a whole run: what a version wrote that did not know of the interval."""
    how = {"device": "cpu", "network": Network(widths=(16, 32), baseline=False)}
    x, every = images(), []
    usual = Training(steps=6, batch=4, evaluations=1, precision="float32", reference_batch=0)
    record, write = interrupted(x, tmp_path / "run", training=usual, **how)
    assert record["training"]["muon_every"] > 1  # small batches
    for settings in (record["training"], record["asked"]["training"]):
        settings.pop("muon_every")
    write(record)
    (tmp_path / "run" / "training.safetensors").unlink()  # it begins anew, with what was chosen
    fit(x, tmp_path / "run", training=usual, **how, begin=lambda found: every.append(found.training.muon_every))
    whole = fit(x, tmp_path / "whole", training=replace(usual, muon_every=1), **how)
    resumed = Run(tmp_path / "run").model.state_dict()
    assert every == [1] and all(torch.equal(value, resumed[name]) for name, value in whole.state_dict().items())


def test_runs_of_versions_that_chose_no_growth_go_on(tmp_path, monkeypatch):
    how = {"training": FEW, "device": "cpu"}
    record, write = interrupted(images(), tmp_path / "run", **how)
    record.pop("growth")
    for settings in (record["training"], record["asked"]["training"]):
        settings.pop("end_early")
        settings["compile"] = settings["channels_last"] = False
    write(record)
    monkeypatch.setattr("scorefield.fitting.budget.growth", lambda *_: 2.5)
    assert fit(images(), tmp_path / "run", **how).about["steps"] == 2
    with pytest.raises(ValueError, match=r"training\.compile: .* there, True asked"):
        fit(images(), tmp_path / "run", **{**how, "training": replace(how["training"], compile=True)})


# -- ending before the budget is used ------------------------------------------------------------------------------


def losses(level: float) -> torch.Tensor:
    return level + 0.01 * torch.linspace(-1, 1, 1000, dtype=torch.float64)


def test_training_goes_on_while_the_loss_falls():
    ending = Ending(True)
    for i, fraction in enumerate(np.linspace(0.025, 1, 40)):
        ending.measured(float(fraction), losses(1 - 0.01 * i) * (1 + 0.01 * (i % 2)))
    assert ending.begun is None and ending.end == 1 and ending.rate(0.25) == 0.75


@pytest.mark.parametrize("still", [0.2, 0.3, 0.55])
def test_training_ends_where_the_loss_falls_no_longer(still):
    """Rates fall to 0 without a jump, and a state restores all of it."""
    ending = Ending(True)
    for fraction in np.linspace(0.025, 1, 40):
        other = Ending(True)
        other.load(json.loads(json.dumps(ending.state())), ending.losses)
        ending = other
        ending.measured(float(fraction), losses(1 - min(fraction, still)))
    assert ending.begun is not None and still < ending.begun < still + 0.25
    rates = [ending.rate(f) for f in np.linspace(ending.begun, ending.end, 50)]
    assert rates[0] == 1 - ending.begun and rates[-1] == pytest.approx(0) and max(np.diff(rates)) <= 0
    assert ending.begun < ending.end < 1


def test_training_ends_early_only_where_it_may():
    for early, starts in ((False, 0.0), (True, 0.8)):  # not where so little of the budget is left
        ending = Ending(early)
        for fraction in np.linspace(0.025, 1, 40):
            ending.measured(float(fraction), losses(1 - min(fraction, starts) if early else 1.0))
        assert ending.begun is None and ending.end == 1


def test_a_state_that_says_nothing_is_refused():
    for about in ({}, {"begun": None, "mark": 2.0}, {"begun": "0.3", "mark": 0.3}):
        with pytest.raises(ValueError, match="the state does not say whether training was ending"):
            Ending(True).load(about, torch.ones(3))


def test_default_budgets_end_early_where_enough_rows_are_held_out():
    rng = np.random.default_rng(0)
    for rows, wish, expected in (
        (11_000, Training(), True),
        (900, Training(), None),
        (11_000, Training(steps=9), None),
    ):
        options = Options(training=wish, device="cpu")
        assert plan(prepare(rng.normal(size=(rows, 2)), options), options).training.end_early is expected


def test_a_fit_that_ends_early_says_so_and_goes_on_to_the_same_bits(tmp_path):
    x = np.random.default_rng(0).normal(size=(1_000, 1))
    how = {"training": Training(steps=400, batch=16, end_early=True), "network": Network(widths=(8,), depth=1)}
    how |= {"device": "cpu"}
    whole = fit(x, **how)
    assert whole.about["steps"] < 400 and whole.about["stopped"].startswith("the held-out loss no longer fell")

    def stop(progress):
        if progress.rate < 0.3:  # while rates are being lowered
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(x, tmp_path / "run", **how, watch=stop)
    assert np.array_equal(fit(x, tmp_path / "run", **how).sample(5), whole.sample(5))


def test_sizes_follow_from_nothing_else():
    """Not from what a clock measures: twice the same."""
    asked = itertools.product(BUDGETS, (CPU, H100), COUNTS, (True, False))
    assert all(growth(Training(minutes=m), d, n, g) == growth(Training(minutes=m), d, n, g) for m, d, n, g in asked)
