"""What goes wrong while a file is read becomes one line; a slip of our own code does not."""

from __future__ import annotations

import errno
import gzip
import os
import pickle
import shutil
import socket
import zlib

import numpy as np
import pytest

import scorefield
from scorefield.cli import main
from scorefield.data import check, read
from scorefield.data.schema import Schema
from scorefield.destinations import check_folder, check_writable
from scorefield.reading import FileError, deliberate, reading, regular, text_of
from scorefield.runs import Run

TINY = {"steps": 3, "device": "cpu", "network": scorefield.Network(widths=(8,), depth=1)}
X = np.random.default_rng(0).normal(size=(40, 2))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    np.save(folder / "x.npy", X)
    scorefield.fit(X, folder / "run", source={"path": str(folder / "x.npy")}, **TINY)
    return folder


def said(*words, capsys):
    capsys.readouterr()
    status = main([str(word) for word in words])
    return status, capsys.readouterr().err


@pytest.mark.parametrize("error", [zlib.error("x"), EOFError(), IndexError("x"), KeyError("x"), RecursionError("deep")])
def test_whatever_a_library_raises_names_the_file(error):
    with (
        pytest.raises(FileError, match=r"^data\.npz is truncated or damaged \(.+\): use another") as raised,
        reading("data.npz", "use another"),
    ):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (PermissionError(13, "Permission denied"), PermissionError, "no permission for a.npy: change its permissions"),
        (MemoryError(), ValueError, "a.npy does not fit into memory: use a smaller one"),
        (
            OSError(errno.EIO, "x"),
            OSError,
            "could not be read .*Input/output error.: try again, it need not be damaged",
        ),
        (FileNotFoundError(2, "x"), FileNotFoundError, "a.npy was removed while it was read"),
        (OSError(errno.ENOSPC, "full"), OSError, "full"),
        (ImportError("no codec"), ImportError, "a.npy needs a library"),
    ],
)
def test_errors_of_the_system_are_kept_apart(error, kind, message):
    with pytest.raises(kind, match=message), reading("a.npy"):
        raise error


def test_messages_of_the_package_pass_and_slips_do_not():
    with pytest.raises(FileNotFoundError) as meant:
        regular("/none/x")
    assert deliberate(meant.value)
    for slip in (lambda: None + 1, lambda: [][0], lambda: int("x"), lambda: np.zeros(3).reshape(2)):
        with pytest.raises(Exception) as slipped:
            slip()
        assert not deliberate(slipped.value)


def special_files(folder):
    os.mkfifo(folder / "fifo")
    (folder / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as opened:
        here = os.getcwd()
        os.chdir(folder)
        opened.bind("socket")
        os.chdir(here)
    return [folder / name for name in ("fifo", "device", "socket")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.timeout(60)
def test_special_files_are_refused_wherever_a_file_is_read(tmp_path, finished, capsys):
    for path in special_files(tmp_path):
        kind = path.name
        for suffix in (".npy", ".csv.gz", ".parquet", ".h5", ".safetensors", ".pth", ".toml"):
            link = tmp_path / f"{kind}{suffix}"
            link.symlink_to(path)
        for name in (".npy", ".csv.gz", ".parquet", ".h5"):
            with pytest.raises(ValueError, match=rf"is a {kind.replace('fifo', 'FIFO')}"):
                read(tmp_path / f"{kind}{name}")
        for words in (
            ["sample", tmp_path / f"{kind}.safetensors", "-n", 2, "-o", tmp_path / "new.npy"],
            ["import", "auto", tmp_path / f"{kind}.pth", "-o", tmp_path / "imported"],
            ["noise-levels", finished / "x.npy", "--config", tmp_path / f"{kind}.toml"],
        ):
            status, text = said(*words, capsys=capsys)
            assert status in (1, 2) and text.count("\n") == 1 and "name a regular file" in text, text
        for name in ("run.json", "fit.json", "log.jsonl", "model.safetensors"):
            run = tmp_path / "run"
            shutil.copytree(finished / "run", run)
            (run / name).unlink()
            (run / name).symlink_to(path)
            with pytest.raises((ValueError, FileNotFoundError)):
                scorefield.evaluate(run)
                _ = Run(run).log
            shutil.rmtree(run)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet", ".h5"])
def test_a_pickle_is_said_to_be_one(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(pickle.dumps(X))
    with pytest.raises(ValueError, match=r"is a pickle, which is never read since it can run code"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "is a page of HTML"),
        (bytes(400), "begins with zeros alone, as a copy"),
    ],
)
def test_what_a_file_is_instead(tmp_path, content, message):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "x.npz")


def test_one_flipped_byte_in_a_packed_table(tmp_path):
    packed = bytearray(gzip.compress(("a,b\n" + "1.5,2.5\n" * 200).encode()))
    packed[len(packed) // 2] ^= 1
    (tmp_path / "x.csv.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=r"x\.csv\.gz is truncated or damaged .*: copy it again"):
        read(tmp_path / "x.csv.gz")


def test_text_has_a_limit(tmp_path):
    with open(tmp_path / "x.toml", "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValueError, match="has 1,073,741,824 bytes, and at most 67,108,864 are read"):
        text_of(tmp_path / "x.toml")


def test_a_toml_file_nested_too_deeply(tmp_path, finished, capsys):
    (tmp_path / "deep.toml").write_text("a = " + "[" * 3000)
    status, text = said("noise-levels", finished / "x.npy", "--config", tmp_path / "deep.toml", capsys=capsys)
    assert (
        status == 2 and text.count("\n") == 1 and "deep.toml is truncated or damaged (it is nested too deeply)" in text
    )


@pytest.mark.parametrize("content", ["{}", '{"asked": 3}', '{"asked": {}}', "[" * 100_000, "\udcff"])
def test_a_damaged_record_is_one_line(tmp_path, finished, capsys, content):
    shutil.copytree(finished / "run", tmp_path / "run")
    (tmp_path / "run" / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    for verb in ("info", "evaluate", "report"):
        status, text = said(verb, tmp_path / "run", capsys=capsys)
        assert status == 1 and text.count("\n") == 1 and "run.json" in text, text


def test_a_defect_is_called_so(finished, monkeypatch, capsys):
    monkeypatch.setattr("scorefield.data.read", lambda **options: None + 1)
    words = ["noise-levels", finished / "x.npy"]
    status, text = said(*words, capsys=capsys)
    assert status == 70 and text.count("\n") == 1
    assert (
        text.startswith("error: this is a defect of scorefield: TypeError: unsupported operand") and "--debug" in text
    )
    status, text = said(*words, "--debug", capsys=capsys)
    assert status == 70 and "Traceback (most recent call last)" in text and text.count("error: this is a defect") == 1


def test_debug_shows_where_a_mistake_was_found(tmp_path, capsys):
    status, text = said("noise-levels", "--debug", tmp_path / "none.npy", capsys=capsys)
    assert status == 1 and "Traceback" in text and text.splitlines()[-1].startswith("error: there is no")


def test_memory_that_does_not_suffice_is_no_defect(finished, monkeypatch, capsys):
    def read_all(**options):
        np.zeros(1 << 44)

    monkeypatch.setattr("scorefield.data.read", read_all)
    status, text = said("noise-levels", finished / "x.npy", capsys=capsys)
    assert status == 1 and "memory does not suffice" in text


def denied(*arguments, **options):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_whether_results_can_be_written_is_asked_before_the_work(tmp_path, finished, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    monkeypatch.setattr("scorefield.data.read", lambda *a, **o: pytest.fail("the work has begun"))
    monkeypatch.setattr("scorefield.evaluation.runs.read", lambda *a, **o: pytest.fail("the work has begun"))
    run, x = finished / "run", finished / "x.npy"
    for words in (
        ["fit", x, "-o", tmp_path / "new"],
        ["sample", run, "-n", 3, "-o", tmp_path / "a.npy"],
        ["evaluate", run],
        ["report", run],
        ["compare", run],
        ["diagnose", run],
        ["logprob", run, x, "-o", tmp_path / "a.csv"],
        ["impute", run, x, "-o", tmp_path / "a.csv"],
        ["noise-levels", x, "-o", tmp_path / "a.png"],
        ["import", "auto", x, "-o", tmp_path / "new"],
        ["posterior", run, x, "--operator", "mask", "--noise", 1, "-n", 2, "-o", tmp_path / "a.npy"],
    ):
        status, text = said(*words, capsys=capsys)
        assert status == 1 and "cannot be written (Permission denied): change the permissions of the folder" in text, (
            text
        )


def test_places_for_results(tmp_path):
    (tmp_path / "file").write_text("a")
    check_writable(tmp_path / "new.npy")
    check_folder(tmp_path / "a" / "b" / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ValueError, match="is a folder: name a file"):
        check_writable(tmp_path)
    with pytest.raises(ValueError, match="file is a file: name another folder"):
        check_folder(tmp_path / "file" / "run")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        check(tmp_path / "none" / "x.npy", Schema.of(X))


def test_a_folder_that_is_removed_while_training_says_so(tmp_path):
    def remove(progress):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)

    with pytest.raises(OSError, match=r"the folder .*run was removed meanwhile: make it again"):
        scorefield.fit(X, tmp_path / "run", watch=remove, **TINY)


def test_a_heap_that_the_library_of_hdf5_would_read_for_ever(tmp_path):
    """What is free in a global heap has a size; with 0 its library never ends, and cannot be interrupted."""
    import xarray

    coordinates = {"z": [1.0, 2.0, 4.0]}
    xarray.Dataset({"x": (("sample", "z"), np.ones((8, 3)))}, coords=coordinates).to_netcdf(
        tmp_path / "x.nc", engine="netcdf4"
    )
    assert read(tmp_path / "x.nc").shape == (8, 3)
    content = bytearray((tmp_path / "x.nc").read_bytes())
    heap = content.index(b"GCOL")
    at = heap + 16
    while int.from_bytes(content[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = bytes(8)
    for name in ("damaged.nc", "damaged.h5"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is truncated or damaged .the global heap at byte {heap}"):
            read(tmp_path / name)
