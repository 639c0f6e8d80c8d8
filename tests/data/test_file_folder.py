"""Folders of many files as one data set."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scorefield.data import Schema, read
from scorefield.data.formats import FORMATS

RNG = np.random.default_rng(0)


def arrays(folder, *parts):
    for i, part in enumerate(parts):
        np.save(folder / f"part-{i:03}.npy", part)
    return folder


@pytest.mark.parametrize("limit", [2 << 30, 100])
def test_arrays_follow_each_other_by_name(tmp_path, limit):
    (tmp_path / "data").mkdir()
    x = RNG.normal(size=(1100, 2, 3))
    folder = arrays(tmp_path / "data", *np.split(x, [500, 500, 730]))
    found = read(folder, cache=tmp_path / "cache", limit=limit)
    assert isinstance(found, np.memmap) == (limit == 100)
    assert np.array_equal(found, x)
    rows = Schema.of(found).rows(found)
    assert np.array_equal(rows.take([729, 730, 0]).numpy()[:, 0], x[[729, 730, 0]].astype(np.float32))


@pytest.mark.parametrize("limit", [2 << 30, 100])
def test_tables_follow_each_other_by_name(tmp_path, limit):
    (tmp_path / "data").mkdir()
    frame = pd.DataFrame({"a": RNG.normal(size=90), "b": RNG.integers(0, 5, 90)})
    frame[:40].to_parquet(tmp_path / "data" / "a.parquet")
    frame[40:].to_parquet(tmp_path / "data" / "b.pq")
    found = read(tmp_path / "data", cache=tmp_path / "cache", limit=limit)
    assert list(found.columns) == ["a", "b"]
    values = found.values if limit == 100 else found.to_numpy()
    assert np.array_equal(values, frame.to_numpy())
    assert list(read(tmp_path / "data", columns=["b"]).columns) == ["b"]


def test_files_that_do_not_belong_together_are_named(tmp_path):
    arrays(tmp_path, np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(
        ValueError, match=r"part-001.npy has float64 rows of shape \(4,\), part-000.npy float64 of \(2,\)"
    ):
        read(tmp_path)
    (tmp_path / "part-001.npy").unlink()
    with pytest.raises(ValueError, match="columns= is for tables"):
        read(tmp_path, columns=["a"])
    pd.DataFrame({"a": [1.0]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"holds files of \.npy and \.parquet"):
        read(tmp_path)
    (tmp_path / "part-000.npy").unlink()
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(
        ValueError, match=r"b.parquet and a.parquet differ in columns or types \(a \(double\), a \(int64\)\)"
    ):
        read(tmp_path)
    (tmp_path / "b.parquet").unlink()
    with pytest.raises(ValueError, match=r"a.parquet has no column 'c': it has a"):
        read(tmp_path, columns=["c"])
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"a\.parquet is damaged or not a parquet file"):
        read(tmp_path)


def test_a_folder_of_images_with_labels_is_one_of_images(tmp_path):
    from PIL import Image

    np.save(tmp_path / "labels.npy", np.zeros(2))
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name)
    assert read(tmp_path).shape == (2, 4, 4)
    assert [f.name for f in FORMATS if f.recognizes(tmp_path)] == ["image folder"]


@pytest.mark.parametrize("part", [np.array(3.0), np.array([{}], dtype=object)])
def test_files_without_rows_of_numbers_are_refused(tmp_path, part):
    np.save(tmp_path / "a.npy", part)
    with pytest.raises(
        ValueError, match=r"a.npy holds (one number, not rows|Python objects, which are never unpickled)"
    ):
        read(tmp_path)
