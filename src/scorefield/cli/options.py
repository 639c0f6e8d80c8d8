"""Where options come from: the command line, and a TOML file for those that the line does not give."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import CycloptsError
from cyclopts.config import Dict

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection

__all__ = ["Reading", "from_file", "names_of"]

_BUDGETS = ("minutes", "steps", "epochs")


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
    """Gives options that the command line does not from the file that its `--config` names.

    The file holds the options themselves, or a table of them for each command, or both: the table comes first.

    Raises:
        CycloptsError: If there is no such file, it is no TOML, or it has an option that the command has not.
    """
    known = names_of(arguments)
    tokens = known["config"].tokens if "config" in known else []
    if not tokens or not commands:
        return
    path, command = Path(tokens[0].value), commands[-1]
    content = _content(path)
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    given = {name: value for name, value in content.items() if name not in tables} | tables.get(command, {})
    given = {name.replace("-", "_"): value for name, value in given.items()}
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
