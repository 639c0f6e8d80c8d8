"""A run: the folder that a fit leaves, and can go on from."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn as nn

from . import __version__, checkpoint
from .calibrate import Calibration
from .data import Rows
from .fitting import Fitting, threads
from .model import Model, load
from .settings import Data, Network, Training
from .train import Progress

__all__ = ["Run", "fit"]

_CHECKPOINT_SECONDS = 30.0
_LOG_FRACTION = 0.005


class Run:
    """The folder of a run.

    It holds `model.safetensors`, the training state to go on from, `run.json` (what was asked for, and what was chosen, with
    the reasons), `fit.json` (what was measured at the end), the log as `log.csv` and `log.jsonl`, and what `evaluate` and
    `report` add.

    Arguments:
        path: The folder.

    Raises:
        ValueError: If the folder holds other things.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file: a run needs a folder of its own, name another one")
        inside = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        if inside and not self.file("run.json").is_file() and set(inside) - {".lock"}:
            raise ValueError(f"{self.path} holds other things ({min(inside)}, …) and no run: name a new folder")

    def file(self, name: str) -> Path:
        """The path of a file in the folder."""
        return self.path / name

    @property
    def model(self) -> Model:
        """The fitted model."""
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
            return json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is broken ({error}): restore it, or start a new run") from error

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Writes a JSON file of the folder, whole or not at all."""
        checkpoint.write_atomically(self.file(name), json.dumps(content, indent=1).encode())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes out; a killed process holds no lock.

        Raises:
            RuntimeError: If another process works in the folder.
        """
        import fcntl

        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.file(".lock"), "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                what = f"{self.path} is in use by another process"
                raise RuntimeError(f"{what}: wait until it ends, or name another folder") from error
            yield

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
    calibration: Calibration | None = None,
    seed: int = 0,
    device: str = "auto",
    source: str | None = None,
    tensorboard: bool = False,
    begin: Callable[[Fitting], None] = lambda fitting: None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Model:
    """Learns the law of data.

    Arguments:
        x: Realizations: an array or a tensor `(N, *D)`, a DataFrame, a DataArray, a memory map.
        run: A folder to keep the run in. If it holds a run of the same data and settings that was cut off, that run goes on,
            to the same numbers; if it ended, its model is returned.
        data: How to read the data.
        network: A network F(x, c) of your own, or what to build.
        training: How to train, and the budget.
        calibration: Noise levels to use in the place of those read off the data.
        seed: The seed of everything that is random.
        device: "auto", "cpu", "cuda", …
        source: Where `x` was read from, to be kept in the run.
        tensorboard: Whether the run's folder also gets a log for TensorBoard.
        begin: Is called once with all that was chosen, before the first step.
        watch: Is called after every step.

    Returns:
        The model.

    Raises:
        TypeError: If the data are no numbers.
        ValueError: If the data cannot be learned from, or the folder holds another run.
        RuntimeError: If training leaves the finite numbers, or the folder is in use.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal([10, -5], [1, 2], size=(500, 2))
        >>> model = fit(x, training=Training(steps=200))
        >>> model.sample(3, seed=1).shape
        (3, 2)
    """
    fitting = Fitting(x, data, network, training, calibration, seed, device)
    begin(fitting)
    if run is None:
        with threads(fitting):
            for progress in fitting.trainer.run():
                watch(progress)
            return fitting.finish()[0]
    if tensorboard:
        _tensorboard(None)
    folder = Run(run)
    asked = {
        "source": source,
        "data": asdict(data or Data()),
        "network": asdict(network) if isinstance(network, Network) else type(network).__qualname__,
        "training": asdict(training or Training()),
        "calibration": asdict(calibration) if calibration else None,
        "seed": seed,
        "fingerprint": fingerprint(fitting.schema.rows(x)),
    }
    with folder.lock(), threads(fitting):
        if not _begin(folder, fitting, json.loads(json.dumps(asked))):
            return folder.model
        _drive(folder, fitting, watch, tensorboard)
        model, about = fitting.finish()
        model.save(folder.file("model.safetensors"))
        folder.write("fit.json", about)
    return model


def fingerprint(rows: Rows) -> str:
    """A short word that other data would hardly have: from their shape and 64 of them."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, 64).astype(int))
    content = repr(rows.shape).encode() + rows.take(chosen).numpy().tobytes()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _begin(folder: Run, fitting: Fitting, asked: dict[str, Any]) -> bool:
    """Writes down what is asked for, or goes on where the run was cut off; False if it has ended."""
    if folder.file("run.json").is_file():
        kept = folder.read("run.json")
        if kept["asked"] != asked:
            differ = sorted(k for k in asked if kept["asked"].get(k) != asked[k])
            what = f"{folder.path} holds a run with other {' and '.join(differ)}"
            raise ValueError(f"{what}: ask for the same to go on with it, or name a new folder")
        if folder.file("fit.json").is_file():
            return False
        if folder.file("training.safetensors").is_file():
            tensors, about = checkpoint.read_tensors(folder.file("training.safetensors"))
            fitting.trainer.load(tensors, about)
    folder.write("run.json", {"version": __version__, "asked": asked, **chosen(fitting)})
    kept_rows = [row for row in folder.log if row["step"] <= fitting.trainer.step]
    _write_log(folder, kept_rows)
    return True


def chosen(fitting: Fitting) -> dict[str, Any]:
    """What was chosen for a fit, and why, as plain data."""
    return {
        "choices": [list(choice) for choice in fitting.choices],
        "calibration": [list(row) for row in fitting.calibration.table()],
        "shape": [fitting.summary.count, *fitting.schema.inner_shape],
        "training": asdict(fitting.training),
        "created": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _drive(folder: Run, fitting: Fitting, watch: Callable[[Progress], None], tensorboard: bool) -> None:
    """Trains, and keeps the log and the state."""
    trainer = fitting.trainer
    rows = folder.log
    logged, saved, losses = -1.0, time.perf_counter(), []
    writer = _tensorboard(folder.file("tensorboard")) if tensorboard else None

    def save() -> None:
        tensors, about = trainer.state()
        checkpoint.write_tensors(folder.file("training.safetensors"), tensors, about)

    for progress in trainer.run():
        watch(progress)
        losses.append(progress.loss)
        if progress.held_out is not None or progress.fraction >= logged + _LOG_FRACTION or progress.step == 1:
            row = {
                "step": progress.step,
                "seconds": round(progress.seconds, 3),
                "loss": float(sum(float(loss) for loss in losses) / len(losses)),
                "rate": progress.rate,
                "held_out": progress.held_out,
            }
            rows.append(row)
            _append(folder, row)
            if writer is not None:
                for name in ("loss", "rate", "held_out"):
                    if row[name] is not None:
                        writer.add_scalar(name, row[name], progress.step)
            logged, losses = progress.fraction, []
        if time.perf_counter() - saved > _CHECKPOINT_SECONDS:
            save()
            saved = time.perf_counter()
    save()
    if writer is not None:
        writer.close()


def _append(folder: Run, row: dict[str, Any]) -> None:
    with open(folder.file("log.jsonl"), "a") as file:
        file.write(json.dumps(row) + "\n")
    with open(folder.file("log.csv"), "a", newline="") as file:
        csv.writer(file).writerow(row.values())


def _write_log(folder: Run, rows: list[dict[str, Any]]) -> None:
    """Both files of the log, with these rows alone."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["step", "seconds", "loss", "rate", "held_out"])
    writer.writerows(row.values() for row in rows)
    checkpoint.write_atomically(folder.file("log.csv"), text.getvalue().encode())
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    checkpoint.write_atomically(folder.file("log.jsonl"), lines.encode())


def _tensorboard(path: Path | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError('a log for TensorBoard needs it: pip install "scorefield[tensorboard]"') from error
    return None if path is None else SummaryWriter(str(path))
