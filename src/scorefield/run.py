"""A run: the folder that a fit leaves, and can go on from."""

from __future__ import annotations

import contextlib
import csv
import difflib
import hashlib
import io
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn

from . import __version__, checkpoint
from .data import ArrayRows, Rows
from .fitting import Fitting, threads
from .model import Model, load
from .noise_levels import NoiseLevels
from .settings import Data, Network, Training
from .training import Progress

__all__ = ["Run", "fit"]

_CHECKPOINT_SECONDS = 30.0
_LOG_FRACTION = 0.005
_CONTEXTS = 4096  # of the held-out data that are kept, for evaluation


class Run:
    """The folder of a run.

    It holds `model.safetensors`, the training state to go on from, `run.json` (what was asked for, and what was chosen,
    with the reasons), `fit.json` (what was measured at the end), the log as `log.csv` and `log.jsonl`, and what
    `evaluate` and `report` add.

    Arguments:
        path: The folder.

    Raises:
        ValueError: If the folder holds other things.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file: a run needs a folder of its own, name another one")
        inside = {p.name for p in self.path.iterdir()} if self.path.is_dir() else set()
        others = inside - {".lock"} - {p.name for p in self._parts()}
        if others and "run.json" not in inside:
            raise ValueError(f"{self.path} holds other things ({min(others)}, …) and no run: name a new folder")

    def file(self, name: str) -> Path:
        """The path of a file in the folder."""
        return self.path / name

    def _parts(self) -> list[Path]:
        """What a killed process was about to write."""
        return list(self.path.glob(".*.part"))

    @property
    def ended(self) -> bool:
        """Whether training has ended: there is a model, and what was measured of it."""
        return self.file("fit.json").is_file() and self.file("model.safetensors").is_file()

    @property
    def model(self) -> Model:
        """The fitted model."""
        if not self.path.is_dir():
            beside = [p.name for p in self.path.parent.iterdir() if p.is_dir()] if self.path.parent.is_dir() else []
            close = difflib.get_close_matches(self.path.name, beside, 3)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "check the path"
            raise FileNotFoundError(f"there is no folder {self.path}: {hint}")
        if not self.file("model.safetensors").is_file():
            state = "was cut off: run the same fit again, it goes on" if self.file("run.json").is_file() else "is empty"
            raise FileNotFoundError(f"there is no model in {self.path} yet, the run {state}")
        return load(self.path)

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it is broken.
        """
        path = self.file(name)
        if not path.is_file():
            raise FileNotFoundError(f"there is no {name} in {self.path}: is it the folder of a run?")
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is broken ({error}): restore it, or start a new run") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} is broken (it holds a {type(content).__name__}): restore it, or start a new run")
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Writes a JSON file of the folder, whole or not at all."""
        checkpoint.write_atomically(self.file(name), json.dumps(content, indent=1).encode())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes out; a killed process holds no lock. A folder in which nothing came to be is removed.

        Raises:
            RuntimeError: If another process works in the folder.
            OSError: If the folder cannot be written.
        """
        import fcntl

        before = self.path.is_dir()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = open(self.file(".lock"), "w")  # noqa: SIM115
        except OSError as error:
            what = f"{self.path} cannot be written ({error.strerror})"
            raise OSError(error.errno, f"{what}: name a folder that can") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                what = f"{self.path} is in use by another process"
                raise RuntimeError(f"{what}: wait until it ends, or name another folder") from error
            try:
                yield
            finally:
                if not before and [p.name for p in self.path.iterdir()] == [".lock"]:
                    self.file(".lock").unlink()
                    self.path.rmdir()

    def clean(self) -> None:
        """Removes what a killed process was about to write."""
        for part in self._parts():
            part.unlink()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The rows of the log; a row that was cut off is left out."""
        path = self.file("log.jsonl")
        rows = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
        return rows


def fit(
    x: Any,
    run: str | os.PathLike[str] | None = None,
    *,
    data: Data | None = None,
    network: nn.Module | Network | None = None,
    training: Training | None = None,
    calibration: NoiseLevels | None = None,
    seed: int = 0,
    device: str = "auto",
    context: Any = None,
    source: Mapping[str, Any] | None = None,
    tensorboard: bool = False,
    begin: Callable[[Fitting], None] = lambda fitting: None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Model:
    """Learns the law of data.

    Arguments:
        x: Realizations: an array or a tensor `(N, *D)`, a DataFrame, a DataArray, a memory map.
        run: A folder to keep the run in. If it holds a run of the same data and settings that was cut off, that run
            goes on, to the same numbers; if it ended, its model is returned.
        data: How to read the data.
        network: A network F(x, c) of your own, or what to build.
        training: How to train, and the budget.
        calibration: Noise levels to use in the place of those read off the data.
        seed: The seed of everything that is random.
        device: "auto", "cpu", "cuda", …
        context: What is given beside each datum, for a model of the law of data given it: labels `(N,)`, numbers `(N, P)`, a
            DataFrame, or fields on the grid of the data; NaN or None where nothing is. `Model.given` tells it.
        source: Where `x` was read from, as arguments of `scorefield.data.read`, so that `evaluate` can read it again.
        tensorboard: Whether the run's folder also gets a log for TensorBoard.
        begin: Is called once with all that was chosen, before the first step.
        watch: Is called after every step.

    Returns:
        The model.

    Warns:
        UserWarning: If the network has learned its data by heart.

    Raises:
        TypeError: If the data are no numbers.
        ValueError: If the data cannot be learned from, or the folder holds another run.
        RuntimeError: If training leaves the finite numbers, or the folder is in use.
        OSError: If the folder cannot be written, because the disk is full, say; what was there stays.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal([10, -5], [1, 2], size=(500, 2))
        >>> model = fit(x, training=Training(steps=200))
        >>> model.sample(3, seed=1).shape
        (3, 2)
    """
    folder = None if run is None else Run(run)  # before the data are read, which may take long
    if tensorboard:
        _tensorboard(None)
    asked = {
        "source": dict(source) if source is not None else None,
        "data": asdict(data or Data()),
        "network": type(network).__qualname__ if isinstance(network, nn.Module) else asdict(network or Network()),
        "training": asdict(training or Training()),
        "calibration": asdict(calibration) if calibration else None,
        "seed": seed,
    }
    data, calibration = _as_then(folder, data, calibration)
    fitting = Fitting(x, data, network, _as_before(folder, asked, training), calibration, seed, device, context)
    begin(fitting)
    if folder is None:
        with threads(fitting):
            for progress in fitting.trainer.run():
                watch(progress)
            model, about = fitting.finish()
            _warn(about)
            return model
    asked["fingerprint"] = fingerprint(fitting.schema.rows(x))
    if fitting.contexts is not None:
        asked["context"] = fingerprint(ArrayRows(torch.cat(fitting.contexts)))
    with folder.lock(), threads(fitting):
        log = _begin(folder, fitting, json.loads(json.dumps(asked)), tensorboard)
        if log is None:
            return folder.model
        _drive(folder, fitting, log, watch)
        model, about = fitting.finish()
        model.save(folder.file("model.safetensors"))
        if fitting.contexts is not None:
            kept = {"held_out": fitting.contexts[1][:_CONTEXTS]}
            checkpoint.write_tensors(folder.file("context.safetensors"), kept, {})
        folder.write("fit.json", about)
    _warn(about)
    return model


def _warn(about: Mapping[str, Any]) -> None:
    """Says aloud what nobody should overlook."""
    if about["warning"]:
        warnings.warn(about["warning"], stacklevel=3)


def _as_before(folder: Run | None, asked: dict[str, Any], training: Training | None) -> Training | None:
    """What was chosen when the run began: a choice that was measured, as the precision is, may fall otherwise today."""
    if folder is None or not folder.file("run.json").is_file():
        return training
    kept = folder.read("run.json")
    if "training" not in kept or kept.get("asked", {}).get("training") != json.loads(json.dumps(asked["training"])):
        return training
    before: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in kept["training"].items()}
    return Training(**before)


def _as_then(
    folder: Run | None, data: Data | None, calibration: NoiseLevels | None
) -> tuple[Data | None, NoiseLevels | None]:
    """Settings of a run that began when whole numbers were learned as points: it goes on with its own noise levels."""
    kept = folder.read("run.json") if folder is not None and folder.file("run.json").is_file() else {}
    before = kept.get("asked", {}).get("data")
    if not isinstance(before, dict) or "dequantize" in before:
        return data, calibration
    rows = kept.get("calibration", [])
    if calibration is None and len(rows) == 4:
        low, high, mean, std = (value for _, value, _ in rows)
        calibration = NoiseLevels(low, high, mean, std, tuple(why for *_, why in rows))
    return replace(data or Data(), dequantize=False), calibration


def fingerprint(rows: Rows) -> str:
    """A short word that other data would hardly have: from their shape and 64 of them."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, 64).astype(int))
    content = repr(rows.shape).encode() + rows.take(chosen).numpy().tobytes()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _begin(folder: Run, fitting: Fitting, asked: dict[str, Any], tensorboard: bool) -> _Log | None:
    """Writes down what is asked for, or goes on where the run was cut off; returns its log, None if it has ended."""
    if not folder.file("run.json").is_file():
        folder.write("run.json", {"version": __version__, "asked": asked, **chosen(fitting)})
        return _Log(folder, [], {}, tensorboard)
    kept = folder.read("run.json").get("asked")
    if not isinstance(kept, dict):
        raise ValueError(f"{folder.file('run.json')} was not written by a fit: restore it, or name a new folder")
    usual = {name: asdict(kind()) for name, kind in (("data", Data), ("training", Training))}
    if kept.get("calibration"):
        usual["calibration"] = {"tail": 0.0}
    there, here = _flat(usual) | _flat(kept), _flat(asked)  # an older version knew fewer settings
    differ = [name for name in sorted(there | here) if there.get(name) != here.get(name)]
    if differ:
        told = ", ".join(_difference(name, there.get(name), here.get(name)) for name in differ)
        raise ValueError(f"{folder.path} holds another run ({told}): ask for the same to go on, or name a new folder")
    if folder.ended:
        return None
    folder.clean()
    path = folder.file("training.safetensors")
    state = _load(path, fitting) if path.is_file() else {}
    return _Log(folder, [row for row in folder.log if row["step"] <= fitting.trainer.step], state, tensorboard)


def _flat(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, by dotted names; where the data lie does not matter, their fingerprint does."""
    flat: dict[str, Any] = {}
    for name, value in asked.items():
        if isinstance(value, dict) and name != "source":
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        elif name != "source":
            flat[name] = value
    return flat


def _difference(name: str, there: Any, here: Any) -> str:
    return "other data" if name == "fingerprint" else f"{name}: {there} there, {here} asked"


def _load(path: Path, fitting: Fitting) -> dict[str, Any]:
    """Puts a trainer where its state was taken; returns where the log stood."""
    try:
        tensors, about = checkpoint.read_tensors(path)
        fitting.trainer.load(tensors, about)
        return about["log"]
    except (KeyError, ValueError, RuntimeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error).split(":")[0]
        what = f"the run cannot go on from {path} ({why})"
        raise ValueError(f"{what}: restore that file, or remove it to train from the beginning") from error


def chosen(fitting: Fitting) -> dict[str, Any]:
    """What was chosen for a fit, and why, as plain data."""
    return {
        "choices": [list(choice) for choice in fitting.choices],
        "calibration": [list(row) for row in fitting.calibration.table()],
        "shape": [fitting.summary.count, *fitting.schema.inner_shape],
        "training": asdict(fitting.training),
        "created": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _drive(folder: Run, fitting: Fitting, log: _Log, watch: Callable[[Progress], None]) -> None:
    """Trains, and keeps the log and the state."""
    trainer = fitting.trainer
    saved = time.perf_counter()

    def save() -> None:
        tensors, about = trainer.state()
        checkpoint.write_tensors(folder.file("training.safetensors"), tensors, {**about, "log": log.state()})

    with _held_back() as signals:
        for progress in trainer.run():
            log.add(progress)
            if signals:
                break
            try:
                watch(progress)
            except KeyboardInterrupt:
                save()
                raise
            if time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                save()
                saved = time.perf_counter()
        save()
    log.close()


@contextlib.contextmanager
def _held_back() -> Iterator[list[int]]:
    """Makes Ctrl-C and SIGTERM wait for the end of a step, whose state can be kept; a second one acts at once.

    Yields a list of those that came. At the end they do what they would have done, or raise KeyboardInterrupt.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # where no handlers can be set
        yield came
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hold(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, hold)
    try:
        yield came
    finally:
        restore()
    if came:
        signal.raise_signal(came[0])
        raise KeyboardInterrupt  # if the handler has let it pass


class _Log:
    """The rows of `log.jsonl` and `log.csv`, about 200 of them a run: the mean loss since the row before, and its like.

    Arguments:
        folder: The run.
        rows: The rows of its past.
        state: Where the log stood when the run was cut off.
        tensorboard: Whether a log for TensorBoard is written, too.
    """

    def __init__(self, folder: Run, rows: list[dict[str, Any]], state: Mapping[str, Any], tensorboard: bool) -> None:
        self.folder = folder
        self.fraction: float = state.get("fraction", -1.0)
        self.losses: list[Any] = list(state.get("losses", ()))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["step", "seconds", "loss", "rate", "held_out"])
        writer.writerows(row.values() for row in rows)
        checkpoint.write_atomically(folder.file("log.csv"), text.getvalue().encode())
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        checkpoint.write_atomically(folder.file("log.jsonl"), lines.encode())
        self.writer = _tensorboard(folder.file("tensorboard")) if tensorboard else None

    def add(self, progress: Progress) -> None:
        """Takes note of a step; writes a row if it is time."""
        self.losses.append(progress.loss)
        if progress.held_out is None and progress.fraction < self.fraction + _LOG_FRACTION and progress.step > 1:
            return
        row = {
            "step": progress.step,
            "seconds": round(progress.seconds, 3),
            "loss": sum(map(float, self.losses)) / len(self.losses),
            "rate": progress.rate,
            "held_out": progress.held_out,
        }
        text = io.StringIO()
        csv.writer(text).writerow(row.values())
        self._append("log.jsonl", json.dumps(row) + "\n")
        self._append("log.csv", text.getvalue())
        if self.writer is not None:
            for name in ("loss", "rate", "held_out"):
                if row[name] is not None:
                    self.writer.add_scalar(name, row[name], progress.step)
        self.fraction, self.losses = progress.fraction, []

    def _append(self, name: str, text: str) -> None:
        path = self.folder.file(name)
        try:
            with open(path, "a", newline="") as file:
                file.write(text)
        except OSError as error:
            what = (
                f"{path} could not be written ({error.strerror or error}); what was trained until the last checkpoint"
            )
            raise OSError(error.errno, f"{what} is kept: free some space, then run the same again") from error

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to write the same rows."""
        return {"fraction": self.fraction, "losses": [float(loss) for loss in self.losses]}

    def close(self) -> None:
        """Ends the log for TensorBoard."""
        if self.writer is not None:
            self.writer.close()


def _tensorboard(path: Path | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError('a log for TensorBoard needs it: pip install "scorefield[tensorboard]"') from error
    return None if path is None else SummaryWriter(str(path))
