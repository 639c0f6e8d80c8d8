"""A fit in a folder: it begins or resumes, keeps its state and its log, and ends with a model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch

from .. import __version__
from ..distributed import ProcessLostError, decided, first, same, size, stacked
from ..fitting import Fitted
from ..training import Announcer, Progress, Resumable
from .folder import Run
from .log import Log
from .record import check_form, check_same
from .shared_folder import check_shared
from .state import State

__all__ = ["Session", "Work", "deferred_signals"]

_CHECKPOINT_SECONDS = 30.0
_Training = TypeVar("_Training", bound=Resumable)


class Work(Protocol[_Training]):
    """What is done in a folder: a fit, or a distillation."""

    def threads(self) -> contextlib.AbstractContextManager[None]:
        """Computes within in as many threads as are useful."""

    def trainer(self) -> _Training:
        """The training, before its first step."""

    def finish(self, trainer: _Training) -> Fitted:
        """Ends training."""

    def chosen(self) -> dict[str, Any]:
        """What was chosen, and why, as plain data."""

    def keep(self, folder: Run) -> None:
        """Writes what is needed to evaluate the model: which rows were held out, and their contexts."""


@dataclass(frozen=True)
class Session(Generic[_Training]):
    """A fit or a distillation in the folder of a run.

    Arguments:
        folder: The folder.
        work: What is done there.
        tensorboard: Whether the folder also gets a log for TensorBoard.
    """

    folder: Run
    work: Work[_Training]
    tensorboard: bool = False

    def run(
        self,
        request: Mapping[str, Any],
        watch: Callable[[Progress], None] = lambda progress: None,
    ) -> Fitted:
        """Trains from the beginning, or from where the run was interrupted; of a run that has ended, reads the model.

        Arguments:
            request: What was asked for, as plain data.
            watch: Is called after every step.

        Raises:
            ValueError: If the folder holds another run, or a damaged state.
            RuntimeError: If a gradient becomes non-finite (NaN or inf), or the folder is in use.
            OSError: If the folder cannot be written; what was there stays.
        """
        _check_agreement(request)
        with contextlib.ExitStack() as held, self.work.threads():
            decided(lambda: held.enter_context(self.folder.lock()))
            begun = decided(lambda: self._begun(request))
            check_shared(self.folder.file("run.json"))
            if begun and self.folder.ended:
                return Fitted(self.folder.model, {**self.folder.read("fit.json"), "warning": ""})  # was given before
            decided(self._prepare)
            trainer = self.work.trainer()
            state = State(self.folder)
            self._drive(trainer, state, self._opened(trainer, state), watch)
            fitted = self.work.finish(trainer)
            decided(lambda: self._write(fitted))
        return fitted

    def _write(self, fitted: Fitted) -> None:
        """Writes the model, and what was measured of it."""
        fitted.model.save(self.folder.file("model.safetensors"))
        self.folder.write("fit.json", fitted.record)

    def _begun(self, request: Mapping[str, Any]) -> bool:
        """Whether the folder holds this run already; writes down what is asked for if it holds none."""
        if self.folder.file("run.json").exists():
            check_same(self.folder, request)
            if not self.folder.ended:
                check_form(self.folder, self.work.chosen())
            return True
        self.folder.write("run.json", {"version": __version__, "asked": dict(request), **self.work.chosen()})
        return False

    def _opened(self, trainer: _Training, state: State) -> Log | None:
        """The log, which process 0 keeps, once the trainer is where the run was interrupted."""
        known = state.load(trainer)
        if not first():
            return None
        rows = [row for row in self.folder.log if row["step"] <= trainer.step]
        return Log(self.folder.path, rows, known, self.tensorboard)

    def _prepare(self) -> None:
        """Writes what is held out, and removes what a killed process was about to write."""
        self.work.keep(self.folder)
        self.folder.clean()

    def _drive(self, trainer: _Training, state: State, log: Log | None, watch: Callable[[Progress], None]) -> None:
        """Trains, and keeps the log and the state."""
        saved, announce, together = time.perf_counter(), Announcer(), trainer.training.shard and size() > 1
        with deferred_signals() as signals:
            done = trainer.step
            try:
                for progress in trainer.run():
                    done = progress.step
                    if log is not None:
                        log.add(progress)
                    due = time.perf_counter() - saved > _CHECKPOINT_SECONDS
                    stop, due = _agreed(bool(signals), due) if together else (bool(signals), due)
                    if stop:
                        break
                    try:
                        announce(progress)
                        watch(progress)
                    except KeyboardInterrupt:
                        if not together:
                            state.save(trainer, log)
                        raise
                    if due:
                        state.save(trainer, log)
                        saved = time.perf_counter()
            except ProcessLostError:
                if trainer.step > done or together:  # it was being measured; or what others keep is lost
                    raise
                if not signals:
                    state.save(trainer, log)
                    raise
            state.save(trainer, log)
        if log is not None:
            log.close()
        if together and not trainer.stopped:  # another process was stopped
            raise KeyboardInterrupt


def _agreed(signal: bool, due: bool) -> tuple[bool, bool]:
    """Whether any process is to stop, and whether process 0 says that it is time to save."""
    found = stacked(torch.tensor([signal, due]))
    return bool(found[:, 0].any()), bool(found[0, 1])


def _check_agreement(request: Mapping[str, Any]) -> None:
    """Raises unless all processes were asked for the same, and have the same data."""
    asked = {name: value for name, value in request.items() if name not in ("source", "fingerprint")}
    facts = {"data": str(request.get("fingerprint")), "what was asked for": _digest(json.dumps(asked).encode())}
    same(facts, "start all processes with the same command on the same data")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


@contextlib.contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Makes Ctrl-C, SIGTERM and SIGHUP wait for the end of a step; a second acts at once. Yields the list of those that came.

    At the end these do what they would have done, or raise KeyboardInterrupt.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # where no handlers can be set
        yield came
        return
    numbers = (getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def defer(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, defer)
    try:
        yield came
    finally:
        restore()
    if came:
        signal.raise_signal(came[0])
        raise KeyboardInterrupt  # if the handler has let it pass
