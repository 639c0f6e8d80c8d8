"""Any columns given any others from one fit: Data(conditionals="learn"), and networks with a token for each variable."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield import fit, load
from scorefield.cli import main
from scorefield.data.variables import FREE, GIVEN
from scorefield.denoisers import MixedDenoiser
from scorefield.fitting import Options, plan, prepare
from scorefield.nn import ResidualMLP, TokenTransformer
from scorefield.runs import Run, fit as fit_run
from scorefield.samplers import flow_sampling
from scorefield.settings import Data, Network, Training

LEARN = Data(conditionals="learn")
TOKENS = Network(widths=(32,), depth=2, attention=True)
MEAN = np.array([1.0, -2.0, 30.0])
COVARIANCE = np.array([[1.0, 0.8, 3.0], [0.8, 1.0, 5.0], [3.0, 5.0, 100.0]])
SETS = [given for n in (1, 2) for given in itertools.combinations(range(3), n)]


def gaussian(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, count)


def conditional(x: np.ndarray, given: tuple[int, ...]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The free columns, their mean and their covariance."""
    g, f = list(given), [i for i in range(3) if i not in given]
    gain = COVARIANCE[np.ix_(f, g)] @ np.linalg.inv(COVARIANCE[np.ix_(g, g)])
    return f, MEAN[f] + gain @ (x[g] - MEAN[g]), COVARIANCE[np.ix_(f, f)] - gain @ COVARIANCE[np.ix_(g, f)]


@pytest.fixture(scope="module", params=["residual", pytest.param("tokens", marks=pytest.mark.slow)])
def model(request):
    """One small fit, of a residual MLP or of tokens."""
    network = {"residual": Network(widths=(64,), depth=2), "tokens": TOKENS}[request.param]
    return fit(
        gaussian(4000),
        data=LEARN,
        network=network,
        training=Training(steps=500 if request.param == "residual" else 1200),
        seed=0,
    )


@pytest.mark.parametrize("given", SETS)
def test_conditionals_of_a_gaussian_are_exact(model, given):
    """Mean and covariance of the rest, to four standard errors and a learned error of 0.15 standard deviations."""
    count, learned = 1000, 0.15
    row = MEAN + np.array([1.0, 0.5, 0.8]) * np.sqrt(np.diag(COVARIANCE))
    drawn = model.condition({g: row[g] for g in given}).sample(count, seed=1)
    assert (drawn[:, list(given)] == row[list(given)]).all()
    free, mean, covariance = conditional(row, given)
    scale = np.sqrt(np.diag(covariance))
    found = (drawn[:, free] - mean) / scale
    exact = covariance / np.outer(scale, scale)
    assert np.abs(found.mean(0)).max() < 4 / math.sqrt(count) + learned
    errors = 4 * np.sqrt((1 + exact**2) / count) + 2 * learned
    assert (np.abs(np.atleast_2d(np.cov(found.T)) - exact) < errors).all()


def test_the_joint_distribution_is_learned_too(model):
    x = gaussian(500, 1)
    drawn = model.sample(1000, seed=2)
    scale = np.sqrt(np.diag(COVARIANCE))
    assert np.abs((drawn.mean(0) - MEAN) / scale).max() < 4 / math.sqrt(1000) + 0.1
    np.testing.assert_allclose(np.corrcoef(drawn.T), COVARIANCE / np.outer(scale, scale), atol=0.1)
    inside = x - MEAN
    exact = -0.5 * np.einsum("ni,ij,nj->n", inside, np.linalg.inv(COVARIANCE), inside)
    exact -= 0.5 * np.linalg.slogdet(2 * math.pi * COVARIANCE)[1]
    assert abs((model.log_prob(x[:100]).value.numpy() - exact[:100]).mean()) < 0.15


def test_gaps_are_filled_from_the_conditional(model):
    """Without particles: the mean of the draws is the conditional one."""
    x = gaussian(300, 3)
    gaps = x.copy()
    gaps[:, 0] = np.nan
    filled = np.stack(model.impute(gaps, draws=8))
    assert (filled[:, :, 1:] == x[:, 1:]).all() and isinstance(model.denoiser, MixedDenoiser)
    exact = np.array([conditional(row, (1, 2))[1][0] for row in x])
    width = math.sqrt(conditional(x[0], (1, 2))[2][0, 0])
    error = (filled[:, :, 0].mean(0) - exact) / width
    assert abs(error.mean()) < 4 / math.sqrt(8 * 300) + 0.15
    assert error.std() < 1.3 * math.sqrt(1 / 8 + 0.15**2)


def test_a_saved_model_answers_the_same(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    for use in (
        lambda m: m.sample(3),
        lambda m: m.condition({1: -2.5}).sample(3),
        lambda m: m.log_prob(gaussian(3)).value,
    ):
        np.testing.assert_array_equal(np.asarray(use(again)), np.asarray(use(model)))


def test_frames_are_conditioned_on_by_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(gaussian(600), columns=["a", "b", "c"])
    found = fit(frame, data=LEARN, network=TOKENS, training=Training(steps=60))
    drawn = found.condition(a=1.5, c=35.0).sample(20)
    assert list(drawn.columns) == ["a", "b", "c"] and set(drawn["a"]) == {1.5} and set(drawn["c"]) == {35.0}
    assert drawn["b"].nunique() == 20 and isinstance(found.denoiser.network, TokenTransformer)
    filled = found.impute(frame.head(5).assign(b=np.nan))
    assert filled["b"].notna().all() and filled["a"].equals(frame["a"].head(5))


@pytest.mark.parametrize("maps", ["auto", "affine"])
def test_smooth_numbers_become_variables(maps):
    """Drawing takes the probability flow, as smooth numbers do; by default nothing changes."""
    x = gaussian(400)
    for network, kind in ((Network(), ResidualMLP), (TOKENS, TokenTransformer)):
        options = Options(data=Data(conditionals="learn", maps=maps), network=network, device="cpu")
        asked = plan(prepare(x, options), options)
        assert isinstance(asked.network, kind) and asked.prepared.units.variables.count == 3
        assert asked.choice("sampling").value == str(flow_sampling(asked.process).replace(process=None))
        assert asked.baseline is None
    assert plan(prepare(x)).prepared.units.variables is None


def test_columns_that_follow_from_others_are_none():
    """An exact relation is kept: the total is computed, and is known where its parts are."""
    x = gaussian(400)
    whole = np.concatenate([x, x[:, :1] + x[:, 1:2]], 1)
    found = fit(whole, data=LEARN, network=TOKENS, training=Training(steps=30))
    assert found.denoiser.variables.count == 3
    drawn = found.condition({0: 1.0, 3: 0.5}).sample(5)
    np.testing.assert_allclose(drawn[:, 1], -0.5)
    np.testing.assert_allclose(drawn[:, 3], drawn[:, 0] + drawn[:, 1])


def test_contexts_and_columns_are_given_together():
    x = gaussian(500)
    found = fit(x[:, 1:], context=x[:, 0], data=LEARN, network=TOKENS, training=Training(steps=30))
    drawn = found.condition(1.5).condition({1: 30.0}).sample(6)
    assert drawn.shape == (6, 2) and (drawn[:, 1] == 30).all() and len(set(drawn[:, 0])) == 6


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (
            np.zeros((30, 6, 6)) + np.arange(36).reshape(6, 6),
            {},
            r'^conditionals="learn" is for the columns of a table, and these data are fields of 6 x 6.*: leave it out, ',
        ),
        (
            gaussian(40),
            {"units": (0.0, 1.0)},
            r'^conditionals="learn" maps each column to units of its own, and units=… gives one map for all: leave one',
        ),
        (
            gaussian(40),
            {"network": Network(attention=True, widths=(30,))},
            r"^4 heads of attention share the width of a token, got 30: give a multiple of 4$",
        ),
        (
            gaussian(40),
            {"network": Network(patch=2)},
            r"^patch and periodic apply to grids, and these data are a table: leave them out$",
        ),
    ],
)
def test_what_cannot_be_meant(x, options, message):
    with pytest.raises(ValueError, match=message):
        fit(x, data=LEARN, training=Training(steps=1), **options)


def test_other_words_are_refused():
    with pytest.raises(ValueError, match=r'^conditionals must be "auto" or "learn", got True$'):
        Data(conditionals=True)  # type: ignore[arg-type]


def test_a_run_goes_on_to_the_same_bits(tmp_path):
    def interrupted(progress):
        if progress.step == 5:
            raise KeyboardInterrupt

    training = Training(steps=12, batch=16, evaluations=3)
    settings = {"data": LEARN, "network": TOKENS, "training": training, "seed": 3, "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        fit_run(gaussian(80), tmp_path / "a", watch=interrupted, **settings)
    for name in ("a", "b"):
        fit_run(gaussian(80), tmp_path / name, **settings)
    first, second = (Run(tmp_path / name).file("model.safetensors").read_bytes() for name in ("a", "b"))
    assert first == second
    assert load(tmp_path / "a").denoiser.share == 0.5


def test_on_the_command_line(tmp_path, capsys):
    pytest.importorskip("pandas")
    table, run, new = (str(tmp_path / name) for name in ("x.csv", "run", "new.csv"))
    np.savetxt(table, gaussian(80), delimiter=",", header="a,b,c", comments="")
    tiny = ["--steps", "4", "--batch", "16", "--widths", "8", "--device", "cpu"]
    assert main(["fit", table, "-o", run, *tiny, "--conditionals", "learn", "--attention"]) == 0
    assert isinstance(load(run).denoiser.network, TokenTransformer)
    assert main(["sample", run, "-n", "3", "-o", new, "--given", "b=-2"]) == 0
    assert (np.loadtxt(new, delimiter=",", skiprows=1)[:, 1] == -2).all()
    capsys.readouterr()
    assert main(["fit", table, "-o", run + "2", *tiny, "--conditionals", "all"]) != 0
    assert "conditionals" in capsys.readouterr().err


@pytest.mark.slow
def test_targets_are_learned_best():
    """Two parameters given ten numbers: the posterior mean at half of the squared error, or less, from as many steps."""
    weights = np.random.default_rng(5).normal(size=(2, 10))
    covariance = np.linalg.inv(np.eye(2) + weights @ weights.T / 4)

    def simulated(count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        theta = rng.normal(size=(count, 2))
        return np.concatenate([theta, theta @ weights + 2 * rng.normal(size=(count, 10))], 1)

    def error(data: Data) -> float:
        small = Network(widths=(64,), depth=2)
        model = fit(simulated(4000, 1), data=data, network=small, training=Training(steps=400), seed=0)
        x = torch.from_numpy(simulated(2000, 2)).float()
        exact = torch.from_numpy(x[:, 2:].double().numpy() @ weights.T @ covariance / 4).float()
        values, wanted = model.standardize(x), model.standardize(torch.cat([exact, x[:, 2:]], 1))
        status = torch.tensor([[FREE] * 2 + [GIVEN] * 10]).expand(len(x), -1)
        noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():  # so much noise that only what is given says anything
            found = model.denoiser.given_variables(values, status)(values + 20 * noise, torch.tensor(20.0))
        return float((found - wanted)[:, :2].square().mean())

    of_targets, of_all = error(Data(targets=(0, 1))), error(LEARN)
    assert of_targets < 0.06 and 2 * of_targets < of_all  # seen: 0.04 and 0.14


@pytest.mark.parametrize("targets", ["load", ("load",), [("load",)], [["load"]], [np.array(["load"])], {"load"}])
def test_one_target_in_any_form(targets):
    assert Data(targets=targets).targets == (("load",),) and Data(targets=targets).learns_conditionals


def test_groups_of_targets():
    """Each group is free in a question of its own, and saved with the model."""
    table = pd.DataFrame(gaussian(400), columns=["a", "b", "c"]).assign(kind=[*"uuvuvv" * 67][:400])
    table.loc[::5, "b"] = np.nan
    model = fit(table, data=Data(targets=[("a", "kind"), ("b",)]), training=Training(steps=5))
    assert model.denoiser.asked == ((FREE, GIVEN, GIVEN, FREE, GIVEN), (GIVEN, FREE, GIVEN, GIVEN, FREE))


def test_targets_that_cannot_be():
    table = pd.DataFrame(gaussian(200), columns=["a", "b", "c"]).assign(total=lambda t: t.a + t.b, same=1.0)
    with pytest.raises(ValueError, match=r"^targets: there is no column 'd': it has 'a', 'b', 'c', 'total', 'same'"):
        fit(table, data=Data(targets="d"), training=Training(steps=1))
    for name in ("total", "same"):
        with pytest.raises(
            ValueError, match=rf"^there is nothing to be learned of {name} as targets: constant, or known"
        ):
            fit(table, data=Data(targets=name), training=Training(steps=1))
    with pytest.raises(ValueError, match=r"^targets is for the columns of a table, and these data are fields of 8 x 8"):
        fit(np.random.default_rng(0).normal(size=(50, 8, 8)), data=Data(targets=0), training=Training(steps=1))
    numbered = table.assign(id=range(200))
    with pytest.raises(ValueError, match=r"^targets: column 'id' was left out when the model was fitted: identifier"):
        fit(numbered, data=Data(targets="id"), training=Training(steps=1))
    assert Data(targets=None).targets == () and Data(targets=np.int64(1)).targets == ((1,),)
    with pytest.raises(ValueError, match=r"^each group of targets names one column at least"):
        Data(targets=("a", ()))


def test_targets_on_the_command_line(tmp_path):
    pd.DataFrame(gaussian(200), columns=["a", "b", "c"]).to_csv(tmp_path / "t.csv", index=False)
    words = ["fit", str(tmp_path / "t.csv"), "-o", str(tmp_path / "run"), "--targets", "a,b", "c", "--steps", "3"]
    assert main(words) == 0
    assert load(tmp_path / "run").denoiser.asked == ((FREE, FREE, GIVEN), (GIVEN, GIVEN, FREE))
    assert '"a, b given the rest"' in (tmp_path / "run" / "run.json").read_text()


@pytest.mark.slow
def test_marginals_are_those_of_all_rows_not_of_those_without_gaps():
    """Where another column mostly misses in one kind: the probability of the kind, and the mean of a number."""
    rng = np.random.default_rng(0)
    first = rng.random(2000) < 0.5
    x = rng.normal(size=2000) + first
    gaps = ~first & (rng.random(2000) < 0.8)
    table = pd.DataFrame(
        {"k": np.where(first, "a", "b"), "x": x, "m": np.where(gaps, np.nan, x + rng.normal(size=2000))}
    )
    assert first[~gaps].mean() > 0.8 and x[~gaps].mean() > x.mean() + 0.3
    density = fit(table, training=Training(steps=800)).density()
    found = density.marginal(pd.DataFrame({"k": ["a", "b"]}), of=["k"]).value.exp()
    assert abs(float(found[0]) - first.mean()) < 0.08 and abs(float(found.sum()) - 1) < 1e-5
    grid = np.linspace(-4, 5, 46)
    p = density.marginal(pd.DataFrame({"x": grid}), of=["x"]).value.exp().numpy()
    assert abs((p * grid).sum() / p.sum() - x.mean()) < 0.1
