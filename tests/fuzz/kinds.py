"""What is fuzzed: for each kind of file valid ones, how one is damaged, and what is done with it."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import signal
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutations import damaged, damaged_json, damaged_plain, damaged_safetensors, damaged_text, odd_value

import scorefield
from scorefield.cli import entry, verbs
from scorefield.data import read
from scorefield.evaluation import RunData
from scorefield.fitting import Options, prepare
from scorefield.interop import import_checkpoint
from scorefield.model import load
from scorefield.runs import Run

__all__ = ["KINDS", "Kind"]

TINY = {"steps": 2, "device": "cpu", "network": scorefield.Network(widths=(4,), depth=1)}
_SECONDS = 4.0  # after which a command is interrupted
_ROWS = 400  # up to which accepted data are also prepared as for a fit


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Arguments:
        name: What it is called.
        make: Writes valid inputs into a folder, and returns their paths.
        damage: Puts a damaged copy of one of them into another folder, and returns its path.
        use: Does with it what a user would.
    """

    name: str
    make: Callable[[Path], list[Path]]
    damage: Callable[[list[Path], Path, np.random.Generator], Any]
    use: Callable[[Any], Any]


def table(rng: np.random.Generator, rows: int = 30) -> Any:
    import pandas

    return pandas.DataFrame(
        {
            "size": rng.normal(3, 2, rows).round(3),
            "count": rng.integers(0, 9, rows),
            "kind": rng.choice(["red", "blue", "a, b"], rows),
            "day": pandas.date_range("2024-01-01", periods=rows).astype(str),
            "gap": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
        }
    )


def arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.normal(size=(24, 3)),
        rng.integers(0, 255, (12, 4, 4)).astype(np.uint8),
        rng.normal(size=(10, 2, 5)).astype(np.float32),
        np.asfortranarray(rng.normal(size=(9, 4))),
        rng.normal(size=(20,)).astype(">f8"),
        rng.integers(-5, 5, (16, 2)),
        rng.random(7) > 0.5,
    ]


def odd_array(rng: np.random.Generator) -> np.ndarray:
    """An array as few have them: of odd shape, type or values."""
    shape = tuple(rng.choice([0, 1, 2, 3, 7, 30], int(rng.integers(0, 6))))
    kind = str(rng.choice(["f2", "f4", "f8", "g", "i1", "u2", "i8", "u8", "?", "c16", "M8[s]", "m8[D]", "U4", "S3"]))
    x = rng.normal(size=shape) * 10.0 ** rng.choice([-308, -150, -30, 0, 0, 0, 30, 150, 307])
    with np.errstate(all="ignore"):
        x = np.asarray(x)
        x[rng.random(shape) < rng.choice([0, 0, 0.1, 1])] = rng.choice([np.nan, np.inf, -np.inf, 0.0])
        x = np.nan_to_num(x) * 1e-300 if kind[0] in "Mm" else x
        return x.astype(kind) if kind[0] in "fgcUS" else np.nan_to_num(x).clip(-1e18, 1e18).astype(kind)


# -- files of data -----------------------------------------------------------------------------------------------------


def use_data(path: Path) -> None:
    """What fit does before it trains."""
    x = read(path, limit=1 << 30)
    if not np.ndim(x) or len(x) <= _ROWS:
        prepare(x, Options(device="cpu"))


def by_bytes(suffix: str, again: Callable[[np.random.Generator, Path], Any] | None = None, share: float = 0.5) -> Any:
    """Damage to the bytes of a file; in a share of cases a valid file of odd content is written instead."""

    def damage(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
        path = folder / f"x{suffix}"
        if again is not None and rng.random() < share:
            with contextlib.suppress(Exception):  # what its library does not write is damaged as bytes
                again(rng, path)
                if rng.random() < 0.7:
                    return path
        whole = path if path.exists() else originals[int(rng.integers(len(originals)))]
        others = [p.read_bytes() for p in originals]
        content = whole.read_bytes()
        path.write_bytes(damaged(content, rng, others))
        return path

    return damage


def made(suffix: str, write: Callable[[Any, Path], Any], of: Callable[[np.random.Generator], list[Any]]) -> Any:
    def make(folder: Path) -> list[Path]:
        paths = []
        for i, value in enumerate(of(np.random.default_rng(0))):
            paths.append(folder / f"valid{i}{suffix}")
            write(value, paths[-1])
        return paths

    return make


def text_table(separator: str) -> Callable[[Any, Path], None]:
    return lambda frame, path: frame.to_csv(path, sep=separator, index=False)


def text_damage(suffix: str, separator: str, packed: bool) -> Any:
    def damage(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
        path, original = folder / f"x{suffix}", originals[int(rng.integers(len(originals)))]
        content = original.read_bytes()
        if rng.random() < 0.5:
            text = (gzip.decompress(content) if packed else content).decode().replace(separator, ",")
            text = damaged_text(text, rng).replace(",", separator)
            code = str(rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"]))
            plain = text.encode(code, "replace")
            content = gzip.compress(plain, 1) if packed else plain
        else:
            content = damaged(content, rng, [p.read_bytes() for p in originals])
        path.write_bytes(content)
        return path

    return damage


def odd_npy(rng: np.random.Generator, path: Path) -> None:
    """A valid array of odd content, or one with an odd header."""
    file = io.BytesIO()
    np.save(file, odd_array(rng))
    content = file.getvalue()
    if rng.random() < 0.5:
        header = content[10 : content.index(b"\n")].decode()
        for old, new in (
            ("(", "(-5, "),
            (", }", ", 'x': 1}"),
            ("False", "None"),
            ("'descr'", "'dscr'"),
            ("<f8", "|O"),
            ("(", "(("),
        ):
            header = header.replace(old, new) if rng.random() < 0.3 else header
        text = header.encode() + b"\n"
        content = content[:8] + len(text).to_bytes(2, "little") + text + content[content.index(b"\n") + 1 :]
    path.write_bytes(content)


def odd_npz(rng: np.random.Generator, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(int(rng.integers(0, 4))):
            inner = path.with_name("inner.npy")
            odd_npy(rng, inner)
            content = inner.read_bytes()
            content = damaged(content, rng, [content]) if rng.random() < 0.5 else content
            archive.writestr(f"{'a/../' * int(rng.integers(2))}{i}{rng.choice(['.npy', '.npy', '.txt', ''])}", content)


def odd_frame(rng: np.random.Generator) -> Any:
    """A table of odd columns."""
    import pandas

    rows, frame = int(rng.choice([0, 1, 2, 10, 30])), pandas.DataFrame()
    for i in range(int(rng.integers(0, 5))):
        kind, name = int(rng.integers(8)), str(rng.choice(["a", "b", "", "é", "x y", "0", "$\\bm{v}$"])) + str(i)
        if kind == 0:
            values: Any = [odd_value(rng) for _ in range(rows)]
            values = [str(v)[:50] for v in values] if rng.random() < 0.5 else values
        elif kind == 1:
            values = pandas.to_datetime(rng.integers(-(10**9), 10**10, rows), unit="s")
        elif kind == 2:
            values = pandas.Categorical(rng.choice(["a", "b"], rows)) if rows else []
        elif kind == 3:
            values = [bytes(rng.bytes(4)) for _ in range(rows)]
        elif kind == 4:
            values = [list(range(int(rng.integers(3)))) for _ in range(rows)]
        else:
            values = odd_array(rng).reshape(-1)
            values = np.resize(values, rows) if len(values) else np.zeros(rows)
        frame[name] = pandas.Series(values, index=range(rows)) if rows else []
    return frame


def odd_h5(rng: np.random.Generator, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for i in range(int(rng.integers(0, 4))):
            place = f"{'g/' * int(rng.integers(3))}{i}"
            x = odd_array(rng)
            file[place] = x.astype("S") if x.dtype.kind == "U" else x
        if rng.random() < 0.3:
            file["link"] = h5py.ExternalLink("/dev/zero", "/x") if rng.random() < 0.5 else h5py.SoftLink("/none")
        if rng.random() < 0.3:
            file.attrs["_NCProperties"] = "version=2"


def odd_dataset(rng: np.random.Generator) -> Any:
    import xarray

    names, found = ["a", "b", "c", "d", "e"], xarray.Dataset()
    for name in ("x", "y")[: int(rng.integers(1, 3))]:
        x = odd_array(rng)
        found[name] = xarray.DataArray(
            x, dims=[f"{name}{n}" for n in names[: x.ndim]], attrs={"_FillValue": 0.0} if rng.random() < 0.1 else {}
        )
    return found


def make_zarr(folder: Path) -> list[Path]:
    import xarray
    import zarr

    rng, paths = np.random.default_rng(0), [folder / "a.zarr", folder / "b.zarr", folder / "c.zarr"]
    group = zarr.open_group(str(paths[0]), mode="w")
    group.create_array("samples", data=rng.normal(size=(12, 3)), chunks=(5, 3))
    group.create_array("more", data=np.arange(4))
    xarray.Dataset({"x": (("sample", "z"), rng.normal(size=(8, 3)))}).to_zarr(paths[1], consolidated=False)
    zarr.save_array(str(paths[2]), rng.normal(size=(6, 2)), zarr_format=2)
    return paths


def damage_zarr(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
    path = folder / "x.zarr"
    if rng.random() < 0.2:
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            odd_dataset(rng).to_zarr(path, consolidated=False)
            return path
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(originals[int(rng.integers(len(originals)))], path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    for _ in range(int(rng.integers(1, 3))):
        file = files[int(rng.integers(len(files)))]
        if not file.is_file():
            continue
        content = file.read_bytes()
        kind = rng.random()
        if file.suffix == ".json" or file.name.startswith(".z"):
            kind = 0.0 if kind < 0.7 else kind
        if kind == 0:
            file.write_bytes(damaged_json(content, rng))
        elif kind < 0.8:
            file.write_bytes(damaged(content, rng, [content]))
        elif kind < 0.9:
            file.unlink()
        else:
            file.unlink()
            file.mkdir()
    return path


IMAGES = (".png", ".jpg", ".bmp", ".webp", ".tif", ".gif", ".ppm", ".pgm")


def make_images(folder: Path) -> list[Path]:
    from PIL import Image

    rng, paths = np.random.default_rng(0), []
    for suffix in IMAGES:
        paths.append(folder / f"a{suffix}")
        grey = suffix in (".pgm", ".gif")
        shape = (8, 8) if grey else (8, 8, 3)
        Image.fromarray(rng.integers(0, 255, shape).astype(np.uint8)).save(paths[-1])
    paths.append(folder / "deep.png")
    Image.fromarray(rng.integers(0, 60000, (8, 8)).astype(np.uint16)).save(paths[-1])
    return paths


def damage_images(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
    place = folder / "x"
    place.mkdir()
    chosen = originals[int(rng.integers(len(originals)))]
    for i in range(2):
        shutil.copy(chosen, place / f"{i}{chosen.suffix}")
    name = str(rng.choice([chosen.name, *(p.name for p in originals)])) if rng.random() < 0.1 else f"1{chosen.suffix}"
    (place / name).write_bytes(damaged(chosen.read_bytes(), rng, [p.read_bytes() for p in originals]))
    return place


# -- runs, models, checkpoints -----------------------------------------------------------------------------------------


def _rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(24, 2))


def make_run(folder: Path) -> list[Path]:
    x = _rows()
    np.save(folder / "x.npy", x)
    place = folder / "run"
    source = {"path": str(folder / "x.npy"), "key": None, "columns": None, "resize": None, "cache": None}
    scorefield.fit(x, place, source=source, **TINY)
    return [place]


def _copied(originals: list[Path], folder: Path) -> Path:
    return Path(shutil.copytree(originals[0], folder / "run"))


def damage_run(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
    """One of the files of plain data is damaged, in its values or its bytes, or another thing stands in its place."""
    place = _copied(originals, folder)
    path = place / str(rng.choice(["run.json", "run.json", "fit.json", "log.jsonl"]))
    content, kind = path.read_bytes(), rng.random()
    if kind < 0.75 and path.suffix == ".json":
        path.write_bytes(damaged_json(content, rng))
    elif kind < 0.75:
        lines = content.splitlines()
        lines[int(rng.integers(len(lines)))] = damaged_json(lines[0], rng)
        path.write_bytes(b"\n".join(lines))
    elif kind < 0.96:
        path.write_bytes(damaged(content, rng, [content]))
    else:
        path.unlink()
        (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero"), lambda: None)[
            int(rng.integers(4))
        ]()
    return place


def use_run(place: Path) -> None:
    """What info, evaluate and a second fit do first."""
    run = Run(place)
    repr(run)
    with contextlib.redirect_stdout(io.StringIO()):
        verbs.info(place)
    data = RunData.of(run)
    if run.ended:
        run.read("fit.json")
    scorefield.fit(_rows(), place, **TINY)
    del data


def damage_state(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
    place = _copied(originals, folder)
    for name in ("fit.json", "model.safetensors"):
        (place / name).unlink()
    _damage_tensors(place / "training.safetensors", rng)
    return place


def _damage_tensors(path: Path, rng: np.random.Generator) -> None:
    content, kind = path.read_bytes(), rng.random()
    if kind < 0.6:
        path.write_bytes(damaged_safetensors(content, rng))
    elif kind < 0.97:
        path.write_bytes(damaged(content, rng, [content]))
    else:
        path.unlink()
        (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero"))[int(rng.integers(3))]()


def use_state(place: Path) -> None:
    scorefield.fit(_rows(), place, **TINY)


def damage_model(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
    path = folder / "model.safetensors"
    shutil.copy(originals[0] / "model.safetensors", path)
    _damage_tensors(path, rng)
    return path


def make_checkpoints(folder: Path) -> list[Path]:
    """State dicts of the networks of other codes, which ours can hold under their names."""
    from scorefield.nn.refinenet import RefineNet
    from scorefield.nn.tutorial import TutorialUNet

    paths = [folder / "ncsnv2.pth", folder / "tutorial.pth", folder / "list.pt"]
    state = {f"module.{k}": v for k, v in RefineNet(1, 4, 4).state_dict().items()}
    torch.save({**state, "module.sigmas": torch.linspace(1, 0.1, 3)}, paths[0])
    torch.save(TutorialUNet(1, (4, 4, 4, 4), 8).state_dict(), paths[1])
    torch.save([{**state, "module.sigmas": torch.linspace(1, 0.1, 3)}, {"lr": 0.1}, 3, 100, state], paths[2])
    return paths


def damage_checkpoint(originals: list[Path], folder: Path, rng: np.random.Generator) -> Path:
    chosen = originals[int(rng.integers(len(originals)))]
    path, kind = folder / f"x{chosen.suffix}", rng.random()
    if kind < 0.6:
        path.write_bytes(chosen.read_bytes())
        content = torch.load(chosen, weights_only=True)
        with contextlib.suppress(NotImplementedError, RuntimeError):  # of sparse tensors
            torch.save(_odd_state(content, rng), path, _use_new_zipfile_serialization=bool(rng.random() < 0.7))
    else:
        path.write_bytes(damaged(chosen.read_bytes(), rng, [p.read_bytes() for p in originals]))
    if rng.random() < 0.2:
        (folder / "config.yml").write_text(
            damaged_text("model:\n  ngf: 4\n  nonlinearity: elu\ndata:\n  image_size: 8\n", rng)
        )
    return path


def _odd_state(content: Any, rng: np.random.Generator) -> Any:
    """A checkpoint whose tensors have other names, shapes, types or values, or are something else."""
    if isinstance(content, list):
        content = list(content)
        place = int(rng.integers(len(content)))
        content[place] = _odd_state(content[place], rng) if rng.random() < 0.6 else odd_value(rng)
        return content
    if not isinstance(content, dict) or not content:
        return odd_value(rng)
    content = dict(content)
    names = list(content)
    for _ in range(int(rng.integers(1, 4))):
        name, kind = str(names[int(rng.integers(len(names)))]), int(rng.integers(8))
        value = content.get(name)
        if kind == 0:
            content.pop(name, None)
        elif kind == 1:
            content[str(rng.choice(["x", "model", "sigmas", "module.sigmas", ""]))] = odd_value(rng)
        elif kind == 2:
            content[name] = odd_value(rng)
        elif isinstance(value, torch.Tensor):
            wide = value if value.ndim == 0 else value[: int(rng.integers(len(value) + 1))]
            content[name] = [
                wide,
                value * float("nan"),
                value.to(torch.int8),
                value.to_sparse() if value.ndim else value,
                value[None],
            ][kind - 3]
    return {"model": content, "ema": odd_value(rng)} if rng.random() < 0.1 else content


# -- configurations and flags ------------------------------------------------------------------------------------------

CONFIG = """seed = 1
held_out = 0.1
structure = "vector"
columns = ["a", "b"]
units = [0.0, 1.0]
bounds = {share = "0:1", load = [0, 5]}
kinds = {day = "date"}
[fit]
steps = 10
batch = 8
widths = [4, 4]
periodic = true
process = "vp"
[sample]
count = 3
output = "new.npy"
sampler = "ddim(eta=1)"
"""


def make_config(folder: Path) -> list[Path]:
    (folder / "a.toml").write_text(CONFIG)
    return [folder / "a.toml"]


def damage_config(originals: list[Path], folder: Path, rng: np.random.Generator) -> tuple[str, Path]:
    path, kind = folder / "x.toml", rng.random()
    if kind < 0.65:
        lines = CONFIG.split("\n")
        for _ in range(int(rng.integers(1, 4))):
            row = int(rng.integers(len(lines)))
            name = lines[row].partition("=")[0]
            with contextlib.suppress(ValueError, TypeError):
                lines[row] = (
                    f"{name}= {json.dumps(odd_value(rng))}"
                    if name.strip()
                    else str(rng.choice(["[x]", "[[fit]]", "[fit.x]"]))
                )
        path.write_text("\n".join(lines))
    elif kind < 0.85:
        path.write_text(damaged_text(CONFIG, rng).encode("utf-8", "replace").decode())
    elif kind < 0.97:
        path.write_bytes(damaged(CONFIG.encode(), rng, [CONFIG.encode()]))
    elif kind < 0.98:
        path.write_text("a = " + "[" * 3000)
    else:
        (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero"), lambda: None)[
            int(rng.integers(4))
        ]()
    return str(rng.choice(["fit", "sample"])), path


def use_config(given: tuple[str, Path]) -> None:
    verb, path = given
    words = {"fit": ["fit", "x.npy", "-o", "run"], "sample": ["sample", "run", "-n", "2", "-o", "y.npy"]}[verb]
    entry.app.parse_args([*words, "--config", str(path)], print_error=False, exit_on_error=False)


VERBS = {
    "fit": ["fit", "{data}", "--output", "{new}", "--steps", "1", "--widths", "4", "--depth", "1", "--device", "cpu"],
    "sample": ["sample", "{run}", "--count", "3", "--output", "{new}.npy", "--steps", "2", "--device", "cpu"],
    "logprob": ["logprob", "{run}", "{data}", "--count", "2", "--device", "cpu"],
    "noise-levels": ["noise-levels", "{data}"],
    "info": ["info", "{run}"],
    "impute": ["impute", "{run}", "{data}", "--output", "{new}.npy", "--device", "cpu"],
    "posterior": [
        "posterior",
        "{run}",
        "{y}",
        "--operator",
        "mask",
        "--noise",
        "0.1",
        "--count",
        "2",
        "--output",
        "{new}.npy",
    ],
    "evaluate": ["evaluate", "{run}", "--count", "20"],
    "import": ["import", "auto", "{data}", "--output", "{new}"],
}
_WORDS = (
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "9" * 30,
    "",
    " ",
    "é💥",
    "heun(",
    "ddim(eta=1e9)",
    "vp(a=b)",
    "a=b",
    "=",
    "1,2",
    "(1,)",
)
_WORDS += (
    "heun(steps=-1)",
    "karras(rho=0)",
    "true",
    "/dev/null",
    "/",
    "..",
    "~",
    "\x01",
    "'x'",
    "[1]",
    "None",
    "mlp",
    "cuda:99",
    "meta",
    "0:1",
    "x=1:0",
)
_WORDS += (
    "1e-320",
    "2",
    "3.7",
    "auto",
    "last",
    "mask('y.npy')",
    "blur(width=0)",
    "twistedparticles(9)",
    "poisson(gain=-1)",
    "dps",
    "linear(((1,2),(3,4)))",
)


_INTEGERS = ("-1", "0", "1", "2", "3", "7", "65", "1000000000", "9" * 30, "-999")
_NUMBERS = (
    "-1",
    "0",
    "1",
    "2",
    "3",
    "7",
    "1000000000",
    "9" * 30,
    "nan",
    "inf",
    "-inf",
    "1e-320",
    "0.5",
    "1e300",
    "-0",
    "1e9",
    "1.5",
)


def make_flags(folder: Path) -> list[Path]:
    np.save(folder / "y.npy", [0.3, np.nan])
    return [*make_run(folder), folder / "x.npy", folder / "y.npy"]


def damage_flags(originals: list[Path], folder: Path, rng: np.random.Generator) -> list[str]:
    """A command with odd values in the place of its own, or for options that it lacks."""
    verb = str(rng.choice(list(VERBS)))
    found = entry.names_of(entry.app[verb].assemble_argument_collection())
    names = [f"--{name.replace('_', '-')}" for name in found if name != "tensorboard"] or ["--config"]
    places = {"data": str(originals[1]), "run": str(originals[0]), "new": str(folder / "new"), "y": str(originals[2])}
    words = [word.format(**places) for word in VERBS[verb]]
    for _ in range(int(rng.integers(1, 3))):
        flag = str(rng.choice(names))
        hint, typed = str(getattr(found.get(flag[2:].replace("-", "_")), "hint", "")), rng.random() < 0.85
        some = _INTEGERS if typed and "int" in hint else _NUMBERS if typed and "float" in hint else _WORDS
        values = [str(word) for word in rng.choice(some, int(rng.choice([0, *[1] * 15, 2, 2])))]
        if rng.random() < 0.1:
            words[int(rng.integers(len(words)))] = str(rng.choice(_WORDS))
        elif flag in words:
            at = words.index(flag)
            words[at : at + 2] = [flag, *values]
        else:
            words += [flag, *values]
    return words


class RefusedError(Exception):
    """A command that gave one line."""


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def use_flags(words: list[str]) -> None:
    """Runs a command; one that was asked for much, and works on it, is interrupted."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, _SECONDS)
        try:
            status = entry.main(words)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    lines = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
    if status in (0, 130) and not lines:
        return
    if status in (1, 2) and len(lines) == 1 and "Traceback" not in err.getvalue():
        raise RefusedError(lines[0])
    raise RuntimeError(f"status {status}: {err.getvalue()[-300:]}")


def _data(name: str, suffix: str, make: Any, damage: Any) -> Kind:
    return Kind(name, make, damage, use_data)


def _tables(rng: np.random.Generator) -> list[Any]:
    return [table(rng), table(rng)[["size", "count"]], table(rng, 12)[["kind", "gap"]]]


KINDS = [
    _data("csv", ".csv", made(".csv", text_table(","), _tables), text_damage(".csv", ",", False)),
    _data("csv.gz", ".csv.gz", made(".csv.gz", text_table(","), _tables), text_damage(".csv.gz", ",", True)),
    _data("tsv", ".tsv", made(".tsv", text_table("\t"), _tables), text_damage(".tsv", "\t", False)),
    _data("npy", ".npy", made(".npy", lambda x, p: np.save(p, x), arrays), by_bytes(".npy", odd_npy)),
    _data(
        "npz",
        ".npz",
        made(".npz", lambda x, p: np.savez_compressed(p, a=x, b=x[:3]), arrays),
        by_bytes(".npz", odd_npz),
    ),
    _data(
        "parquet",
        ".parquet",
        made(".parquet", lambda frame, path: frame.to_parquet(path), _tables),
        by_bytes(".parquet", lambda rng, path: odd_frame(rng).to_parquet(path), 0.4),
    ),
    _data("h5", ".h5", made(".h5", lambda x, path: _h5(x, path), arrays), by_bytes(".h5", odd_h5, 0.4)),
    _data(
        "nc",
        ".nc",
        made(".nc", lambda x, path: x.to_netcdf(path), lambda rng: [_named(rng)]),
        by_bytes(".nc", lambda rng, path: odd_dataset(rng).to_netcdf(path), 0.3),
    ),
    _data("zarr", ".zarr", make_zarr, damage_zarr),
    _data("images", "", make_images, damage_images),
    Kind("run", make_run, damage_run, use_run),
    Kind("state", make_run, damage_state, use_state),
    Kind("model", make_run, damage_model, load),
    Kind("checkpoint", make_checkpoints, damage_checkpoint, import_checkpoint),
    Kind("toml", make_config, damage_config, use_config),
    Kind("flags", make_flags, damage_flags, use_flags),
]
"""The kinds of input; that of Excel where its library is installed."""


def _h5(x: np.ndarray, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("group/x", data=x, compression="gzip" if x.ndim > 1 else None)
        file["y"] = x[:3]


def _named(rng: np.random.Generator) -> Any:
    import xarray

    return xarray.Dataset({"x": (("sample", "z"), rng.normal(size=(8, 3)))}, coords={"z": [1.0, 2.0, 4.0]})


if find_spec("openpyxl") is not None:
    KINDS.append(
        _data(
            "xlsx",
            ".xlsx",
            made(".xlsx", lambda frame, path: frame.to_excel(path, index=False), _tables),
            by_bytes(".xlsx", lambda rng, path: odd_frame(rng).to_excel(path), 0.4),
        )
    )

__all__ += ["RefusedError", "damaged_plain"]
