"""What a user masks is missing at every door, and what is complex is refused at every door."""

import numpy as np
import pandas as pd
import pytest
import torch

import scorefield
from scorefield.context import Context
from scorefield.data import Ragged, Schema, group_codes, known_values, rows_with_gaps
from scorefield.interop import NPE, JointInference
from scorefield.measurement import (
    Blur,
    CorrelatedNoise,
    Fourier,
    Function,
    Linear,
    Mask,
    Measurement,
    Simulator,
    WhiteNoise,
)
from scorefield.metrics import calibration
from scorefield.metrics.base import as_rows
from scorefield.metrics.typed import as_matrix
from scorefield.user_values import masks_as_missing, real_array, real_tensor

RNG = np.random.default_rng(0)
MASKED = np.ma.masked_array([1.5, -9999.0, 3.0], mask=[False, True, False])
OBJECTS = [
    np.array([kind(1 + 2j), 1.0], dtype=object) for kind in (complex, np.complex64, np.complex128, np.clongdouble)
]
COMPLEX = r"must be real, got complex ones: give both parts, "


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "?", "M8[s]", "m8[s]", "U3", "O"])
def test_masked_values_are_missing_and_all_others_stay(kind):
    values = np.array([1, 0, 3]).astype(kind)
    found = masks_as_missing(np.ma.masked_array(values, mask=[False, True, False]))
    assert pd.isna(found).tolist() == [False, True, False] and not isinstance(found, np.ma.MaskedArray)
    assert (found[[0, 2]] == values[[0, 2]]).all()
    assert found.dtype == (values.dtype if values.dtype.kind in "fmM" else object)
    assert masks_as_missing(np.ma.masked_array(values)).dtype == values.dtype
    row = np.ma.masked_array(values, mask=[False, True, False])
    for rows, where in (
        ([row] * 2, [[False, True, False]] * 2),
        ([[row], [values]], [[[False, True, False]], [[False] * 3]]),
    ):
        found = masks_as_missing(rows)
        assert pd.isna(found).tolist() == where and (found[0] == masks_as_missing(rows[0]))[..., [0, 2]].all()
    assert masks_as_missing([[values], [values]])[0][0] is values


def test_numbers_of_every_kind_are_read():
    for values in (
        MASKED,
        pd.array([2, None, 3], dtype="Int64"),
        pd.Series([1, None, 2], dtype="Float64"),
        [1, None, 3],
    ):
        assert real_tensor(values, "x").isnan().tolist() == [False, True, False]
    assert real_tensor(torch.tensor([1.0], dtype=torch.bfloat16), "x").dtype == torch.float64
    assert real_array(torch.ones(2, dtype=torch.bfloat16), "x").tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"^parts must be numbers, got 'a': pass an array"):
        real_tensor(["a", "b"], "parts")
    with pytest.raises(ValueError, match=r"^parts must have one shape, got parts of different ones: pass an array"):
        real_tensor([[1.0], [1.0, 2.0]], "parts")
    for values in (np.array([1j]), torch.ones(2, dtype=torch.complex64), [1.0, 2j], *OBJECTS):
        for read in (real_array, real_tensor):
            with pytest.raises(TypeError, match=f"^parts {COMPLEX}here$"):
                read(values, "parts", "here")


def test_measured_numbers_that_are_masked_were_not_measured():
    with pytest.raises(ValueError, match="1 of 3 measured numbers are not finite: leave those out with Mask"):
        Measurement(Linear(np.eye(3)), MASKED, noise=0.1)
    found = Measurement("mask", MASKED, noise=0.1)
    assert found.y.tolist() == [1.5, 3.0] and found.operator.keep.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="Linear needs a matrix of finite numbers"):
        Linear(MASKED[None])
    with pytest.raises(ValueError, match="must be positive and finite"):
        WhiteNoise(MASKED)
    for operator in (Mask, Fourier):
        with pytest.raises(ValueError, match=f"^{operator.__name__} needs True where a .* got other numbers"):
            operator(np.ma.masked_array([[1, 0], [0, 1]], [[False, True], [False, False]]))


def test_contexts_that_are_masked_are_missing():
    for values in (RNG.normal(size=50), RNG.integers(0, 3, 50), RNG.integers(0, 999, 50)):
        gaps = RNG.random(50) < 0.2
        masked = np.ma.masked_array(values, mask=gaps, fill_value=-9999)
        masked.data[gaps] = -9999
        context = Context.of(masked, (2,))
        alike = Context.of(np.where(gaps, None, values), (2,))
        assert [column.categories for column in context.columns] == [column.categories for column in alike.columns]
        rows = context(masked)
        assert (rows[:, -1] > 0).tolist() == gaps.tolist() and torch.equal(rows, alike(np.where(gaps, None, values)))
        kept = values[~gaps]
        for table in (masked, {"c": masked}, pd.DataFrame({"c": pd.Series(values).where(~gaps).convert_dtypes()})):
            again = Context.of(table, (2,))
            assert torch.equal(again.mean, Context.of({"c": kept}, (2,)).mean)
            assert (again(table)[:, -1] > 0).tolist() == gaps.tolist()


def test_data_that_are_masked_are_missing():
    rows = RNG.normal(size=(20, 2))
    with pytest.raises(ValueError, match="10 values are masked"):
        scorefield.fit([MASKED, MASKED.filled(0.0)] * 10)
    gaps = rows > 1
    masked = np.ma.masked_array(np.where(gaps, -9999.0, rows), mask=gaps)
    schema = Schema.of(rows)
    assert torch.equal(rows_with_gaps(schema, masked)[0].isnan(), torch.from_numpy(gaps))
    assert known_values(schema, {1: MASKED})[0][:, 1].isnan().tolist() == [False, True, False]
    assert known_values(schema, {1: np.ma.masked})[0][:, 1].isnan().tolist() == [True]
    assert np.isnan(as_matrix(masked)).tolist() == gaps.tolist()
    with pytest.raises(ValueError, match="contains NaN"):
        as_rows(masked)
    with pytest.raises(ValueError, match="NaN or infinite draws"):
        calibration(masked, RNG.normal(size=(20, 5, 2)))
    times = [[0, 1], np.ma.masked_array([0, 1, 2.0], [1, 0, 0])]
    assert [len(row) for row in Ragged([MASKED[:2], MASKED], times).times] == [2, 2]
    assert np.isnan(Ragged([MASKED]).values[0]).tolist() == [False, True, False]
    assert np.isnan(Ragged([np.ma.masked_array([1, 2], [False, True])]).values[0]).tolist() == [False, True]
    with pytest.raises(ValueError, match=r"1 of 3 rows have no group \(first: 1\)"):
        group_codes(np.ma.masked_array([1, 2, 3], [False, True, False]), None, 3)


def test_simulations_that_are_masked_are_missing():
    theta = RNG.normal(size=(30, 1))
    x = np.ma.masked_array(theta + RNG.normal(size=(30, 2)), mask=np.zeros((30, 2), bool))
    x[0, 1] = np.ma.masked
    with pytest.raises(ValueError, match="data are missing in 1 of 30 simulations"):
        NPE().append_simulations(theta, x).complete_pairs()
    assert JointInference().append_simulations(theta, x).pairs()[1].isnan().sum() == 1
    with pytest.raises(ValueError, match="1 of 30 simulations are not finite"):
        NPE().append_simulations(np.ma.masked_array(theta, mask=np.arange(30)[:, None] == 4), x)


COMPLEXES = {
    "y": lambda z: Measurement(Linear(np.eye(2)), z, 0.1),
    "y of frequencies": lambda z: Measurement(Fourier(), np.fft.fft2(np.ones((4, 4))), 0.1),
    "y of a mask": lambda z: Measurement("mask", z, 0.1),
    "noise": lambda z: Measurement(Linear(np.eye(2)), [1.0, 2.0], z),
    "standard deviation": lambda z: WhiteNoise(z),
    "covariance": lambda z: CorrelatedNoise(z[None] * z[:, None]),
    "matrix": lambda z: Linear(z[None]),
    "mask": lambda z: Mask(z),
    "kernel": lambda z: Blur(kernel=z[:1], axes=(-1,)),
    "simulator": lambda z: Simulator(lambda x: x * 1j, lambda x, v: v)(torch.ones(1, 2)),
    "context": lambda z: Context.of(np.arange(9.0) * 1j, (2,)),
    "column of a context": lambda z: Context.of({"a": np.arange(9.0) * 1j}, (2,)),
    "context that is a field": lambda z: Context.of(np.ones((9, 4, 4)) * 1j, (1, 4, 4)),
    "parameters": lambda z: NPE().append_simulations(np.ones((20, 1)) * 1j, np.ones((20, 1))),
    "simulations": lambda z: NPE().append_simulations(np.ones((20, 1)), np.ones((20, 1)) * 1j),
}


@pytest.mark.parametrize("door", COMPLEXES)
@pytest.mark.filterwarnings("error")
def test_complex_numbers_are_refused_with_what_to_do(door):
    for z in (np.array([1.0 + 1j, 2.0]), torch.tensor([1.0 + 1j, 2.0])):
        with pytest.raises(TypeError, match=COMPLEX) as error:
            COMPLEXES[door](z)
        assert "\n" not in str(error.value)


def test_operators_that_give_complex_numbers_are_refused():
    whole = Measurement(
        Fourier(), torch.view_as_real(torch.fft.fft2(torch.ones(4, 4), norm="ortho")).flatten(0, 1), 0.1
    )
    whole.check((4, 4))  # and this is how both parts are given
    with pytest.raises(TypeError, match=r"real numbers, got complex ones: return torch\.view_as_real\(y\)$"):
        Measurement(Function(torch.fft.fft), np.ones(4), 0.1).check((4,))
