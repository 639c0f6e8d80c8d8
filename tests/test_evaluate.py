from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from scorefield.data import ArrayRows, Schema
from scorefield.denoise import Denoiser, Empirical, Gaussian
from scorefield.evaluate import Evaluation, _verdict, evaluate, evaluate_run, split_of
from scorefield.metrics import Distance, Neighbours
from scorefield.model import Model
from scorefield.process import EDM
from scorefield.rng import Samples
from scorefield.run import Run, fit
from scorefield.sample import Heun
from scorefield.settings import Data, Training
from scorefield.standardize import Standardize

D = torch.float64
LAW = Gaussian(torch.tensor([1.0, -2.0, 0.5], dtype=D), torch.tensor([1.0, 4.0, 0.25], dtype=D).diag())


def data(count: int, seed: int, offset: float = 0.0) -> np.ndarray:
    return LAW.sample(count, Samples(seed, count=count)).numpy() + offset


def model_of(denoiser: Denoiser, offset: float = 0.0) -> Model:
    units = Standardize((3,), torch.full((3,), offset, dtype=D), torch.ones(3, dtype=D))
    return Model(Schema.of(np.zeros((2, 3))), units, EDM(0.002, 80.0), denoiser, LAW, Heun(), 24)


def shifted(by: float) -> Gaussian:
    return Gaussian(LAW.mean + by, LAW.covariance)


COVERED = "By energy distance and sliced Wasserstein, the samples are as close to unseen data as other real data are."
ORIGINAL = "The samples are no closer to the training data than unseen data are: nothing was copied."
COPIED = "Some samples lie closer to the training data than chance explains: the model has begun to copy them."


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_samples_of_the_law_are_as_good_as_data(offset):
    """However far from zero the data lie."""
    found = evaluate(model_of(LAW, offset), data(1500, 0, offset), data(500, 1, offset), count=500, seed=2)
    assert [d.covered for d in found.distances] == [True, True]
    assert [d.name for d in found.distances] == ["energy distance", "sliced Wasserstein"]
    assert not found.neighbours.suspicious
    assert found.verdict == (COVERED, ORIGINAL)
    assert found.count == 500 and found.seconds > 0


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_shifted_samples_are_found_out(offset):
    found = evaluate(model_of(shifted(0.5), offset), data(1500, 0, offset), data(500, 1, offset), count=500, seed=2)
    assert [d.covered for d in found.distances] == [False, False]
    assert not found.neighbours.suspicious
    assert len(found.verdict) == 2 and found.verdict[1] == ORIGINAL
    worst = max(found.distances, key=lambda d: d.value - d.high)
    assert found.verdict[0].startswith(f"The samples can be told from real data: their {worst.name} is ")


def test_copies_are_found_out():
    """A model that knows its data by heart."""
    train = data(300, 0)
    found = evaluate(model_of(Empirical(torch.from_numpy(train))), train, data(100, 1), count=200, seed=2)
    assert found.neighbours.suspicious
    assert found.neighbours.copied > 0.9 > found.neighbours.copied_held_out
    assert found.verdict[-2:] == (COPIED, "Use more data, a smaller network, or a shorter budget.")


def test_rows_serve_as_well_as_arrays_and_seeds_repeat():
    model, train, held_out = model_of(LAW), data(300, 0), data(100, 1)
    first, again, other = (
        evaluate(model, *parts, count=100, seed=seed)
        for parts, seed in (
            ((train, held_out), 3),
            ((ArrayRows(train), ArrayRows(held_out)), 3),
            ((train, held_out), 4),
        )
    )
    assert first.distances == again.distances != other.distances
    assert np.array_equal(first.neighbours.samples, again.neighbours.samples)


def test_plain_data_of_it():
    found = evaluate(model_of(LAW), data(300, 0), data(100, 1), count=100)
    plain = found.plain()
    assert json.loads(json.dumps(plain)) == json.loads(json.dumps(found.plain()))
    assert plain["verdict"] == list(found.verdict) and plain["count"] == 100
    assert [d["name"] for d in plain["distances"]] == ["energy distance", "sliced Wasserstein"]
    near = plain["neighbours"]
    for name, values in (("samples", found.neighbours.samples), ("held_out", found.neighbours.held_out)):
        assert near[name] == pytest.approx(np.quantile(values, near["quantiles"]))
    assert near["suspicious"] is False


def test_too_few_held_out_data():
    message = "^samples are compared with at least 2 held-out data, got 1: hold out a larger part$"
    with pytest.raises(ValueError, match=message):
        evaluate(model_of(LAW), data(10, 0), data(1, 1))


@pytest.mark.parametrize("count", [0, -3])
def test_no_samples(count):
    with pytest.raises(ValueError, match=f"at least one sample is drawn, .* got count={count}"):
        evaluate(model_of(LAW), data(10, 0), data(5, 1), count=count)


# -- the verdict ---------------------------------------------------------------------------------------------------


def distance(value: float, name: str = "energy distance") -> Distance:
    return Distance(name, value, 1.0, 0.5, 2.0, (100, 100))


def neighbours(suspicious: bool) -> Neighbours:
    near = np.full(50, 0.01 if suspicious else 1.0)
    found = Neighbours(near, np.full(50, 1.0), 0.9 if suspicious else 0.1, 0.1, 1e-9 if suspicious else 0.5)
    assert found.suspicious is suspicious
    return found


FALLING = [(k, 1 - 0.02 * k) for k in range(20)]
FLAT = [(k, 1.0) for k in range(20)]
STILL = "The held-out loss was still falling when the budget ended: give it more time."


@pytest.mark.parametrize(
    ("value", "suspicious", "history", "said"),
    [
        (1.5, False, FALLING, ("as close to unseen data", ORIGINAL)),
        (5.0, False, FALLING, ("their energy distance is 5, that of real data", ORIGINAL, STILL)),
        (5.0, False, FLAT, ("their energy distance is 5", ORIGINAL)),
        (5.0, False, FALLING[:5], ("their energy distance is 5", ORIGINAL)),
        (5.0, False, [*FALLING, (20, 3.0), (21, 3.0), (22, 3.0)], ("their energy distance is 5", ORIGINAL)),
        (5.0, True, FALLING, ("their energy distance is 5", COPIED, "Use more data")),
        (1.5, True, FALLING, ("as close to unseen data", COPIED, "Use more data")),
    ],
)
def test_sentences(value, suspicious, history, said):
    found = _verdict([distance(value)], neighbours(suspicious), history)
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found))


def test_the_worst_distance_is_told():
    told = _verdict([distance(3.0), distance(9.0, "sliced Wasserstein")], neighbours(False), [])[0]
    assert told == (
        "The samples can be told from real data: their sliced Wasserstein is 9, "
        "that of real data among themselves rarely more than 2."
    )


def test_without_held_out_data_copies_cannot_be_told():
    """The data's distances to themselves are 0: nobody comes closer."""
    train = ArrayRows(data(300, 0))
    found = evaluate(model_of(Empirical(torch.from_numpy(data(300, 0)))), train, train, count=100)
    assert found.verdict[1] == (
        "Nothing was held out: whether samples are copies of training data cannot be told; hold out a part."
    )
    assert "unseen" not in found.verdict[0]
    assert ORIGINAL not in found.verdict


# -- of a run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    path = tmp_path_factory.mktemp("run") / "fit"
    fit(data(200, 0), path, training=Training(steps=60), data=Data(held_out=0.25))
    return Run(path)


def test_a_run_is_evaluated_on_what_it_held_out(run):
    train, held_out = split_of(run, run.model, data(200, 0))
    assert (len(train), len(held_out)) == (150, 50)
    found = evaluate_run(run, data(200, 0), count=100, seed=1)
    assert isinstance(found, Evaluation)
    again = evaluate(run.model, train, held_out, 100, 1)
    assert found.distances == again.distances
    kept = run.read("evaluation.json")
    assert kept["verdict"] == list(found.verdict)
    assert math.isclose(kept["distances"][0]["value"], found.distances[0].value)


def test_data_of_a_run_must_be_its_own(run):
    with pytest.raises(ValueError, match=r"^the data of .*fit were given in memory: pass them again$"):
        evaluate_run(run)
    message = r"^these are not the data that .*fit was fitted to: pass those, or fit these$"
    with pytest.raises(ValueError, match=message):
        evaluate_run(run, data(200, 1))


def test_data_are_read_again_from_where_they_came(tmp_path):
    np.save(tmp_path / "x.npy", data(100, 0))
    source = {"path": str(tmp_path / "x.npy")}
    fit(data(100, 0), tmp_path / "fit", training=Training(steps=5), source=source)
    assert evaluate_run(Run(tmp_path / "fit"), count=50).count == 50


def test_a_run_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        evaluate_run(Run(tmp_path / "none"))
