"""Every format is read, whole or through a copy, and every broken file is named with what to do."""

import gzip
import io
import json
import os
import sys

import numpy as np
import pytest
import torch

from scorefield.data import FileRows, Schema, contents, read
from scorefield.data.frames import Table
from scorefield.data.optional import need

pandas = pytest.importorskip("pandas")
h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")
xarray = pytest.importorskip("xarray")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("pyarrow")
pytest.importorskip("netCDF4")

RNG = np.random.default_rng(0)
FIELDS = RNG.normal(size=(20, 8, 9)).astype(np.float32)
LABELS = np.arange(20)
FRAME = pandas.DataFrame({"a": RNG.normal(size=20), "b": np.arange(20), "c": RNG.normal(size=20).astype("f4")})


def write_npz(path):
    np.savez(path, labels=LABELS, fields=FIELDS)


def write_compressed(path):
    np.savez_compressed(path, labels=LABELS, fields=FIELDS)


def write_h5(path):
    with h5py.File(path, "w") as file:
        file["group/fields"], file["labels"] = FIELDS, LABELS


def write_zarr(path):
    group = zarr.open_group(str(path), mode="w")
    group.create_array("fields", data=FIELDS, chunks=(3, 8, 9))
    group.create_array("labels", data=LABELS)


def write_netcdf(path):
    dims = ("time", "lat", "lon")
    x = xarray.DataArray(FIELDS, dims=dims, coords={"lat": np.arange(8.0)}, attrs={"units": "K"})
    xarray.Dataset({"fields": x, "labels": ("time", LABELS)}).to_netcdf(path)


ARRAYS = [
    ("x.npz", write_npz),
    ("y.npz", write_compressed),
    ("x.h5", write_h5),
    ("x.zarr", write_zarr),
    ("x.nc", write_netcdf),
]


@pytest.mark.parametrize(("name", "write"), ARRAYS)
def test_the_largest_array_or_the_one_named(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    assert np.array_equal(read(path), FIELDS) and read(path).dtype == np.float32
    assert np.array_equal(read(path, key="labels"), LABELS)
    listed = contents(path)
    assert next(iter(listed)).endswith("fields") and listed["labels"] == "int64 (20,)"
    with pytest.raises(ValueError, match=r"has no array 'labls': did you mean 'labels'\? it holds '.*fields' float32"):
        read(path, key="labls")


@pytest.mark.parametrize(("name", "write"), ARRAYS)
def test_larger_than_the_limit(tmp_path, name, write, monkeypatch):
    path, cache = tmp_path / name, tmp_path / "cache" / "deep"
    write(path)
    monkeypatch.setattr("scorefield.data.cache.BLOCK", 800)
    with pytest.raises(ValueError, match=r"holds more than .* GiB: name a folder for a copy .* \(cache=…\), or raise"):
        read(path, limit=1000)
    x = read(path, cache=cache, limit=1000)
    rows = Schema.of(x).rows(x)
    assert isinstance(rows, FileRows) and np.array_equal(rows.take(range(20))[:, 0].numpy(), FIELDS)
    assert sorted(p.suffix for p in cache.iterdir()) == [".json", ".npy"]
    if name == "x.nc":
        assert x.dims == ("time", "lat", "lon") and x.attrs == {"units": "K"} and "lat" in x.coords


def test_a_copy_is_used_until_the_source_changes(tmp_path):
    path, cache = tmp_path / "x.h5", tmp_path / "cache"
    write_h5(path)
    read(path, cache=cache, limit=10)
    (copy,) = cache.glob("*.npy")
    made = copy.stat().st_mtime_ns
    read(path, cache=cache, limit=10)
    assert copy.stat().st_mtime_ns == made
    record = json.loads(next(cache.glob("*.json")).read_text())
    assert record["size"] == path.stat().st_size and record["source"] == str(path)
    os.utime(path, ns=(1, 1))
    read(path, cache=cache, limit=10)
    assert copy.stat().st_mtime_ns != made


def test_npy_small_and_large(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", FIELDS)
    assert type(read(tmp_path / "x.npy")) is np.ndarray
    monkeypatch.setattr("scorefield.data.formats.npy.SMALL", 100)
    assert type(read(str(tmp_path / "x.npy"))) is np.memmap


def test_a_zarr_array_alone(tmp_path):
    zarr.save_array(str(tmp_path / "folder"), FIELDS)
    assert np.array_equal(read(tmp_path / "folder"), FIELDS)


def test_csv(tmp_path):
    path = tmp_path / "x.csv"
    for options in ({"index": False}, {"index": True}, {"index": False, "sep": ";"}, {"index": False, "sep": "\t"}):
        FRAME.to_csv(path, **options)
        pandas.testing.assert_frame_equal(read(path), FRAME, check_dtype=False)
    assert read(path, columns=["c", "a"]).columns.tolist() == ["c", "a"]
    with pytest.raises(ValueError, match="columns missing: 'd'; the table has 'a', 'b', 'c'"):
        read(path, columns=["d"])
    FRAME.to_csv(tmp_path / "x.csv.gz", index=False)
    assert read(tmp_path / "x.csv.gz").shape == (20, 3)


def test_csv_of_numbers_alone_loses_no_row(tmp_path):
    np.savetxt(tmp_path / "x.csv", FRAME, delimiter=",")
    assert read(tmp_path / "x.csv").shape == (20, 3)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_larger_than_the_limit(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"x.{suffix}"
    FRAME.to_csv(path, index=False) if suffix == "csv" else FRAME.to_parquet(path, row_group_size=6)
    monkeypatch.setattr("scorefield.data.formats.tables.BLOCK", 8 * 3 * 7)
    for _ in range(2):
        x = read(path, cache=tmp_path / "cache", limit=10)
        assert isinstance(x, Table) and x.columns == ("a", "b", "c")
        np.testing.assert_array_equal(x.values[:, 1], LABELS)
        schema = Schema.of(x)
        assert schema.pack(torch.zeros(1, 3)).dtypes.tolist()[:2] == ["float64", "int64"]
    x = read(path, cache=tmp_path / "cache", limit=10, columns=["b"])
    assert x.columns == ("b",) and x.shape == (20, 1)


def test_parquet(tmp_path):
    FRAME.to_parquet(tmp_path / "x.parquet")
    pandas.testing.assert_frame_equal(read(tmp_path / "x.parquet"), FRAME)
    assert read(tmp_path / "x.parquet", columns=["b"]).columns.tolist() == ["b"]
    with pytest.raises(ValueError, match="has no column 'd': it has 'a', 'b', 'c'"):
        read(tmp_path / "x.parquet", columns=["d"])


def encoded(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: {"bytes": b, "path": "x"}])
def test_images_in_parquet(tmp_path, wrap):
    pixels = RNG.integers(0, 256, (9, 6, 5, 3)).astype(np.uint8)
    frame = pandas.DataFrame({"image": [wrap(encoded(p)) for p in pixels], "label": range(9)})
    path = tmp_path / "x.parquet"
    frame.to_parquet(path)
    assert np.array_equal(read(path), pixels)
    assert np.array_equal(read(path, key="image"), pixels)
    assert np.array_equal(read(path, cache=tmp_path, limit=10), pixels)
    assert read(path, columns=["label"]).shape == (9, 1)
    frame.assign(other=frame["image"]).to_parquet(path)
    with pytest.raises(ValueError, match=r"several columns of images, 'image', 'other': choose one \(key=…\)"):
        read(path)
    frame.assign(image=[None, *frame["image"][1:]]).to_parquet(path)
    with pytest.raises(ValueError, match=r"row 0 of .* has no image in 'image': drop that row"):
        read(path)
    pandas.DataFrame({"image": [b"no image"] * 2}).to_parquet(path)
    with pytest.raises(ValueError, match=r"row 0 of .* is damaged \(not an image\)"):
        read(path)


def folder(path, *images):
    for name, image in images:
        (path / name).parent.mkdir(exist_ok=True, parents=True)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path / name)
    return path


GREY, COLOUR = RNG.integers(0, 256, (2, 6, 8)).astype(np.uint8), RNG.integers(0, 256, (2, 6, 8, 3)).astype(np.uint8)


def test_folders_of_images(tmp_path):
    path = folder(tmp_path / "x", ("b/1.png", GREY[1]), ("a.png", GREY[0]))
    (path / "notes.txt").write_text("no image")
    assert np.array_equal(read(path), GREY)
    assert np.array_equal(read(path, cache=tmp_path / "cache", limit=10), GREY)
    mixed = read(folder(tmp_path / "y", ("a.png", GREY[0]), ("b.png", COLOUR[1])))
    assert np.array_equal(mixed[0, :, :, 2], GREY[0]) and np.array_equal(mixed[1], COLOUR[1])
    deep = (GREY.astype(np.uint16) * 200)[:1]
    assert np.array_equal(read(folder(tmp_path / "z", ("a.png", deep[0]))), deep)
    alpha = np.concatenate([COLOUR, COLOUR[..., :1]], -1)
    assert np.array_equal(read(folder(tmp_path / "w", ("a.png", alpha[0]), ("b.png", alpha[1]))), alpha)


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "x").mkdir()
    Image.fromarray(GREY[0]).save(tmp_path / "x" / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "x")[0], np.rot90(GREY[0], -1))


def test_images_are_resized(tmp_path):
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (32, 1))
    path = folder(tmp_path / "x", ("a.png", ramp), ("b.png", GREY[0]))
    x = read(path, resize=4)
    assert x.shape == (2, 4, 4) and (np.diff(x[0].astype(int), axis=1) > 20).all()
    assert abs(float(x[0].mean()) - ramp[:, 16:48].mean()) < 2
    deep = read(folder(tmp_path / "y", ("a.png", ramp.astype(np.uint16) * 200)), resize=4)
    assert deep.dtype == np.uint16 and abs(float(deep.mean()) / 200 - ramp[:, 16:48].mean()) < 2
    with pytest.raises(ValueError, match="resize is the side of the images in pixels, at least 1, got 0"):
        read(path, resize=0)


def test_images_that_do_not_fit_together(tmp_path):
    path = folder(tmp_path / "x", ("a.png", GREY[0]), ("b.png", GREY[0, :5, :4]))
    with pytest.raises(
        ValueError, match=r"differ in size: .*a.png is 8 x 6, .*b.png is 4 x 5: bring them to one, resize=4"
    ):
        read(path)
    alpha = np.concatenate([COLOUR, COLOUR[..., :1]], -1)
    path = folder(tmp_path / "y", ("a.png", COLOUR[0]), ("b.png", alpha[0]))
    with pytest.raises(ValueError, match=r"differ in their colours: .*a.png is RGB, .*b.png is RGBA: convert them"):
        read(path)
    path = folder(tmp_path / "z", ("a.tif", Image.fromarray(GREY[0].astype(np.int32))))
    with pytest.raises(ValueError, match=r"a.tif has pixels of the mode I: known are L, RGB"):
        read(path)
    (tmp_path / "w").mkdir()
    Image.fromarray(GREY[0]).save(tmp_path / "w" / "a.tif", save_all=True, append_images=[Image.fromarray(GREY[1])])
    with pytest.raises(ValueError, match=r"a.tif holds 2 pages: save them as one array, .npy"):
        read(tmp_path / "w")


def test_damaged_images(tmp_path):
    path = folder(tmp_path / "x", ("a.png", GREY[0]), ("b.png", RNG.integers(0, 256, (6, 8)).astype(np.uint8)))
    whole = (path / "b.png").read_bytes()
    (path / "b.png").write_bytes(whole[:60])
    with pytest.raises(ValueError, match=r"b.png is damaged .*: remove or replace it"):
        read(path)
    (path / "b.png").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"b.png is damaged \(not an image\): remove or replace it"):
        read(path)


def broken(name, content=b"nonsense, and more of it than a header takes" * 20):
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.npy", broken("x.npy"), "is not an array of numpy, or damaged"),
        ("x.npz", broken("x.npz"), "is truncated or damaged"),
        ("x.h5", broken("x.h5"), "is truncated or damaged"),
        ("x.nc", broken("x.nc"), "is truncated or damaged"),
        ("x.parquet", broken("x.parquet"), "is damaged or not a parquet file"),
        ("x.csv.gz", broken("x.csv.gz"), "is truncated or damaged"),
        ("x.zarr", lambda f: (f / "x.zarr").mkdir(), "is not a zarr store, or damaged: copy it again"),
        ("x.csv", broken("x.csv", b"a,b\n1,2\n1,2,3\n"), "is not a table (Error tokenizing data."),
        ("y.csv", broken("y.csv", b"\n"), "holds no rows"),
        ("x.npy", broken("x.npy", b""), "is empty (0 bytes): write or copy it again"),
        ("x.xyz", broken("x.xyz"), "is of an unknown kind, .xyz: known are .npy, .npz, .csv"),
        ("x", broken("x"), "is of an unknown kind, without suffix"),
        ("x.png", broken("x.png"), "is one image, hence one sample: pass the folder of all images"),
        ("x", lambda f: (f / "x").mkdir(), "holds no images: known are .png"),
        (
            "x.npz",
            lambda f: np.savez(f / "x.npz", a=np.zeros((3, 2)), b=np.ones((2, 3))),
            "several arrays of the same size",
        ),
        (
            "x.npz",
            lambda f: np.savez(f / "x.npz", **{f"s{i}": np.zeros((9 + i, 2)) for i in range(6)}),
            "give a table with a line for each reading, and the columns that name the row (--rows) and, of series",
        ),
        ("x.npz", lambda f: np.savez(f / "x.npz", a=np.array(["t"])), "holds no array of numbers: 'a' <U1 (1,)"),
    ],
)
def test_broken_files(tmp_path, name, write, message):
    write(tmp_path)
    with pytest.raises(ValueError) as error:
        read(tmp_path / name)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert name in str(error.value)


def test_truncated_arrays(tmp_path):
    np.save(tmp_path / "x.npy", FIELDS)
    data = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(data[:-9])
    with pytest.raises(ValueError, match=r"x.npy is truncated: its array needs \d+ bytes, it has \d+: copy it again"):
        read(tmp_path / "x.npy")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9)[:-9])
    with pytest.raises(ValueError, match=r"x.csv.gz is truncated or damaged"):
        read(tmp_path / "x.csv.gz")


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, 1], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=np.array([{}, 1], object))
    for name, key in (("x.npy", None), ("x.npz", "a")):
        with pytest.raises(TypeError, match=r"which are never unpickled: save numbers, .* if each is one series"):
            read(tmp_path / name, key=key)


def test_arrays_in_another_order_are_not_copied_wrongly(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.asfortranarray(FIELDS[0]))
    assert np.array_equal(read(tmp_path / "x.npz"), FIELDS[0])
    with pytest.raises(ValueError, match=r"'a' in .* is stored in Fortran order: save it as numpy.ascontiguousarray"):
        read(tmp_path / "x.npz", cache=tmp_path, limit=10)


def test_missing_files(tmp_path):
    (tmp_path / "train.npy").touch()
    with pytest.raises(FileNotFoundError, match=r"there is no .*trian.npy: did you mean 'train.npy'\?"):
        read(tmp_path / "trian.npy")
    with pytest.raises(FileNotFoundError, match="check the path"):
        contents(tmp_path / "far" / "away.npz")


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'reading .h5 needs h5py: pip install "scorefield\[data\]"'):
        need("h5py", "reading .h5")


def test_the_room_opens_without_optional_libraries():
    import subprocess

    names = ["pandas", "xarray", "h5py", "zarr", "netCDF4", "pyarrow", "PIL", "scipy"]
    block = f"import sys; sys.modules.update(dict.fromkeys({names}))"
    code = f"{block}; import numpy as np; from scorefield.data import Schema; Schema.of(np.zeros((3, 2)))"
    subprocess.run([sys.executable, "-c", code], check=True)
