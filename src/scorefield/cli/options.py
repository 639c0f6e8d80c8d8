"""Where options come from: the command line, and a TOML file for those that the line does not give."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import CycloptsError
from cyclopts.config import Dict

from ..settings import RENAMED, with_new_names
from .terminal import say

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection

__all__ = ["COMMANDS", "Choices", "Reading", "from_file", "names_of", "with_new_words"]

COMMANDS = {"calibrate": "noise-levels"}
"""New names of commands by old ones, which work for a version."""

_BUDGETS = ("minutes", "steps", "epochs")


@dataclass(frozen=True)
class Choices:
    """What fit would choose by the data. Each is a call, name or name(key=value, …); a wrong name lists them all.

    Arguments:
        process: The noise process to sample by: edm, ve, vp, subvp, cosine, flow, … [default: edm]
        objective: The loss: denoisingscorematching, slicedscorematching, exactscorematching, learneduncertainty.
        parametrization: What the network predicts: data, noise, score, v, flow, edm. [default: edm]
        sampler: How samples are drawn by default: heun, "ddim(eta=1, steps=50)", …
        noise_levels: Noise levels in place of those of the data, all or some: "noiselevels(sigma_min=0.001)".
        units: What is subtracted from the data, and what they are divided by. [default: mean and standard deviation]
    """

    process: str | None = None
    objective: str | None = None
    parametrization: str | None = None
    sampler: str | None = None
    noise_levels: str | None = None
    units: tuple[float, float] | None = None

    def given(self) -> dict[str, Any]:
        """Those that were made."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def with_new_words(words: Sequence[str]) -> list[str]:
    """A command line with the new names of commands and of settings, for a version; old ones are said on stderr."""
    found = list(words)
    if found and found[0] in COMMANDS:
        _renamed(found[0], COMMANDS[found[0]])
        found[0] = COMMANDS[found[0]]
    for i, word in enumerate(found):
        name, sign, value = word.partition("=")
        old = name.removeprefix("--").replace("-", "_")
        if found[0] == "fit" and name.startswith("--") and old in RENAMED:
            new = f"--{RENAMED[old].replace('_', '-')}"
            _renamed(name, new)
            found[i] = f"{new}{sign}{value}"
    return found


def _renamed(old: str, new: str) -> None:
    say(f"warning: {old} is now {new}: write {new}")


@dataclass(frozen=True)
class Reading:
    """How a file of data is read.

    Arguments:
        key: The array in an .npz, .h5, .nc or .zarr, or the column of images in a .parquet; by default the largest.
        columns: The columns of a table; by default all.
        resize: The side in pixels to which images are brought.
        cache: The folder for copies of data that are larger than memory. [default: ~/.cache/scorefield]
    """

    key: str | None = None
    columns: tuple[str, ...] | None = None
    resize: int | None = None
    cache: Path | None = None

    def read(self, path: Path) -> Any:
        """The data in the file."""
        from ..data import read

        return read(**{**self.source(path), "path": path})

    def given(self, path: Path | None) -> Any:
        """The data in the file; None leaves them to the run."""
        return None if path is None else self.read(path)

    def source(self, path: Path) -> dict[str, Any]:
        """What `scorefield.data.read` is called with, wherever from."""
        import os

        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scorefield"
        columns = None if self.columns is None else list(self.columns)
        options = {"path": path.expanduser().absolute(), "cache": (self.cache or home).expanduser().absolute()}
        return {**asdict(self), "columns": columns, **{name: str(value) for name, value in options.items()}}


def names_of(arguments: ArgumentCollection) -> dict[str, Any]:
    """The options of a command, by their names in a file."""
    flags = {argument.name: argument for argument in arguments if argument.name.startswith("--")}
    named = {flag.removeprefix("--").replace("-", "_"): argument for flag, argument in flags.items()}
    return {name: argument for name, argument in named.items() if name.isidentifier()}  # less the groups, called *


def from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Takes options that the command line lacks from the file that its `--config` names.

    The file holds the options themselves, or a table of them for each command, or both: the table comes first.

    Raises:
        CycloptsError: If there is no such file, it is not TOML, or it has an option that the command lacks.
    """
    known = names_of(arguments)
    tokens = known["config"].tokens if "config" in known else []
    if not tokens or not commands:
        return
    path, command = Path(tokens[0].value), commands[-1]
    content = {COMMANDS.get(name, name).replace("_", "-"): value for name, value in _content(path).items()}
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    given = {name: value for name, value in content.items() if name not in tables} | tables.get(command, {})
    given = {name.replace("-", "_"): value for name, value in given.items()}
    if command == "fit":
        for name in RENAMED.keys() & given.keys():
            _renamed(f"{path}: {name}", RENAMED[name])
        given = with_new_names(given)
    verbs = [name for name in app.app_stack.current_frame[0] if not name.startswith("-")]
    for name in set(tables) - set(verbs):
        raise CycloptsError(msg=_unknown(path, "there is no command", name, verbs))
    options = [name for name in known if name != "config"]
    for name, value in given.items():
        if name not in options or isinstance(value, dict):
            raise CycloptsError(msg=_unknown(path, f"{command} has no option", name, options))
    if any(known[name].tokens for name in _BUDGETS if name in known):  # a budget on the line replaces that of the file
        given = {name: value for name, value in given.items() if name not in _BUDGETS}
    Dict(given, source=str(path), use_commands_as_keys=False)(app, commands, arguments)


def _content(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.expanduser().read_text("utf-8"))
    except OSError as error:
        raise CycloptsError(msg=f"{path} cannot be read ({error.strerror}): check the path of --config") from None
    except ValueError as error:
        raise CycloptsError(msg=f"{path} is not TOML ({error}): correct it") from None


def _unknown(path: Path, what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return f"{path}: {what} {name}: {hint}"
