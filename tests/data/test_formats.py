"""Every format gives back what it was given, or says what it cannot hold; a user's own is one class and one argument."""

import errno
import gc
import os
import random
import shutil
import subprocess
import sys
import textwrap
import weakref
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import scorefield
from scorefield.data import FORMATS as ALL, DataError, Format, Schema, check, contents, lost, read, write
from scorefield.data.formats import Csv, Excel, Hdf5, ImageFolder, NetCDF, Parquet, Zarr
from scorefield.data.formats.base import array_of

pandas = pytest.importorskip("pandas")
h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")
xarray = pytest.importorskip("xarray")
pytest.importorskip("PIL.Image")
pytest.importorskip("pyarrow")
pytest.importorskip("netCDF4")

RNG = np.random.default_rng(0)
COUNT = 7
FORMATS = tuple(f for f in ALL if type(f).write is not Format.write)
FORMATS = tuple(f for f in FORMATS if f.name != "Excel" or find_spec("openpyxl"))  # which is of another extra


def field(dtype=np.float32):
    coords = {
        "lat": ("lat", np.linspace(0, 1, 4, dtype="f4"), {"units": "degrees_north", "axis": 1}),
        "lon": list("abcdef"),
        "day": ("lat", pandas.date_range("2000", periods=4)),
        "area": (("lat", "lon"), RNG.normal(size=(4, 6)), {"units": "m2"}),
        "height": 2.0,
    }
    attrs = {"units": "K", "valid_max": 400.0, "levels": [1, 2, 3]}
    values = (9 * RNG.normal(size=(COUNT, 4, 6))).astype(dtype)
    return xarray.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="t2m", attrs=attrs)


def table():
    columns = {"a": RNG.normal(size=COUNT), "b": np.arange(COUNT), "c": np.arange(COUNT) % 2 == 0}
    return pandas.DataFrame(columns)


DATA = {
    "vectors": RNG.normal(size=(COUNT, 3)).astype(np.float32),
    "numbers": RNG.normal(size=COUNT),
    "half": RNG.normal(size=(COUNT, 3)).astype(np.float16),
    "flags": RNG.integers(0, 2, (COUNT, 3)).astype(bool),
    "signals": np.cumsum(RNG.normal(size=(COUNT, 80)), 1),
    "grey": RNG.integers(0, 256, (COUNT, 8, 8)).astype(np.uint8),
    "deep": RNG.integers(0, 60000, (COUNT, 8, 8)).astype(np.uint16),
    "colours": RNG.integers(0, 256, (COUNT, 8, 8, 3)).astype(np.uint8),
    "colours first": RNG.integers(0, 256, (COUNT, 3, 8, 8)).astype(np.uint8),
    "volumes": RNG.normal(size=(COUNT, 4, 5, 6)),
    "tensor": torch.from_numpy(RNG.normal(size=(COUNT, 3))).to(torch.bfloat16),
    "table": table(),
    "numbered columns": pandas.DataFrame(RNG.integers(0, 9, (COUNT, 3))),
    "years": pandas.DataFrame(RNG.normal(size=(COUNT, 2)), columns=["2000", "2001"]),
    "series": pandas.Series(np.arange(COUNT), name="n"),
    "field": field(),
    "flags with axes": field() > 0,
    "integers with axes": field(np.int16),
}


def batches(x, size=3):
    whole = x.iloc if hasattr(x, "iloc") else x
    return (whole[i : i + size] for i in range(0, len(x), size))


def name_of(form):
    return f"new{form.suffixes[0]}" if form.suffixes else "new"


PAIRS = [(form, kind) for form in FORMATS for kind in DATA]


@pytest.mark.parametrize(("form", "kind"), PAIRS, ids=[f"{f.name}-{k}" for f, k in PAIRS])
def test_what_is_written_comes_back(tmp_path, form, kind):
    x, path = DATA[kind], tmp_path / name_of(form)
    schema = Schema.of(x)
    if form.cannot_hold(schema) is not None:
        with pytest.raises(ValueError, match=f"{path.name} .*: write .*npy") as error:
            write(path, batches(x), COUNT, schema)
        assert {*form.suffixes, form.label}.isdisjoint(str(error.value).rpartition(": write ")[2].split(", "))
        assert not path.exists()
        return
    write(path, batches(x), COUNT, schema)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    back = read(path)
    found, given = array_of(back), array_of(x)
    if kind == "colours first" and form.name == "image folder":
        given = np.moveaxis(given, 1, -1)
    found = found.reshape(given.shape)
    if form.name in ("CSV", "Excel"):  # text, which is read within one bit
        np.testing.assert_allclose(found.astype(given.dtype), given, rtol=1e-15)
    else:
        np.testing.assert_array_equal(found, given)
    if isinstance(x, pandas.DataFrame) and isinstance(back, pandas.DataFrame):
        pandas.testing.assert_frame_equal(back, x)
    if isinstance(x, xarray.DataArray) and form.loses(schema) is None:
        xarray.testing.assert_identical(back, x)
        assert back.dtype == x.dtype
    if isinstance(x, np.ndarray):
        assert found.dtype == x.dtype or form.suffixes in (Csv.suffixes, Parquet.suffixes, Excel.suffixes)


def test_tables_of_words_and_gaps(tmp_path):
    gaps = pandas.DataFrame({"n": pandas.array([1, None, 3] * 5, dtype="Int64"), "x": np.arange(15) / 7})
    write(tmp_path / "x.npy", [gaps], 15, Schema.of(gaps))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[:3, 0], [1, np.nan, 3])
    words = gaps.assign(mode=["rail", "road", "sea"] * 5)
    for name in ("x.npy", "x.npz", "x.h5", "x.nc"):
        with pytest.raises(
            ValueError, match=r"holds numbers alone, and column 'mode' is of the type \w+: write .*\.csv"
        ):
            check(tmp_path / name, Schema.of(words))


def test_every_kind_of_data_has_a_format_that_keeps_it_whole():
    for x in DATA.values():
        schema = Schema.of(x)
        assert [f for f in FORMATS if f.cannot_hold(schema) is None and f.loses(schema) is None]


def test_what_is_lost_is_named():
    kept = ".csv, .parquet, .xlsx" if find_spec("openpyxl") else ".csv, .parquet"
    assert lost("x.npy", Schema.of(DATA["table"])) == f"the names of the columns are lost in .npy: {kept} keep them"
    assert "the names of the axes, their coordinates and the units are lost in .npz: .h5" in str(
        lost("x.npz", Schema.of(field()))
    )
    assert "types of the columns are lost in .nc" in str(lost("x.nc", Schema.of(DATA["table"])))
    assert lost("x.csv", Schema.of(DATA["table"])) is None and lost("x.unknown", Schema.of(DATA["table"])) is None


@pytest.mark.parametrize("name", ["new.nc", "new.h5", "new.zarr"])
def test_a_field_goes_on_from_file_to_file(tmp_path, name):
    x = read_again = field()
    for i in range(2):
        schema = Schema.of(read_again)
        path = tmp_path / f"{i}{name}"
        write(path, [schema.pack(schema.unpack(read_again))], COUNT, schema)
        read_again = read(path)
    xarray.testing.assert_identical(read_again, x)
    assert next(iter(contents(path))) == "t2m"
    large = read(path, cache=tmp_path / "cache", limit=10)
    assert isinstance(large.data, np.memmap)
    xarray.testing.assert_identical(large, x)


@pytest.mark.parametrize("name", ["new.nc", "new.h5", "new.zarr"])
def test_several_variables_go_on_from_file_to_file(tmp_path, name):
    x = field().drop_vars("day").transpose("lat", "lon", "time").to_dataset().assign_attrs(title="weather")
    x = x.assign(pr=(x.t2m.dims, np.abs(x.t2m.values).astype("f8"), {"units": "mm"}), wet=x.t2m > 0)
    x["t2m"].attrs = field().attrs
    schema = Schema.of(x)
    write(
        tmp_path / name,
        [schema.pack(schema.unpack(x.isel(time=part), torch.float64)) for part in (slice(3), slice(3, 7))],
        7,
        schema,
    )
    back = read(tmp_path / name)
    xarray.testing.assert_identical(back, x)
    assert {n: (v.dims, v.dtype) for n, v in back.items()} == {n: (v.dims, v.dtype) for n, v in x.items()}
    assert "samples along time (7: by its name)" in Schema.of(back).reason
    large = read(tmp_path / name, key="t2m", cache=tmp_path / "cache", limit=10)
    xarray.testing.assert_identical(large["t2m"], back["t2m"])
    assert isinstance(Schema.of(large).rows(large), scorefield.data.FileRows)
    assert list(read(tmp_path / name, key="pr, t2m")) == ["pr", "t2m"]
    with pytest.raises(
        ValueError, match=r"holds one array without names, and these are the variables t2m, pr, wet: write .*\.nc"
    ):
        check(tmp_path / "x.npy", schema)


def test_variables_on_other_axes_are_named_and_left_out(tmp_path):
    x = (
        field()
        .to_dataset()
        .assign(q=field(), land=(("lat", "lon"), np.ones((4, 6))), bounds=(("time", "side"), np.ones((7, 2))))
    )
    x.to_netcdf(tmp_path / "x.nc")
    with pytest.warns(UserWarning, match=r"x\.nc: land, bounds are left out, not on the axes time, lat, lon of t2m"):
        assert list(read(tmp_path / "x.nc")) == ["t2m", "q"]
    assert read(tmp_path / "x.nc", key="land").dims == ("lat", "lon")
    with pytest.raises(
        ValueError, match=r"learned together have the same named axes, .* holds 'q' \(time, lat, lon\), 'land' \("
    ):
        read(tmp_path / "x.nc", key="q,land")
    with pytest.raises(ValueError, match=r"x\.nc has no array 'r': it holds 't2m'"):
        read(tmp_path / "x.nc", key="q,r")


def test_few_samples_are_not_taken_for_their_coordinates(tmp_path):
    x = field()[:1]
    for form in (NetCDF(), Hdf5(), Zarr()):
        write(tmp_path / name_of(form), [x], 1, Schema.of(x))
        xarray.testing.assert_identical(read(tmp_path / name_of(form)), x)


@pytest.mark.parametrize("several", [False, True])
def test_packed_values_are_the_same_from_every_kind_of_file(tmp_path, several):
    x = field(np.float64).assign_coords(time=np.arange(COUNT))
    x[2, 1, :3] = np.nan
    whole = x.to_dataset().assign({"pr": x + 1} if several else {})
    encoding = {"t2m": {"scale_factor": 0.5, "add_offset": 2.0, "dtype": "i2", "_FillValue": -999}}
    encoding |= {"pr": {"_FillValue": -999.0}} if several else {}
    whole.to_netcdf(tmp_path / "x.nc", encoding=encoding)
    shutil.copy(tmp_path / "x.nc", tmp_path / "x.h5")
    whole.to_zarr(tmp_path / "2.zarr", encoding=encoding, zarr_format=2)
    whole.to_zarr(tmp_path / "3.zarr", encoding=encoding, zarr_format=3)
    expected = read(tmp_path / "x.nc")
    values = expected["t2m"] if several else expected
    np.testing.assert_array_equal(values, np.rint((x - 2) / 0.5) * 0.5 + 2)
    for path in (tmp_path / "x.h5", tmp_path / "2.zarr", tmp_path / "3.zarr"):
        for options in ({}, {"cache": tmp_path / "cache", "limit": 10}):
            xarray.testing.assert_identical(read(path, **options), expected)
    schema = Schema.of(expected.isel(time=[0, 1]))
    for name in ("y.nc", "y.h5", "y.zarr"):
        write(tmp_path / name, [expected], COUNT, schema)
        back = read(tmp_path / name)
        for key in expected if several else [()]:
            np.testing.assert_array_equal(back[key], expected[key])


def test_arrays_without_names_are_decoded_by_their_attributes(tmp_path):
    stored = RNG.integers(-9, 9, (COUNT, 4)).astype("i2")
    stored[2, 1] = -99
    attrs = {"scale_factor": np.array([0.5]), "add_offset": 1.0, "_FillValue": np.int16(-99), "units": "K"}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["t"] = stored
        file["t"].attrs.update(attrs)
    group = zarr.open_group(str(tmp_path / "x.zarr"), mode="w")
    group.create_array("t", data=stored, chunks=(3, 4))
    group["t"].attrs.update({"scale_factor": 0.5, "add_offset": 1.0, "_FillValue": -99})
    for path in (tmp_path / "x.h5", tmp_path / "x.zarr"):
        for options in ({}, {"cache": tmp_path / "cache", "limit": 10}):
            np.testing.assert_array_equal(read(path, **options), np.where(stored == -99, np.nan, stored * 0.5 + 1))


def test_arrays_in_memory_that_are_not_decoded_are_named(tmp_path):
    x = field().assign_attrs(_FillValue=-99.0, scale_factor=0.5)
    for whole in (x, x.to_dataset()):
        with pytest.warns(
            UserWarning, match=r"t2m has the attributes _FillValue=-99.0, scale_factor=0.5, .* as they are"
        ):
            schema = Schema.of(whole)
        for name in ("x.nc", "x.h5", "x.zarr"):  # and the files that are written of them say what they mean
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            write(tmp_path / name, [whole], COUNT, schema)
            np.testing.assert_array_equal(read(tmp_path / name, key="t2m"), x * 0.5)


def test_names_that_netcdf_cannot_hold():
    schema = Schema.of(field().rename("lat"))
    for form in (NetCDF(), Zarr(), Hdf5()):
        assert form.cannot_hold(schema) == "needs different names for the data and its axes, and both are called 'lat'"
    assert NetCDF().cannot_hold(Schema.of(field().rename("a/b"))) == "has no place for the name 'a/b'"


class Lines(Format):
    """A user's own: a row a line, values in hexadecimal."""

    name, suffixes = "lines of floats", (".hex",)

    def read(self, path, selection, store):
        return np.array([[float.fromhex(v) for v in line.split()] for line in path.read_text().splitlines()])

    def cannot_hold(self, schema):
        return None if schema.structure == "vector" else "holds vectors"

    def write(self, path, batches, count, schema):
        with open(path, "w") as file:
            for batch in batches:
                file.writelines(" ".join(float(v).hex() for v in row) + "\n" for row in np.asarray(batch))


def test_a_format_of_ones_own(tmp_path):
    formats, path = (Lines(), *FORMATS), tmp_path / "x.hex"
    x = DATA["vectors"]
    with pytest.raises(ValueError, match=r"written as \.npy, .*; got .*x\.hex"):
        write(path, batches(x), COUNT, Schema.of(x))
    write(path, batches(x), COUNT, Schema.of(x), formats=formats)
    assert np.array_equal(read(path, formats=formats), x)
    with pytest.raises(ValueError, match=r"unknown kind, .hex: known are .npy"):
        read(path)
    with pytest.raises(ValueError, match=r"x\.hex holds vectors: write \.npy"):
        write(path, batches(DATA["grey"]), COUNT, Schema.of(DATA["grey"]), formats=formats)
    path.write_text("0x1p0 what\n")
    with pytest.raises(ValueError, match=r"x\.hex is truncated or damaged \(invalid hexadecimal .*\): copy it again"):
        read(path, formats=formats)
    with pytest.raises(ValueError, match=r"key= is for \.npz, .*\.zarr, got .*x\.hex: leave it out"):
        read(path, key="a", formats=formats)


def test_a_format_that_is_only_read(tmp_path):
    class Reader(Format):
        name, suffixes = "readings", (".rd",)

        def read(self, path, selection, store):
            return np.ones((3, 2))

    (tmp_path / "x.rd").write_text("1")
    assert read(tmp_path / "x.rd", formats=[Reader()]).shape == (3, 2)
    with pytest.raises(ValueError, match=r"y\.rd is a readings file, a format that is only read: write \.npy"):
        check(tmp_path / "y.rd", Schema.of(np.ones((3, 2))), formats=[Reader(), *FORMATS])


WRITTEN = [(f, "field") for f in FORMATS if f.cannot_hold(Schema.of(field())) is None]
WRITTEN += [(f, "grey") for f in FORMATS if isinstance(f, ImageFolder)]
WRITTEN += [(f, "table") for f in FORMATS if f.cannot_hold(Schema.of(field())) is not None and not f.folder]


@pytest.mark.parametrize(("form", "kind"), WRITTEN, ids=[f.name for f, _ in WRITTEN])
def test_files_are_whole_or_not_there(tmp_path, monkeypatch, form, kind):
    x, path = DATA[kind], tmp_path / name_of(form)
    schema = Schema.of(x)

    def stopped(error):
        yield from list(batches(x))[:2]
        raise error

    for error in (RuntimeError("the sampler diverged"), KeyboardInterrupt(), OSError("of the sampler")):
        with pytest.raises(type(error)) as raised:
            write(path, stopped(error), COUNT, schema)
        assert raised.value is error and not list(tmp_path.iterdir())
    for wrong in (COUNT - 1, COUNT + 1):
        with pytest.raises(ValueError, match=rf"{wrong} samples were announced|could not be written") as raised:
            write(path, batches(x), wrong, schema)
        assert not list(tmp_path.iterdir()) and "\n" not in str(raised.value)
    if not form.folder:
        path.write_bytes(b"what was there")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(
            OSError, match=r"could not be written \(No space left.*\); what was there is unchanged: free"
        ):
            write(path, batches(x), COUNT, schema)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"what was there"] * (not form.folder)


@pytest.mark.parametrize(("form", "kind"), WRITTEN, ids=[f.name for f, _ in WRITTEN])
def test_memory_is_that_of_a_few_batches(tmp_path, form, kind):
    x, alive, most = DATA[kind], [], 0

    def fresh():
        nonlocal most
        for _ in range(8):
            batch = x.copy()
            alive.append(weakref.ref(batch))
            gc.collect()  # fast, for what was there before is frozen
            most = max(most, sum(r() is not None for r in alive))
            yield batch
            del batch

    gc.collect()
    gc.freeze()  # and it stays so: see conftest.py
    write(tmp_path / name_of(form), fresh(), 8 * COUNT, Schema.of(x))
    assert most <= 3


def mutations(content, rnd):
    """Valid content, cut, with bits turned over, bytes lost or gained."""
    yield content[: rnd.randrange(1, len(content))]
    flipped = bytearray(content)
    for _ in range(5):
        flipped[rnd.randrange(len(flipped))] ^= 1 << rnd.randrange(8)
    yield bytes(flipped)
    at = rnd.randrange(min(len(content), 200))
    yield content[:at] + content[at + 3 :]
    yield content[:at] + bytes(rnd.randrange(256) for _ in range(5)) + content[at:]


@pytest.mark.parametrize(("form", "kind"), WRITTEN, ids=[f.name for f, _ in WRITTEN])
def test_damaged_files_get_one_line(tmp_path, form, kind):
    rnd, x, path = random.Random(0), DATA[kind], tmp_path / name_of(form)
    write(path, [x], COUNT, Schema.of(x))
    copy = tmp_path / f"damaged{path.suffix}"
    refused = 0
    for i in range(8):
        shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
        files = sorted(p for p in copy.rglob("*") if p.is_file()) if copy.is_dir() else [copy]
        victim = files[i % len(files)]
        for content in mutations(victim.read_bytes(), rnd):
            victim.write_bytes(content)
            try:
                read(copy)
            except (ValueError, TypeError) as error:
                assert "\n" not in str(error) and copy.name in str(error) and len(str(error)) < 800
                refused += 1
        shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    assert refused >= (1 if form.name == "CSV" else 8)  # most damaged text is still text


@pytest.mark.parametrize(
    "error",
    [AttributeError("no x"), KeyError("x"), OverflowError("large"), RecursionError("deep"), OSError(22, "Invalid"), ""],
    ids=lambda e: type(e).__name__,
)
def test_whatever_a_library_raises(tmp_path, error):
    import zlib

    class Broken(Lines):
        def read(self, path, selection, store):
            raise error or zlib.error("Error -3\nwhile decompressing")

    (tmp_path / "x.hex").write_text("a")
    with pytest.raises(DataError, match=r"x\.hex is truncated or damaged \(.*\): copy it again") as raised:
        read(tmp_path / "x.hex", formats=[Broken()])
    assert "\n" not in str(raised.value)


def test_permission_memory_and_a_full_disk(tmp_path):
    class Broken(Lines):
        def __init__(self, error):
            self.error = error

        def read(self, path, selection, store):
            raise self.error

    (tmp_path / "x.hex").write_text("a")
    for error, kind, message in (
        (PermissionError(13, "Permission denied"), PermissionError, r"no permission for .*x\.hex: change its perm"),
        (MemoryError(), ValueError, r"x\.hex does not fit into memory: .*cache=…"),
        (FileNotFoundError(2, "No such file", "c/0"), ValueError, r"a part of .*x\.hex is missing .*c/0"),
        (OSError(errno.ENOSPC, "No space left"), OSError, "No space left"),
    ):
        with pytest.raises(kind, match=message):
            read(tmp_path / "x.hex", formats=[Broken(error)])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(ValueError, match=r"x\.csv is a FIFO, which can be read only once: write the data to a file"):
        read(tmp_path / "x.csv")
    with pytest.raises(ValueError, match=r"/dev/null is a device"):
        read("/dev/null")
    x = DATA["table"]
    with pytest.raises(ValueError, match=r"x\.csv is not a file"):
        write(tmp_path / "x.csv", [x], COUNT, Schema.of(x))
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match="holds no images"):
        read(tmp_path)


LIBRARIES = {"x.csv": "pandas", "x.parquet": "pyarrow", "x.h5": "h5py", "x.nc": "netCDF4", "x.zarr": "zarr"}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_names_the_extra(tmp_path, monkeypatch, name):
    x = DATA["vectors"]
    write(tmp_path / name, [x], COUNT, Schema.of(x))
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    for attempt in (lambda: read(tmp_path / name), lambda: write(tmp_path / f"new-{name}", [x], COUNT, Schema.of(x))):
        with pytest.raises(ImportError, match=rf'needs {LIBRARIES[name]}.*: pip install "scorefield\[data\]"'):
            attempt()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_options_that_a_format_does_not_take(tmp_path):
    np.save(tmp_path / "x.npy", DATA["vectors"])
    with pytest.raises(
        ValueError,
        match=r"columns= is for \.csv .*, \.parquet \.pq, \.xlsx, folders of \.npy or \.parquet, got .*x\.npy: leave it out",
    ):
        read(tmp_path / "x.npy", columns=["a"])
    table().to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="holds no images to be resized"):
        read(tmp_path / "x.parquet", resize=8)


def test_images_that_are_too_large_to_open(tmp_path, monkeypatch):
    from PIL import Image

    Image.fromarray(DATA["grey"][0]).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"a\.png has more pixels than Pillow opens .*: make it smaller, or raise"):
        read(tmp_path)


def test_where_samples_can_be_written(tmp_path):
    schema = Schema.of(DATA["grey"])
    (tmp_path / "x.npy").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("a")
    (tmp_path / "full.zarr").mkdir()
    (tmp_path / "full.zarr" / "zarr.json").write_text("{}")
    for name, message in {
        "x.npy": "is a folder: name a file",
        "full": "exists and is not empty: name a new folder",
        "full.zarr": "exists and is not empty: name a new folder",
        "x.csv": r"holds tables, and these data are grids: write \.npy, \.npz, \.h5",
    }.items():
        with pytest.raises(ValueError, match=f"{name} {message}"):
            check(tmp_path / name, schema)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none to write x\.npy into: make it first"):
        check(tmp_path / "none" / "x.npy", schema)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", batches(DATA["grey"]), COUNT, schema)
    assert np.array_equal(read(tmp_path / "empty"), DATA["grey"])
    with pytest.raises(ValueError, match="there are no samples to write"):
        write(tmp_path / "y.npy", [], 0, schema)


def test_a_place_where_nobody_may_write(tmp_path, monkeypatch):
    x = DATA["vectors"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        with pytest.raises(PermissionError, match=r"x\.npy could not be written \(Permission denied\).* you may write"):
            write(tmp_path / "x.npy", [x], COUNT, Schema.of(x))
    assert not list(tmp_path.iterdir())


def test_a_format_is_one_file_beside_its_export():
    import scorefield.data.formats as formats

    folder = Path(formats.__file__).parent
    for form in FORMATS:
        module = Path(sys.modules[type(form).__module__].__file__)
        others = [p for p in folder.parents[1].rglob("*.py") if p not in (module, folder / "__init__.py")]
        users = [p for p in others if f"import {type(form).__name__}" in p.read_text() and p.parent != folder]
        assert module.parent == folder and not users


def test_a_new_file_is_enough_for_a_format(tmp_path):
    """A copy of the package with one file more: the format is found, behind the others of its kind."""
    package = tmp_path / "scorefield"
    shutil.copytree(Path(scorefield.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    code = """
    from .base import Format

    class Text(Format):
        name, suffixes = "text", (".txt",)

        def read(self, path, selection, store):
            raise NotImplementedError
    """
    (package / "data" / "formats" / "atext.py").write_text(textwrap.dedent(code))
    command = """
    from pathlib import Path

    from scorefield.cli.verbs import app

    @app.command
    def hello() -> None:
        \"\"\"Greet.\"\"\"
        print("hello")
    """
    (package / "cli" / "hello.py").write_text(textwrap.dedent(command))
    script = "from scorefield.data import FORMATS; print(*(type(f).__name__ for f in FORMATS))"
    script += "; from scorefield.cli import main; main(['hello'])"
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    names = "Npy Npz Csv Parquet Excel Hdf5 NetCDF Zarr Text FileFolder ImageFolder"
    assert ended.stdout.splitlines() == [names, "hello"], ended.stderr


def test_excel_without_its_library(tmp_path, monkeypatch):
    monkeypatch.setattr("scorefield.data.formats.excel.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r'x\.xlsx needs openpyxl \(pip install "scorefield\[excel\]"\): write \.npy, .*\.csv'
    ):
        check(tmp_path / "x.xlsx", Schema.of(DATA["table"]))


def test_workbooks_of_excel(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["note"])
    sheet = book.create_sheet("trips")
    rows = [[], ["mode", "day", "load", None], ["rail", pandas.Timestamp("2024-01-05").to_pydatetime(), 1.5, 3]]
    for row in [*rows, ["road", pandas.Timestamp("2024-01-07").to_pydatetime(), "?", 4], ["rail", None, 2.5, 4]]:
        sheet.append(row)
    book.save(tmp_path / "x.xlsx")
    with pytest.raises(ValueError, match=r"the sheet 'Sheet' of .* holds no rows below the names"):
        read(tmp_path / "x.xlsx", key="Sheet")
    with pytest.raises(ValueError, match="has no sheet 'trip': it has 'Sheet', 'trips'"):
        read(tmp_path / "x.xlsx", key="trip")
    with pytest.warns(UserWarning, match=r"has columns without a name: they are called column_4$"):
        x = read(tmp_path / "x.xlsx", key="trips")
    schema = Schema.of(x)
    assert [c.kind for c in schema.table] == ["category", "date", "number", "number"]
    samples = schema.pack(schema.unpack(x, torch.float64))
    write(tmp_path / "y.xlsx", [samples[:2], samples[2:]], 3, schema)
    pandas.testing.assert_frame_equal(read(tmp_path / "y.xlsx"), x)
