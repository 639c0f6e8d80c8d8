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
from typing import Any

from .. import __version__, checkpoint
from ..distributed import ProcessLostError, decided, first, same
from ..fitting import Fitted, Plan, finish, threads, trainer_of
from ..reading import one_line, reading
from ..training import Announcer, Progress, Trainer
from .folder import Run
from .log import Log
from .record import check_same, chosen
from .shared_folder import check_shared
from .split import write_split

__all__ = ["Session", "deferred_signals"]

_CHECKPOINT_SECONDS = 30.0
_CONTEXTS = 4096  # of the held-out examples that are kept, for evaluation
_STATE = "training.safetensors"


@dataclass(frozen=True)
class Session:
    """A fit in the folder of a run.

    Arguments:
        folder: The folder.
        plan: The fit.
        tensorboard: Whether the folder also gets a log for TensorBoard.
    """

    folder: Run
    plan: Plan
    tensorboard: bool = False

    def run(
        self,
        request: Mapping[str, Any],
        begin: Callable[[Plan], None] = lambda plan: None,
        watch: Callable[[Progress], None] = lambda progress: None,
    ) -> Fitted:
        """Trains from the beginning, or from where the run was interrupted; of a run that has ended, reads the model.

        Arguments:
            request: What was asked for, as plain data.
            begin: Is called once, before the first step.
            watch: Is called after every step.

        Raises:
            ValueError: If the folder holds another run, or a damaged state.
            RuntimeError: If a gradient becomes non-finite (NaN or inf), or the folder is in use.
            OSError: If the folder cannot be written; what was there stays.
        """
        begin(self.plan)
        _check_agreement(request)
        with contextlib.ExitStack() as held, threads(self.plan):
            decided(lambda: held.enter_context(self.folder.lock()))
            begun = decided(lambda: self._begun(request))
            check_shared(self.folder.file("run.json"))
            if begun and self.folder.ended:
                return Fitted(self.folder.model, {**self.folder.read("fit.json"), "warning": ""})  # was given before
            trainer = trainer_of(self.plan)
            self._drive(trainer, self._opened(trainer), watch)
            fitted = finish(self.plan, trainer)
            decided(lambda: self._write(fitted))
        return fitted

    def _write(self, fitted: Fitted) -> None:
        """Writes the model, and what was measured of it."""
        fitted.model.save(self.folder.file("model.safetensors"))
        if self.plan.prepared.context is not None:
            kept = {"held_out": self.plan.prepared.context.held_out[:_CONTEXTS]}
            checkpoint.write_tensors(self.folder.file("context.safetensors"), kept, {})
        self.folder.write("fit.json", fitted.record)

    def _begun(self, request: Mapping[str, Any]) -> bool:
        """Whether the folder holds this run already; writes down what is asked for if it holds none."""
        if self.folder.file("run.json").exists():
            check_same(self.folder, request)
            return True
        self.folder.write("run.json", {"version": __version__, "asked": dict(request), **chosen(self.plan)})
        return False

    def _opened(self, trainer: Trainer) -> Log | None:
        """The log, which process 0 keeps, once the trainer is where the run was interrupted."""
        decided(self._prepare)
        state = self._load(trainer) if self.folder.file(_STATE).exists() else {}
        if not first():
            return None
        rows = [row for row in self.folder.log if row["step"] <= trainer.step]
        return Log(self.folder.path, rows, state, self.tensorboard)

    def _prepare(self) -> None:
        """Writes what is held out, and removes what a killed process was about to write."""
        write_split(self.folder, self.plan.prepared.split)
        self.folder.clean()

    def _load(self, trainer: Trainer) -> dict[str, Any]:
        """Puts a trainer where its state was saved; returns where the log stood."""
        path = self.folder.file(_STATE)
        try:
            with reading(path):
                tensors, about = checkpoint.read_tensors(path)
                trainer.load(tensors, about)
                log = Log.known(about["log"])
        except ValueError as error:
            why = one_line(error.__cause__ or error).split(":")[0]
            what = f"the run cannot go on from {path} ({why})"
            raise ValueError(f"{what}: restore that file, or remove it to train from the beginning") from error
        return log

    def _drive(self, trainer: Trainer, log: Log | None, watch: Callable[[Progress], None]) -> None:
        """Trains, and keeps the log and the state."""
        saved, announce = time.perf_counter(), Announcer()

        def save() -> None:
            if log is not None:
                tensors, about = trainer.state()
                checkpoint.write_tensors(self.folder.file(_STATE), tensors, {**about, "log": log.state()})

        with deferred_signals() as signals:
            done = trainer.step
            try:
                for progress in trainer.run():
                    done = progress.step
                    if log is not None:
                        log.add(progress)
                    if signals:
                        break
                    try:
                        announce(progress)
                        watch(progress)
                    except KeyboardInterrupt:
                        save()
                        raise
                    if time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                        save()
                        saved = time.perf_counter()
            except ProcessLostError:
                if trainer.step > done:  # it was being measured
                    raise
                if not signals:
                    save()
                    raise
            save()
        if log is not None:
            log.close()


def _check_agreement(request: Mapping[str, Any]) -> None:
    """Raises unless all processes were asked for the same, and have the same data."""
    asked = {name: value for name, value in request.items() if name not in ("source", "fingerprint")}
    facts = {"data": str(request["fingerprint"]), "what was asked for": _digest(json.dumps(asked).encode())}
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
