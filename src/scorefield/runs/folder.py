"""A run: the folder that a fit leaves, and can be resumed from."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from .. import checkpoint, replacing
from ..destinations import check_folder
from ..display import as_html
from ..model import Model, load
from ..reading import missing, reading, text_of
from ..settings import with_new_names
from .forms import checked
from .log import read_log

__all__ = ["Run"]

_LOCK = ".lock"
_RESTORE = "restore it, or start a new run"
_FILES = (
    "run.json", "model.safetensors", "training.safetensors", "context.safetensors", "split.safetensors", "fit.json", "log.csv",
    "log.jsonl", "evaluation.json", "report.html", "compare.html", "compare.json", "diagnosis.png", "diagnosis.json",
)  # fmt: skip
_NEW_NAMES = {"calibration": "noise_levels"}  # of `run.json`, by those of version 0.1.0


class Run:
    """The folder of a run.

    It holds `model.safetensors`, the training state to resume from, `run.json` (what was asked for, and what was chosen,
    with the reasons), `fit.json` (what was measured at the end), the log as `log.csv` and `log.jsonl`, and what
    `evaluate` and `report` add.

    Arguments:
        path: The folder.
        trusted: The packages whose classes a model file may name.
        network: Your own network, if the model was fitted with one that cannot be built from its arguments.

    Raises:
        ValueError: If the folder holds other things.
    """

    def __init__(
        self, path: str | os.PathLike[str], trusted: tuple[str, ...] = ("scorefield",), network: nn.Module | None = None
    ) -> None:
        self.path = Path(path)
        self.trusted, self.network = trusted, network
        self._model: Model | None = None
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file: a run needs a folder of its own, name another one")
        with reading(self.path):
            inside = {p.name for p in self.path.iterdir()} if self.path.is_dir() else set()
        others = inside - {_LOCK} - {p.name for p in self._parts()}
        if others and "run.json" not in inside:
            what = f"{self.path} holds other things ({min(others)}, …) and no run"
            raise ValueError(f"{what}: name the folder of a run, or for a new one a new folder")

    @classmethod
    def of(cls, model: Model) -> Run:
        """The run that a model comes from, which trusts what the model was fitted or loaded with.

        Raises:
            ValueError: If it comes from none.
        """
        if "run" not in model.about:
            raise ValueError("this model comes from no run: fit(x, run='folder') keeps one")
        trusted, network = model.about.get("reading", (("scorefield",), None))
        return cls(model.about["run"], trusted, copy.deepcopy(network))  # numbers are read into it

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}): {self._state()}"

    def _repr_html_(self) -> str:
        return as_html(f"Run({str(self.path)!r})", {"state": self._state()})

    def _state(self) -> str:
        """What the folder holds, in words."""
        if not self.file("run.json").exists():
            return "empty"
        record = self.read("run.json")
        count, *shape = record.get("shape", [0])
        data = f"{count:,} examples of shape {' x '.join(map(str, shape))}" if count else "data unknown"
        if "imported" in record:
            return f"an imported model; {data}"
        if self.ended:
            about = self.read("fit.json")
            return f"{data}; {about['steps']:,} steps, held-out loss {about['held_out_loss']:.4f}"
        step = self.log[-1]["step"] if self.log else 0
        return f"{data}; interrupted after step {step:,}: the same fit resumes it"

    def file(self, name: str) -> Path:
        """The path of a file in the folder."""
        return self.path / name

    @property
    def files(self) -> list[Path]:
        """The files that a run consists of, those that are not there yet among them: nothing else may be written there."""
        return [self.file(name) for name in _FILES]

    @property
    def source(self) -> Path | None:
        """The file or folder of the data that were fitted; None if they were given in memory.

        Raises:
            FileNotFoundError: If there is no run.
            ValueError: If its record is damaged.
        """
        path = self._read_with().get("path")
        return Path(path).expanduser() if isinstance(path, str) else None

    @property
    def missing_words(self) -> tuple[str, ...]:
        """The words for missing values that the data were read with; none where that is not known."""
        words = self._read_with().get("missing_words") if self.file("run.json").exists() else None
        return tuple(map(str, words)) if isinstance(words, list) else ()

    def _read_with(self) -> dict[str, Any]:
        """What the data were read with; nothing if they were given in memory."""
        asked = self.read("run.json").get("asked")
        source = asked.get("source") if isinstance(asked, dict) else None
        return source if isinstance(source, dict) else {}

    def _parts(self) -> list[Path]:
        """What a killed process was about to write."""
        return [*self.path.glob(".*.part"), *self.path.glob(".*.part.*")]

    @property
    def ended(self) -> bool:
        """Whether training has ended: there is a model, and what was measured of it."""
        return self.file("fit.json").exists() and self.file("model.safetensors").exists()

    @property
    def model(self) -> Model:
        """The fitted model, which is read once.

        Raises:
            FileNotFoundError: If there is no folder of this name, or no model in it yet.
            ValueError: If the file is damaged, or names classes of packages that are not trusted.
        """
        if self._model is not None:
            return self._model
        if not self.path.is_dir():
            raise missing(self.path, "folder")
        if not self.file("model.safetensors").exists():
            begun = self.file("run.json").exists()
            state = "was interrupted: run the same fit again to resume it" if begun else "is empty"
            raise FileNotFoundError(f"there is no model in {self.path} yet, the run {state}")
        self._model = load(self.path, self.trusted, self.network)
        record = self.read("run.json") if self.file("run.json").exists() else {}
        measured = self.read("fit.json") if self.ended else {}
        known = {"run": str(self.path), "reading": (self.trusted, self.network)}
        self._model.about = {**measured, **known, "choices": record.get("choices", ())}
        return self._model

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; `run.json` as today's version writes it.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it is damaged.
        """
        path = self.file(name)
        if not path.exists():
            raise FileNotFoundError(f"there is no {name} in {self.path}: is it the folder of a run?")
        text = text_of(path, advice=_RESTORE)
        with reading(path, _RESTORE):
            content = json.loads(text)
            if isinstance(content, dict) and name == "run.json":
                content = _current(content)
        return checked(content, name, path)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Writes a JSON file of the folder, whole or not at all.

        Raises:
            OSError: If the disk is full or the folder cannot be written; the old file is as it was.
        """
        checkpoint.write_atomically(self.file(name), json.dumps(content, indent=1).encode())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder and keeps other processes out; a killed one holds no lock. If it stays empty, it is removed.

        Raises:
            RuntimeError: If another process works in the folder.
            OSError: If the folder cannot be written.
        """
        existed, lock = self.path.is_dir(), self._lock()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open(self.file(_LOCK), "a"):
                pass
        except OSError as error:
            what = f"{self.path} cannot be written ({error.strerror})"
            raise OSError(error.errno, f"{what}: name another folder") from error
        self._take(lock)
        replacing.clear(self.path)
        try:
            yield
        finally:
            if os.name == "nt":  # where a file that is open cannot be removed
                lock.release()
            with contextlib.suppress(OSError):  # the folder may have been removed
                if not existed and [p.name for p in self.path.iterdir()] == [_LOCK]:
                    self.file(_LOCK).unlink()
                    self.path.rmdir()
            lock.release()

    def check_free(self) -> None:
        """Raises where another process works in the folder: asked before the data are read.

        Raises:
            RuntimeError: If one does.
        """
        if self.file(_LOCK).is_file():
            with contextlib.suppress(OSError):  # `lock` says why nothing can be written
                lock = self._lock()
                self._take(lock)
                lock.release()

    def _lock(self) -> Any:
        from filelock import FileLock  # comes with PyTorch

        return FileLock(self.file(_LOCK), timeout=0)

    def _take(self, lock: Any) -> None:
        from filelock import Timeout

        try:
            lock.acquire()
        except Timeout as error:  # an OSError
            what = f"{self.path} is in use by another process"
            raise RuntimeError(f"{what}: wait until it ends, or name another folder") from error

    def check_writable(self) -> None:
        """Raises unless files can be written into the folder, or it can be made: asked before the work begins.

        Raises:
            PermissionError: If nothing may be written there.
            ValueError: If something above it is a file.
            OSError: If the disk is full or read-only.
        """
        check_folder(self.path)

    def clean(self) -> None:
        """Removes what a killed process was about to write."""
        for part in self._parts():
            part.unlink(missing_ok=True)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The rows of the log; a row that was cut off is left out."""
        return read_log(self.path)


def _current(record: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `run.json` of any version as it is written today."""
    new = {_NEW_NAMES.get(name, name): value for name, value in record.items()}
    if isinstance(new.get("asked"), dict):
        asked = {_NEW_NAMES.get(name, name): value for name, value in new["asked"].items()}
        training = asked.get("training")
        new["asked"] = asked | ({"training": with_new_names(training)} if isinstance(training, dict) else {})
    if isinstance(new.get("training"), dict):
        new["training"] = with_new_names(new["training"])
    if isinstance(new.get("choices"), list):
        new["choices"] = [[*with_new_names({name: 0}), *rest] for name, *rest in new["choices"]]
    return new
