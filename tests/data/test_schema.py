"""What comes back is like what was given; what cannot be modelled is refused with what to do."""

import json
import pathlib

import numpy as np
import pytest
import torch

from scorefield import spec
from scorefield.data import ArrayRows, FileRows, Schema
from scorefield.data.frames import Table
from scorefield.settings import Data

pandas = pytest.importorskip("pandas")
xarray = pytest.importorskip("xarray")

RNG = np.random.default_rng(0)


def there_and_back(x, **arguments):
    """Data through the internal layout and back, with a schema that went through JSON."""
    schema = Schema.of(x, **arguments)

    again = spec.build(json.loads(json.dumps(spec.describe(schema))))
    assert again == schema
    inside = again.unpack(x, torch.float64)
    assert inside.shape[1:] == schema.inner_shape
    return again.pack(inside)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint16", "bool"]
)
@pytest.mark.parametrize("shape", [(9,), (9, 4), (9, 6, 5), (9, 6, 5, 3), (9, 3, 6, 5), (9, 4, 5, 6), (9, 2, 4, 5, 6)])
def test_arrays_and_tensors(shape, dtype):
    x = RNG.integers(0, 2, shape).astype(dtype)
    back = there_and_back(x)
    assert back.dtype == x.dtype and np.array_equal(back, x)
    tensor = torch.from_numpy(x)
    back = there_and_back(tensor)
    assert back.dtype == tensor.dtype and torch.equal(back, tensor)


def test_lists_and_foreign_byte_order_and_long_doubles():
    assert np.array_equal(there_and_back([[1.5, 2.0], [3.0, 4.0]]), [[1.5, 2.0], [3.0, 4.0]])
    assert there_and_back(np.arange(6.0).reshape(3, 2).astype(">f4")).dtype == np.float32
    assert there_and_back(np.arange(6.0).reshape(3, 2).astype(np.longdouble)).dtype == np.longdouble
    assert torch.equal(there_and_back(torch.ones(3, 2, dtype=torch.bfloat16)), torch.ones(3, 2, dtype=torch.bfloat16))


def test_float32_samples_of_float64_data_are_float64():
    assert Schema.of(np.zeros((3, 2))).pack(torch.zeros(5, 2)).dtype == np.float64


def test_integers_are_rounded_half_to_even_and_clipped():
    values = torch.tensor([[-7.0, 0.5, 1.5, 2.5, 99.0, 300.0]]).T
    assert Schema.of(np.array([-3, 50], np.int64)).pack(values).tolist() == [-7, 0, 2, 2, 99, 300]
    assert Schema.of(np.array([-3, 50], np.int8)).pack(values).tolist() == [-7, 0, 2, 2, 99, 127]
    assert Schema.of(np.array([3, 50], np.int64)).pack(values).tolist() == [3, 3, 3, 3, 50, 50]
    assert Schema.of(np.array([1, 50], np.uint8)).pack(values).tolist() == [1, 1, 2, 2, 50, 50]
    assert Schema.of(np.array([True, False])).pack(values).tolist() == [False, False, True, True, True, True]
    assert Schema.of(np.array([-1, 1])).pack(torch.tensor([[1e30]], dtype=torch.float64))[0] > 9e18


@pytest.mark.parametrize("dtype", ["uint16", "int64"])
def test_columns_of_counts_are_clipped_each_to_its_range(dtype):
    schema = Schema.of(np.array([[1, 10], [5, 20]], dtype))
    assert (schema.low, schema.high) == ((1, 10), (5, 20))
    assert schema.pack(torch.tensor([[0.0, 99.0], [99.0, 0.0]])).tolist() == [[1, 20], [5, 10]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64"])
def test_images_keep_the_range_of_the_data(dtype):
    """Digits of 17 grey levels have no others, whatever their type could hold."""
    schema = Schema.of((np.arange(4 * 64).reshape(4, 8, 8) % 17).astype(dtype))
    assert (schema.low, schema.high) == (0, 16)
    assert schema.pack(torch.tensor([-3.0, 20.0]).repeat(1, 1, 8, 4)).max() == 16


def test_samples_that_are_not_finite_are_not_rounded():
    with pytest.raises(RuntimeError, match="1 of 2 samples are not finite and cannot be rounded to int64: the sampler"):
        Schema.of(np.array([1, 2])).pack(torch.tensor([[1.0], [float("nan")]]))


@pytest.mark.parametrize("shape", [(2,), (3, 4), ()])
def test_samples_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"samples have the shape \('M', 2\), got"):
        Schema.of(np.zeros((3, 2))).pack(torch.zeros(shape))


def table():
    return pandas.DataFrame(
        {
            "int": [1, -2, 3],
            "float": [1.5, 2, 3],
            "bool": [True, False, True],
            "Int": pandas.array([1, -1, 4], dtype="Int64"),
            "UInt": pandas.array([1, 2, 200], dtype="UInt8"),
            "boolean": pandas.array([True, False, True], dtype="boolean"),
            "single": pandas.array([1, 2, 3], dtype="float32"),
            "Float": pandas.array([1, 2, 3.5], dtype="Float64"),
            7: np.array([1, 2, 3], np.uint16),
        }
    )


def test_tables():
    pandas.testing.assert_frame_equal(there_and_back(table()), table())
    schema = Schema.of(table())
    drawn = schema.pack(torch.full((2, 9), 1e4))
    assert drawn.loc[0].tolist() == [1e4, 1e4, True, 1e4, 200, True, 1e4, 1e4, 3]
    assert (drawn.dtypes == table().dtypes).all()


@pytest.mark.parametrize("dtype", ["double[pyarrow]", "int16[pyarrow]", "bool[pyarrow]", "Sparse[float64]"])
def test_columns_of_other_engines(dtype):
    pytest.importorskip("pyarrow")
    x = pandas.DataFrame({"a": pandas.array([1, 0, 1], dtype=dtype), "b": [1.0, 2.0, 3.0]})
    pandas.testing.assert_frame_equal(there_and_back(x), x)


def test_columns_of_two_levels_and_series():
    columns = pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)])
    x = pandas.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=columns)
    pandas.testing.assert_frame_equal(there_and_back(x), x)
    for name, dtype in (("u", "uint16"), (None, "float32"), ("i", "Int64")):
        s = pandas.Series([1, 2, 3], name=name, dtype=dtype)
        pandas.testing.assert_series_equal(there_and_back(s), s)


def test_a_table_of_signals():
    x = pandas.DataFrame(np.cumsum(RNG.normal(size=(100, 80)), 1), columns=[f"{i} nm" for i in range(80)])
    assert Schema.of(x).inner_shape == (1, 80)
    pandas.testing.assert_frame_equal(there_and_back(x), x)


def mixed(n=40):
    rng = np.random.default_rng(3)
    return pandas.DataFrame(
        {
            "mode": rng.choice(["rail", "road"], n),
            "id": [f"order {i}" for i in range(n)],
            "day": pandas.Timestamp("2024-01-01") + pandas.to_timedelta(rng.integers(0, 99, n), "D"),
            "load": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n).round(2)),
            "wet": rng.random(n) < 0.5,
            "unit": 7,
        }
    )


def test_tables_of_any_columns():
    schema = Schema.of(mixed())
    assert [c.kind for c in schema.table] == ["category", "date", "number", "boolean", "constant"]
    assert schema.columns == ("mode", "day", "load", "wet", "unit") and schema.left_out[0][0] == "id"
    assert schema.dtype == "float64" and schema.inner_shape == (5,) and schema.structure == "vector"
    assert schema.integer == (True, True, False, True, False) and schema.high[0] == 1
    numbers = schema.unpack(mixed(), torch.float64)
    assert set(numbers[:, 0].tolist()) == {0, 1} and bool(
        (numbers[:, 2].isnan().numpy() == mixed()["load"].isna()).all()
    )
    pandas.testing.assert_frame_equal(there_and_back(mixed()), mixed().drop(columns="id"))


def test_smooth_tables_have_the_numbers_they_had():
    x = pandas.DataFrame({"a": RNG.normal(size=9).astype("f4"), "b": RNG.integers(0, 9, 9).astype("i2")})
    numbers = Schema.of(x).rows(x).stored(np.arange(9))
    assert numbers.dtype == torch.float32 and np.array_equal(numbers, x.to_numpy("f4"))
    x["c"] = RNG.integers(0, 9, 9)
    assert Schema.of(x).rows(x).dtype == torch.float64


def test_mixed_tables_are_no_grids():
    with pytest.raises(
        ValueError, match=r"columns of a grid are numbers of one kind, and 'mode' is not \(category of 2"
    ):
        Schema.of(mixed(), "grid")
    with pytest.raises(ValueError, match="the columns of a grid are numbers of one kind, and 'id' is left out"):
        Schema.of(mixed()[["id", "wet"]].assign(wet=1.0), channels="first")


def test_settings_of_columns_are_for_tables():
    with pytest.raises(ValueError, match=r"categorical names columns of a table, got numpy data: pass pandas"):
        Schema.of(np.zeros((3, 2)), data=Data(categorical=("a",)))


def test_a_table_takes_its_columns_by_name():
    schema = Schema.of(table())
    assert torch.equal(schema.unpack(table()[table().columns[::-1]].assign(more=1)), schema.unpack(table()))
    assert schema.unpack(np.zeros((4, 9))).shape == (4, 9)
    with pytest.raises(ValueError, match="columns missing: 'float'; the table has 'int', 'bool'"):
        schema.rows(table().drop(columns="float"))


def test_a_table_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1.0, 5], [2, 9], [3, 7]]))
    x = Table(np.load(tmp_path / "x.npy", mmap_mode="r"), ("a", "b"), ("float32", "uint8"))
    schema = Schema.of(x)
    assert isinstance(schema.rows(x), FileRows) and len(x) == 3 and x.shape == (3, 2)
    drawn = schema.pack(torch.tensor([[0.5, 99.0]]))
    assert drawn.to_dict("list") == {"a": [0.5], "b": [9]} and drawn.dtypes.tolist() == ["float32", "uint8"]


def field():
    rng = np.random.default_rng(1)
    coords = {
        "time": np.arange(5),
        "lat": np.linspace(0, 1, 4, dtype="f4"),
        "lon": list("abcdef"),
        "day": ("lat", pandas.date_range("2000", periods=4)),
        "lag": ("lat", pandas.to_timedelta(np.arange(4), "D")),
        "area": (("lat", "lon"), rng.normal(size=(4, 6))),
        "height": 2.0,
    }
    values = rng.normal(size=(5, 4, 6)).astype(np.float32)
    return xarray.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="t2m", attrs={"units": "K"})


def test_arrays_with_named_axes():
    xarray.testing.assert_identical(there_and_back(field()), field().drop_vars("time"))
    schema = Schema.of(field())
    assert torch.equal(schema.unpack(field().transpose("lon", "time", "lat")), schema.unpack(field()))


def variables(order=("lat", "lon", "time"), samples="time"):
    """Two variables, 400 samples on a grid of 12 x 20, and others that lie elsewhere."""
    rng, sizes = np.random.default_rng(3), {"lat": 12, "lon": 20, samples: 400}
    shape = [sizes[dim] for dim in order]
    found = {
        "t2m": (order, rng.normal(280, 5, shape), {"units": "K"}),
        "wet": (order, rng.random(shape) > 0.5),
        "count": (order[::-1], rng.poisson(3, shape[::-1]).astype("i2"), {"units": "1"}),
        "land": (("lat", "lon"), np.ones((12, 20))),
        "note": ("lat", list("abcdefghijkl")),
        "pole": 90.0,
    }
    coords = {"lat": ("lat", np.linspace(40, 51, 12), {"units": "degrees_north"}), samples: np.arange(400)}
    return xarray.Dataset(found, coords, {"title": "weather"})


def test_the_variables_of_a_dataset_are_its_channels():
    x = variables()
    schema = Schema.of(x)
    assert schema.inner_shape == (3, 12, 20) and schema.layout.channel_axis == 0
    assert schema.dims == ("time", "lat", "lon") and "samples along time (400: by its name)" in schema.reason
    assert dict(schema.left_out) == {
        "land": "not on the axes time, lat, lon of t2m",
        "note": "<U1, not numbers",
        "pole": "not on the axes time, lat, lon of t2m",
    }
    learned = x[["t2m", "wet", "count"]]
    rows = schema.unpack(x, torch.float64)
    assert torch.equal(rows[:, 2], torch.from_numpy(x["count"].transpose("time", "lat", "lon").values).double())
    back = schema.pack(rows)
    xarray.testing.assert_identical(back, learned.drop_vars("time"))
    assert all(back[name].dtype == x[name].dtype for name in back)
    half = schema.pack(torch.full((2, 3, 12, 20), -0.7))
    assert float(half["count"].min()) == 0 and not bool(half["wet"].any()) and float(half["t2m"].min()) < -0.6
    assert torch.equal(schema.unpack(x.transpose("time", "lon", "lat")), rows.float())
    assert schema.count(schema.first(x, 7)) == 7
    with pytest.raises(ValueError, match=r"variables missing: 'wet'; the Dataset has 't2m', 'count'"):
        schema.rows(x[["t2m", "count"]])
    with pytest.raises(
        ValueError, match=r"variable 't2m' has the axes \('lat', 'lon'\), it needs \('time', 'lat', 'lon'\)"
    ):
        schema.rows(x.isel(time=0))
    with pytest.raises(ValueError, match=r"its channels, got channels='last': leave it out"):
        Schema.of(x, channels="last")
    with pytest.raises(TypeError, match="learned one array, got a Dataset: pass the variable"):
        Schema.of(field()).rows(field().to_dataset())


@pytest.mark.parametrize(
    ("order", "samples", "reason"),
    [
        (("lat", "lon", "realization"), "realization", "realization (400: by its name)"),
        (("lat", "lon", "z"), "z", "z (400: the longest axis)"),
        (("time", "lat", "number"), "time", "time (400: by its name)"),
    ],
)
def test_the_axis_of_samples(order, samples, reason):
    x = variables(("lat", "lon", samples), samples).rename({"lon": order[2]} if "number" in order else {})
    x = x.transpose(*order, missing_dims="ignore") if "number" in order else x
    assert Schema.of(x).reason.endswith(f"samples along {reason}")
    growing = variables(("lat", "lon", "z"), "z")
    growing.encoding["unlimited_dims"] = {"lat"}
    assert Schema.of(growing).reason.endswith("samples along lat (12: it is unlimited)")


@pytest.mark.parametrize(
    "order", [("lat", "lon", "time"), ("time", "lat", "lon"), ("lat", "lon", "z"), ("n", "lat", "lon")]
)
def test_a_dataarray_and_its_dataset_have_the_same_samples(order):
    sizes = {"lat": 12, "lon": 7, "time": 9, "z": 20, "n": 5}
    x = xarray.DataArray(np.random.default_rng(0).normal(size=[sizes[dim] for dim in order]), dims=order, name="t")
    one, whole = Schema.of(x), Schema.of(x.to_dataset())
    assert one.dims == whole.dims and one.dims[0] not in ("lat", "lon")
    assert one.reason.partition("; ")[2] == whole.reason.partition("; ")[2] != ""
    rows = one.unpack(x, torch.float64)
    assert torch.equal(rows, whole.unpack(x.to_dataset(), torch.float64))
    assert one.count(x) == sizes[one.dims[0]] and torch.equal(one.unpack(one.first(x, 3), torch.float64), rows[:3])
    xarray.testing.assert_identical(one.pack(rows), x.transpose(*one.dims))
    unnamed = xarray.DataArray(x.values)
    assert Schema.of(unnamed).shape == x.shape[1:] and "samples along" not in Schema.of(unnamed).reason


def test_variables_along_the_samples_alone_are_columns():
    x = xarray.Dataset({"a": ("time", np.arange(9.0)), "b": ("time", np.arange(9) % 3)}, {"time": np.arange(9)})
    schema = Schema.of(x)
    assert schema.reason.startswith("vectors, the variables a, b; samples along time")
    assert schema.structure == "vector" and schema.columns == ("a", "b") and schema.integer == (False, True)
    xarray.testing.assert_identical(schema.pack(schema.unpack(x)), x.drop_vars("time"))


def test_foreign_coordinates_are_left_out():
    x = field().assign_coords(thing=("lat", np.array([{}, {}, {}, {}], dtype=object)))
    assert "thing" not in {c[0] for c in Schema.of(x).coords}


def test_memory_maps_are_read_from_their_file(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 8, 8)))
    m = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(Schema.of(m).rows(m), FileRows)
    with_axes = xarray.DataArray(m, dims=("n", "y", "x"))
    assert isinstance(Schema.of(with_axes).rows(with_axes), FileRows)
    assert isinstance(Schema.of(m).rows(m[:, ::2, ::-1].repeat(2, 1)), ArrayRows)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 2), complex), "got complex numbers: pass numpy.hstack([x.real, x.imag])"),
        (np.zeros(3, complex), "complex numbers: pass numpy.stack([x.real, x.imag], 1)"),
        (
            np.zeros((3, 8, 8), complex),
            'complex numbers: pass numpy.stack([x.real, x.imag], 1) and data=Data(channels="first")',
        ),
        (torch.zeros(3, 2, dtype=torch.complex64), "got complex numbers"),
        (np.array([["a"], ["b"]]), "got text: pass x.astype(float)"),
        (np.array([[1, None]], object), "got Python objects: pass x.astype(float)"),
        (np.array(["2000-01-01"], "M8[D]"), "got times (datetime64[D])"),
        (np.zeros(3, [("a", "f4"), ("b", "f4")]), "got records with the fields 'a', 'b': pass pandas.DataFrame(x)"),
        (np.zeros(3, "V8"), "got numbers of type |V8"),
        (torch.eye(3).to_sparse(), "data must be a dense tensor, got the layout torch.sparse_coo: pass x.to_dense()"),
        ("x.npy", "got the path 'x.npy': read it first, scorefield.data.read(path)"),
        (pathlib.Path("x.npy"), "read it first"),
        ({"a": 1}, "data must be an array, a tensor, a DataFrame or a DataArray, got a dict"),
        (None, "got a NoneType"),
        (xarray.Dataset(), "the Dataset holds no arrays of numbers"),
        (xarray.Dataset({"a": ("x", list("ab"))}), "the Dataset holds no arrays of numbers: 'a' <U1 (2,)"),
        (pandas.DataFrame({"c": [1j]}), "column 'c' holds complex numbers: make it two columns, .real and .imag"),
        (
            pandas.DataFrame([[1.0]], columns=[pandas.Timestamp(0)]),
            "name columns by text or numbers, df.columns.astype",
        ),
    ],
)
def test_what_is_not_numbers(x, message):
    with pytest.raises(TypeError) as error:
        Schema.of(x)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(20,), (20, 3), (20, 8, 9), (20, 4, 5, 6)])
def test_the_advice_for_complex_data_can_be_followed(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    with pytest.raises(TypeError, match="got complex numbers: pass ") as error:
        Schema.of(x)
    values, _, data = str(error.value).partition(": pass ")[2].partition(" and ")
    given = eval(f"dict({data.partition(', on')[0]})", {"Data": Data}).get("data", Data())
    schema = Schema.of(eval(values, {"numpy": np, "x": x}), channels=given.channels)
    assert schema.inner_shape == ((2 * np.prod(shape[1:], dtype=int),) if len(shape) < 3 else (2, *shape[1:]))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (3.0 * np.ones(()), "need a first axis that counts the samples, got the single number 3.0"),
        (np.zeros((0, 3)), "there are no data: got an array of shape (0, 3)"),
        (torch.zeros(3, 0), "there are no data: got an array of shape (3, 0)"),
        ([[1.0, 2.0], [3.0]], "the rows have different lengths: give them as Ragged(values, times)"),
        (
            np.ma.masked_equal(np.arange(6).reshape(3, 2), 2),
            "1 values are masked: give a table, pandas.DataFrame(x.astype(float).filled(numpy.nan))",
        ),
        (pandas.DataFrame(index=[1, 2]), "the table has no columns"),
        (pandas.DataFrame([[1.0, 2.0]], columns=["a", "a"]), "several columns named 'a': rename them"),
    ],
)
def test_what_has_no_use(x, message):
    with pytest.raises(ValueError) as error:
        Schema.of(x)
    assert message in str(error.value)


def test_sparse_matrices_and_tables_of_others():
    class Sparse:
        def toarray(self): ...

    class Arrow:
        def to_pandas(self): ...

    with pytest.raises(TypeError, match=r"data must be dense, got a Sparse: pass x.toarray\(\)"):
        Schema.of(Sparse())
    with pytest.raises(TypeError, match=r"a pandas table, got a Arrow: pass x.to_pandas\(\)"):
        Schema.of(Arrow())


def test_other_data_of_another_shape():
    schema = Schema.of(np.zeros((9, 8, 8)))
    with pytest.raises(ValueError, match=r"shape \(N, 8, 8\), got a single example \(8, 8\): pass x\[None\]"):
        schema.unpack(np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"shape \(N, 8, 8\) like the training data, got \(9, 8, 7\)"):
        schema.unpack(np.zeros((9, 8, 7)))


@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_tables_of_other_libraries(library):
    module = pytest.importorskip(library)
    pytest.importorskip("pyarrow")
    columns = {
        "mode": ["rail", "road", None] * 9,
        "count": [3, None, 5] * 9,
        "wet": [True, False, None] * 9,
        "x": [0.5, 2, 7] * 9,
    }
    x = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    schema = Schema.of(x)
    assert [c.kind for c in schema.table] == ["category", "number", "boolean", "number"]
    samples = schema.pack(schema.unpack(x, torch.float64))
    assert isinstance(samples, pandas.DataFrame) and [str(t) for t in samples.dtypes][1:] == [
        "Int64",
        "boolean",
        "float64",
    ]
    assert samples.astype(object).where(samples.notna(), None).to_dict("list") == columns


@pytest.mark.parametrize(
    "x",
    [
        np.ones((5, 2), np.float16),
        np.ones((5, 8, 8), np.float16),
        torch.ones(5, 2, dtype=torch.float16),
        np.ones((5, 2), np.float32),
        pandas.DataFrame(np.random.default_rng(0).normal(size=(5, 2)).astype(np.float16), columns=["a", "b"]),
        pandas.DataFrame(np.random.default_rng(0).normal(size=(5, 2)), columns=["a", "b"]).astype("Float32"),
        xarray.Dataset({name: (("time", "y", "x"), np.ones((5, 8, 8), np.float16)) for name in "ab"}),
    ],
    ids=["vectors", "grids", "tensor", "float32", "table", "nullable", "dataset"],
)
def test_finite_samples_are_finite_in_a_narrow_type(x):
    schema = Schema.of(x)
    dtype = np.float32 if "32" in str(schema.column_dtypes or schema.dtype).lower() else np.float16
    values = torch.linspace(-1e39, 1e39, 6, dtype=torch.float64).reshape(6, *(1,) * len(schema.inner_shape))
    samples = schema.pack(values.expand(6, *schema.inner_shape))
    found = samples.to_array() if hasattr(samples, "to_array") else samples
    found = np.asarray(found, np.float64)
    assert np.isfinite(found).all() and np.abs(found).max() == np.finfo(dtype).max
    if not isinstance(x, pandas.DataFrame):  # and what diverged is not hidden
        broken = schema.pack(torch.full((1, *schema.inner_shape), torch.inf))
        assert np.isinf(np.asarray(broken.to_array() if schema.variables else broken)).all()
