"""What the attributes of arrays say their numbers stand for, in every kind of file whose arrays have attributes."""

import netCDF4
import numpy as np
import pytest

from scorefield.data import DataError, read
from scorefield.data.cache import Store

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")

REALS = np.array([[0.25, -1.5, 3.0], [4.0, -99.0, 0.5]], "f4")


def written(folder, stored, attrs):
    """Files that hold an array with attributes: with and without names of its axes."""
    with h5py.File(folder / "x.h5", "w") as file:
        file["t"] = stored
        file["t"].attrs.update(attrs)
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in attrs.items()}
    for name, dims in (("plain.zarr", None), ("named.zarr", ("time", "x"))):
        array = zarr.open_group(str(folder / name), mode="w").create_array(
            "t", shape=stored.shape, dtype=stored.dtype, dimension_names=dims
        )
        array[...] = stored
        array.attrs.update({"missing_value" if n == "_FillValue" else n: v for n, v in plain.items()})
    with netCDF4.Dataset(folder / "x.nc", "w") as file:
        for name, size in zip(("time", "x"), stored.shape):
            file.createDimension(name, size)
        made = file.createVariable("t", stored.dtype, ("time", "x"), fill_value=attrs.get("_FillValue", False))
        made.set_auto_maskandscale(False)
        made.setncatts({n: v for n, v in attrs.items() if n != "_FillValue"})
        made[...] = stored
    return [folder / name for name in ("x.h5", "plain.zarr", "named.zarr", "x.nc")]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("scale", "offset"), [(1, None), (2, 3), (None, 1), ("0.5", "1"), (np.array([2]), None)])
def test_scales_and_offsets_of_any_type_are_numbers(tmp_path, scale, offset, missing):
    attrs = {"scale_factor": scale, "add_offset": offset, "_FillValue": np.float32(-99) if missing else None}
    attrs = {name: value for name, value in attrs.items() if value is not None}
    expected = REALS * float(np.squeeze(1 if scale is None else scale)) + float(offset or 0)
    expected = np.where(missing & (REALS == -99), np.nan, expected)
    for path in written(tmp_path, REALS, attrs):
        np.testing.assert_array_equal(np.asarray(read(path)), expected, err_msg=path.name)


def test_packed_integers_have_values_that_miss_by_an_integer_scale(tmp_path):
    stored = np.array([[1, 2, -99], [3, 4, 5]], "i2")
    for path in written(tmp_path, stored, {"scale_factor": 1, "_FillValue": np.int16(-99)}):
        np.testing.assert_array_equal(
            np.asarray(read(path)), np.where(stored == -99, np.nan, stored), err_msg=path.name
        )


@pytest.mark.parametrize("value", ["two", np.array([0.5, 0.5, 0.5]), "1_000"])
@pytest.mark.parametrize("name", ["scale_factor", "add_offset"])
def test_a_scale_that_is_not_one_number_is_named(tmp_path, name, value):
    for path in written(tmp_path, REALS, {name: value}):
        with pytest.raises(DataError, match=rf"^{name} of 't' in .*{path.name} is .*, not a number: correct") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_scale_keeps_the_precision_that_it_has(tmp_path):
    for path in written(tmp_path, np.array([[1, 2], [3, 4]], "i2"), {"scale_factor": np.float32(0.5)})[:1]:
        assert read(path).dtype == np.float32


def test_copies_that_hold_values_as_they_are_stored_are_made_anew(tmp_path):
    for path in written(tmp_path, REALS, {"scale_factor": 0.5}):
        Store(path, tmp_path / "cache", 0).copy({"key": "t"}, [REALS])  # as version 0.1 made them
        np.testing.assert_array_equal(np.asarray(read(path, cache=tmp_path / "cache", limit=1)), REALS / 2, path.name)
