"""Hostile model files, made by small generators: what they claim, name, nest and hide.

`cases()` gives names and functions that write a file. Run as a program, it loads each of the files named after a folder, in one
process, and prints what came of it: `python corpus.py FOLDER NAME …`.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import struct
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes

__all__ = ["MARK", "cases"]

MODELS = Path(__file__).parents[1] / "v0_1_0" / "models"
MARK = "executed"  # a file that code of a hostile file would write
HUGE = (10**6, 2**40, -1)
FOREIGN = ("os.system", "subprocess.Popen", "builtins.eval", "builtins.open", "pathlib.Path", "importlib.import_module")
FOREIGN += (
    "torch.nn.Linear",
    "torch.load",
    "numpy.load",
    "shutil.rmtree",
    "scorefield",
    "",
    ".",
    "..os.system",
    "a b.C",
)
OWN = ("data.FileRows", "data.rows.FileRows", "data.cache.Store", "runs.session.Session", "runs.log.Log", "data.read")
OWN += (
    "checkpoint.os.system",
    "checkpoint.Path",
    "spec._Builder",
    "fitting.Plan",
    "fitting.Prepared",
    "settings.Training",
)
OWN += ("processes.VP", "samplers.Heun", "cli.options.Drawing", "measurement.Simulator", "measurement.Function", "load")
Writer = Callable[[Path], None]


def content(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors of a model of 0.1.0, and what is said about them."""
    with safe_open(MODELS / f"{name}.safetensors", "pt") as file:
        about = json.loads(file.metadata()["scorefield"])
        return {k: file.get_tensor(k) for k in file.keys()}, about  # noqa: SIM118


def written(tensors: dict[str, Any], about: Any) -> Writer:
    text = about if isinstance(about, str) else json.dumps(about)
    return lambda path: path.write_bytes(to_bytes(tensors, {"scorefield": text})) and None


def places(value: Any, owner: str = "", where: tuple[Any, ...] = ()) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """The arguments of all objects in a description: whose they are, the path to them, and their value."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, str(value.get("class", owner)), (*where, key))
    elif isinstance(value, list):
        yield f"{owner} {where[-1]}", where, value
        for i, each in enumerate(value):
            yield from places(each, owner, (*where, i))
    else:
        yield f"{owner} {where[-1] if isinstance(where[-1], str) else where[-2]}", where, value


def changed(about: dict[str, Any], where: tuple[Any, ...], value: Any) -> dict[str, Any]:
    other = copy.deepcopy(about)
    place = other["spec"]
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return other


def exaggerated() -> Iterator[tuple[str, Writer]]:
    """Every whole number and every list that any model has, as large as it can be claimed; and the wrong kind of value."""
    seen = set[str]()
    for file in sorted(MODELS.glob("*.safetensors")):
        tensors, about = content(file.stem)
        if "spec" not in about:
            continue
        for name, where, value in places(about["spec"]):
            kind = type(value).__name__
            if f"{name} {kind}" in seen or where[-1] == "class":
                continue
            seen.add(f"{name} {kind}")
            wrong: tuple[Any, ...] = HUGE if kind == "int" else ()
            wrong = (value * (200_000 // max(1, len(json.dumps(value)))) or [1] * 1000, {}) if kind == "list" else wrong
            wrong = ("x" * 10**5,) if kind == "str" else wrong
            wrong = (1e308, -1.0, "nan") if kind == "float" else wrong
            for i, each in enumerate(wrong):
                yield f"{file.stem} {name} {kind} {i}", written(tensors, changed(about, where, each))


def named() -> Iterator[tuple[str, Writer]]:
    """Classes that no file may name, at the root and inside."""
    tensors, about = content("numbers")
    for path in (*FOREIGN, *(f"scorefield.{name}" for name in OWN)):
        for kept in ({}, {"args": f"touch {MARK}", "path": MARK}):
            described = {"class": path, "arguments": kept}
            yield f"root {path} {len(kept)}", written({}, {"format": 2, "version": "0", "spec": described})
        inside = changed(about, ("arguments", "denoiser"), {"class": path, "arguments": {"path": MARK}})
        yield f"inside {path}", written(tensors, inside)


def wide(depth: int, width: int, **more: Any) -> dict[str, Any]:
    network = {"class": "scorefield.nn.MLP", "arguments": {"features": 2, "width": width, "depth": depth, **more}}
    kept = {"network": network, "parametrization": None, "precision": "float32"}
    return {"format": 2, "version": "0", "spec": {"class": "scorefield.denoisers.Preconditioned", "arguments": kept}}


def described() -> Iterator[tuple[str, Writer]]:
    """Descriptions that are too deep, too long, or not descriptions; and tensors that are not there."""
    yield "width 20,000", written({}, wide(3, 20_000))
    yield "depth 1,000,000", written({}, wide(1_000_000, 1))
    yield "depth 2**62", written({}, wide(2**62, 2))
    yield "width 2**62", written({}, wide(1, 2**62))
    yield "context 2**40", written({}, wide(1, 2, context=2**40))
    yield (
        "a full tensor, ten times too narrow",
        written({"state.network.input.weight": torch.zeros(2**20)}, wide(3, 8000)),
    )
    for depth in (100, 5_000, 200_000):
        yield f"lists {depth} deep", written({}, '{"format": 2, "spec": ' + "[" * depth + "]" * depth + "}")
        text = '{"class": "scorefield.denoisers.Guided", "arguments": {"denoiser": ' * depth + "1" + "}}" * depth
        yield f"objects {depth} deep", written({}, '{"format": 2, "spec": ' + text + "}")
    for length in (10**6, 7 * 10**6):
        yield f"{length} lists", written({}, '{"format": 2, "spec": [' + "[]," * length + "1]}")
    for number in (-1, 10**9, 2**80, "0", None, 0.5, []):
        yield f"tensor {number}", written({}, {"format": 2, "spec": {"tensor": number}})
    for odd in (
        None,
        0,
        "x",
        [],
        {},
        {"class": 5, "arguments": {}},
        {"class": "a", "arguments": []},
        {"external": "x"},
    ):
        yield f"spec {odd}", written({}, {"format": 2, "spec": odd})
    for about in (
        "",
        "null",
        "[]",
        "NaN",
        '{"format": 2}',
        '{"format": 1e999}',
        '{"format": 3}',
        '{"format": [1]}',
        "{",
    ):
        yield f"about {about}", written({}, about)


def lying() -> Iterator[tuple[str, Writer]]:
    """Headers of .safetensors files that lie."""

    def raw(header: Any, data: bytes = b"\0" * 16, length: int | None = None) -> Writer:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return lambda path: (
            path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data) and None
        )

    def tensor(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
        return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}

    for length in (0, 1, 2**31, 2**63, 2**64 - 1):
        yield f"length {length}", raw({}, length=length)
    for shape in ((2**40,), (2**62, 2**62), (-4,), (1.5,), ("4",), (0, 2**62), [[4]], 4):
        yield f"shape {shape}", raw(tensor(shape=shape))
    for offsets in ((0, 2**40), (16, 0), (-16, 0), (0,), (8, 24), (2**64, 2**64 + 16), None):
        yield f"offsets {offsets}", raw(tensor(offsets=offsets))
    for dtype in ("F128", "object", 5, None, "f32"):
        yield f"dtype {dtype}", raw(tensor(dtype=dtype))
    yield "two in one place", raw({**tensor(), "b": tensor()["a"]})
    yield "no JSON", raw(b"\xff\xfe" * 50)
    yield "metadata of numbers", raw({"__metadata__": {"scorefield": 5}, **tensor()})
    yield "a name twice", raw(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{}}')
    yield "deep JSON", raw(b"[" * 100_000)
    yield (
        "many names",
        raw({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}, b""),
    )
    for name, data in (
        ("empty", b""),
        ("zeros", b"\0" * 100),
        ("text", b"hello\n" * 50),
        ("pickle", pickle.dumps([1])),
    ):
        yield f"raw {name}", lambda path, data=data: path.write_bytes(data) and None


class Runs:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {MARK}",)


class Opens:
    def __reduce__(self) -> Any:
        return open, (MARK, "w")


def released() -> Iterator[tuple[str, Writer]]:
    """Files of `torch.save`: code, tensors that claim more than they hold, archives that unpack to more."""

    def saved(value: Any, **how: Any) -> Writer:
        return lambda path: torch.save(value, path, **how)

    for kind in (Runs, Opens):
        for where in ([kind()], {"model": kind()}, OrderedDict(a=torch.zeros(2), b=kind())):
            for zipped in (True, False):
                name = f"{kind.__name__} in a {type(where).__name__} {zipped}.pth"
                yield name, saved(where, _use_new_zipfile_serialization=zipped)
        yield f"pickled {kind.__name__}.pth", lambda path, kind=kind: path.write_bytes(pickle.dumps(kind())) and None
    name = "begin_conv.weight"
    for shape in ((30_000, 30_000), (2**40,), (2**20, 2**20, 2**20)):
        for zipped in (True, False):
            wide = torch.zeros(1).expand(shape)
            yield f"expanded {shape} {zipped}.pth", saved({name: wide}, _use_new_zipfile_serialization=zipped)
    yield "a whole module.pth", saved(torch.nn.Linear(2, 2))
    shared: Any = []
    for _ in range(60):
        shared = [shared, shared]
    yield "lists that share lists.pth", saved(shared)
    yield "many numbers.pth", saved([0.5] * 500_000)
    yield "sparse.pth", lambda path: torch.save({name: torch.sparse_coo_tensor([[0]], [1.0], (2**40,))}, path)

    def bomb(path: Path) -> None:
        inside = io.BytesIO()
        torch.save({name: torch.zeros(60_000_000)}, inside)
        with zipfile.ZipFile(inside) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for entry in source.infolist():
                target.writestr(entry.filename, source.read(entry))

    yield "compressed.pth", bomb

    def slip(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as target:
            target.writestr(f"../{MARK}", b"x")
            target.writestr("archive/data.pkl", b"x")

    yield "a path out of the archive.pth", slip


def special() -> Iterator[tuple[str, Writer]]:
    """What is not a regular file."""
    for end in ("", ".pth"):
        yield f"pipe{end}", lambda path: os.mkfifo(path)
        yield f"folder{end}", lambda path: path.mkdir()
        for device in ("/dev/zero", "/dev/random", "/dev/stdin", "/nowhere"):
            yield f"link to {device[1:].replace('/', ' ')}{end}", lambda path, device=device: path.symlink_to(device)


def cases() -> dict[str, Writer]:
    """All of them by name, which end in .pth for files of other code."""
    sources = (exaggerated, named, described, lying, released, special)
    return {name: write for source in sources for name, write in source()}


def _load(path: Path) -> None:
    if path.suffix == ".pth":
        from scorefield.interop import import_checkpoint

        import_checkpoint(path)
    else:
        from scorefield import checkpoint

        checkpoint.load(path)


def _peak(reset: bool = False) -> float:
    """The peak of resident memory in MB since it was last set back."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(folder: Path, names: list[str]) -> None:
    """Loads files and prints a line of JSON for each: what came of it, seconds, MB over the process, and what was touched."""
    import scorefield.interop
    from scorefield import checkpoint
    from scorefield.reading import deliberate

    checkpoint.load(MODELS / "numbers.safetensors")
    scorefield.interop.import_checkpoint.__name__  # noqa: B018  # imported before the files are
    touched, watching = list[str](), False

    def watch(event: str, args: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if watching and (writes or event in ("os.system", "subprocess.Popen", "os.remove", "os.rename", "os.mkdir")):
            touched.append(f"{event} {args[0]}")

    sys.addaudithook(watch)
    for name in names:
        before = _peak(reset=True)
        watching, begin = True, time.process_time()
        try:
            _load(folder / name)
            outcome = "accepted"
        except Exception as error:
            text = str(error)
            kind = (
                "refused"
                if isinstance(error, ValueError | OSError) and deliberate(error) and "\n" not in text
                else "fault"
            )
            outcome = f"{kind}: {type(error).__name__}: {text[:200]}"
        seconds, watching = time.process_time() - begin, False
        found = {"outcome": outcome, "seconds": seconds, "megabytes": _peak() - before, "touched": touched.copy()}
        touched.clear()
        print(json.dumps({"name": name, **found}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.stdin.read()))
