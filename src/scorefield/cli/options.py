"""Groups of options that commands share, and the TOML file that gives those which the command line does not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import CycloptsError
from cyclopts.config import Dict

from ..progress import part
from ..reading import reading, text_of
from ..settings import RENAMED, Data, with_new_names
from .launching import first
from .terminal import notes, say

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection

    from ..evaluation import RunData
    from ..model import Model
    from ..samplers import Sampling

__all__ = ["COMMANDS", "NAMES", "Choices", "Conditions", "Drawing", "Form", "Reading"]
__all__ += ["from_file", "names_among", "names_of", "with_new_words"]

COMMANDS = {"calibrate": "noise-levels"}
"""New names of commands by old ones, which work for a version."""

NAMES = """Samplers are those of scorefield.samplers (ddim, heun, dpm, unipc, churn, …),
schedules those of scorefield.schedules (karras, loglevel, …),
processes those of scorefield.processes (vp, ve, edm, flow, …).
An unknown name lists them all."""

_LISTS = ("columns", "missing_words")  # of what a file is read with
_BUDGETS = ("minutes", "steps", "epochs")
_TABLES = ("bounds", "kinds")  # options that a file may also give as a table


@dataclass(frozen=True)
class Choices:
    """What fit would choose from the data. Each is name or name(key=value, …); an unknown name lists them all.

    Arguments:
        process: The noise process to sample with: edm, ve, vp, subvp, cosine, flow, … [default: edm]
        objective: The loss: denoisingscorematching, slicedscorematching, exactscorematching, learneduncertainty.
        parametrization: What the network predicts: data, noise, score, v, flow, edm. [default: edm]
        sampler: How samples are drawn by default: heun, "ddim(eta=1, steps=50)", …
        noise_levels: Noise levels in place of those chosen from the data, all or some: "noiselevels(sigma_min=0.001)".
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
    """A command line with the new names of commands and settings, for a version; old ones get a warning on stderr."""
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
        key: The array in an .npz, .h5, .nc or .zarr, or the column of images in a .parquet; by default the largest. Of .nc, .h5
            and .zarr all variables on the same axes, or those that are named: t2m,pr. Of an .xlsx the sheet; by default the
            first that is a table.
        columns: The columns of a table; by default all.
        resize: The side in pixels to which images are resized.
        cache: The folder for copies of data that are larger than memory. [default: ~/.cache/scorefield]
        missing_words: Words for missing values in a table of text, in addition to those that are known: "not asked". Where data
            go to a run, those that its own data were read with are the default.
    """

    key: str | None = None
    columns: tuple[str, ...] | None = None
    resize: int | None = None
    cache: Path | None = None
    missing_words: tuple[str, ...] | None = None

    def read(self, path: Path, run: Path | None = None) -> Any:
        """The data in the file, which may be for a run; what was not plain in it is said."""
        from ..data import read, takes
        from ..runs import Run

        source = {**self.source(path), "path": path}
        with notes(), part(0, 1, f"reading {path.name}"):
            if run is not None and self.missing_words is None and takes(path, "missing_words"):
                source["missing_words"] = Run(run).missing_words or None
            return read(**source)

    def given(self, path: Path | None, run: Path) -> Any:
        """The data in the file, for a run; None leaves them to the run."""
        return None if path is None else self.read(path, run)

    def source(self, path: Path) -> dict[str, Any]:
        """What `scorefield.data.read` is called with, wherever from."""
        import os

        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scorefield"
        lists = {name: value and list(value) for name, value in asdict(self).items() if name in _LISTS}
        options = {"path": path.expanduser().absolute(), "cache": (self.cache or home).expanduser().absolute()}
        return {**asdict(self), **lists, **{name: str(value) for name, value in options.items()}}


@dataclass(frozen=True)
class Form:
    """What the form of the data is, and what the columns of a table hold. What is left out is found from the data.

    Arguments:
        structure: "vector" (a table), "grid" (signals, fields, images, volumes), or "auto": from the shape.
        channels: Where the channels of a grid are: "first" or "last" after the sample axis, "none", or "auto".
        held_out: The fraction of the data held out of training, to measure the loss on; 0 for none.
        dequantize: Whether whole numbers, and others on a fine lattice, are learned as the cells they stand for, x - 1/2 to
            x + 1/2, with new uniform noise each time: densities need it. Without it they are points; those of tables with
            categories or missing values are cells in any case.
        maps: "auto": each column, or channel, is mapped to standard units as suits it, and exact relations are kept;
            "affine": mean and standard deviation alone.
        categorical: Columns whose values are categories, such as codes in integers: zone,band.
        numeric: Columns whose values are numbers.
        bounds: What numbers cannot lie below and above: share=0:1 load=0: for each column.
        log: Columns of positive numbers that are learned on a logarithmic scale.
        missing: Whether missing values are drawn where the data miss ("draw"), or samples are complete
            ("complete"): what a row misses is drawn given the rest of it.
        conditionals: Whether any columns given any others are learned, too: "auto", where a table has categories, atoms or
            missing values; "learn", of smooth numbers too, which are drawn by particles otherwise.
        targets: Columns that will be asked for given all the others, which are learned most: price, or several groups of
            them, price,area rooms.
        keep: Columns that are kept even if they seem to be identifiers or free text.
        kinds: What columns are: day=date code=category weight=number, or note="leave out".
        constraints: What every row satisfies and every sample shall satisfy: "start <= end" "a + b == total".
        split: Which rows are held out: "distinct", a random part in which copies of a row stay together, or the last rows of
            overlapping windows; "rows", any rows; "time", the last ones; "time=COLUMN", the last ones by a column of dates or
            numbers.
        groups: The column whose equal values say that rows belong together, as those of one patient do, or a file with a
            label for each row: a group is held out as a whole.
        rows: The column that names the row to which a reading belongs, in a table in long format: rows of different length.
        time: The column of times of such readings, numbers or dates; without it, rows are sets.
        channel: The column that says what was read; without it, each column of values is a channel.
        mirror: The spatial axes of a grid, counted from 0, along which mirrored examples are as probable as the examples: 1
            where images may be exchanged with their mirror images, left for right.
    """

    structure: Literal["auto", "vector", "grid"] = "auto"
    channels: Literal["auto", "first", "last", "none"] = "auto"
    held_out: float = 0.1
    dequantize: bool = True
    maps: Literal["auto", "affine"] = "auto"
    categorical: tuple[str, ...] | None = None
    numeric: tuple[str, ...] | None = None
    bounds: tuple[str, ...] | None = None
    log: tuple[str, ...] | None = None
    missing: Literal["draw", "complete"] = "draw"
    conditionals: Literal["auto", "learn"] = "auto"
    targets: tuple[str, ...] | None = None
    keep: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    constraints: tuple[str, ...] | None = None
    split: str = "distinct"
    groups: str | None = None
    rows: str | None = None
    time: str | None = None
    channel: str | None = None
    mirror: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.data()  # which says at once what cannot be meant

    def data(self, columns: Sequence[str] = ()) -> Data:
        """The value that Python takes, for a table with these columns: only their names may hold commas."""
        lists = {name: getattr(self, name) for name in ("categorical", "numeric", "log", "keep")}
        given: dict[str, Any] = {n: words and names_among(words, columns) for n, words in lists.items()}
        given["bounds"] = None if self.bounds is None else dict(_bounds(word) for word in self.bounds)
        given["columns"] = None if self.kinds is None else dict(_pair(word, "kinds", "day=date") for word in self.kinds)
        given |= {"maps": self.maps, "missing": self.missing, "constraints": tuple(self.constraints or ())}
        given |= {"conditionals": self.conditionals, "split": self.split, "groups": self.groups}
        given["targets"] = tuple(_listed(word, columns) for word in self.targets or ())
        given |= {"rows": self.rows, "time": self.time, "channel": self.channel, "mirror": self.mirror}
        return Data(self.structure, self.channels, self.held_out, self.dequantize, **given)

    def with_labels(self, x: Any) -> tuple[Data, Any]:
        """The value that Python takes, and the labels of groups if a file holds them, not a column of the data."""
        from ..data import read

        names = [str(name) for name in getattr(x, "columns", ())]
        data = self.data(names)
        if self.groups is None or self.groups in names or not Path(self.groups).is_file():
            return data, None
        return replace(data, groups=None), read(self.groups)


def names_among(words: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Names that are separated by commas or given one by one; those of these columns may hold commas."""
    return tuple(name for word in words for name in _listed(word, columns))


def _listed(word: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The names between the commas of a word; a word that is the name of a column is that name."""
    return (word,) if word in columns else tuple(filter(None, word.split(",")))


def _pair(word: str, option: str, example: str) -> tuple[str, str]:
    """The name of a column and what is said of it."""
    name, sign, value = word.rpartition("=")
    if not sign or not name:
        raise ValueError(f"--{option} takes name=value, such as {example}, got {word!r}")
    return name, value


def _bounds(word: str) -> tuple[str, tuple[float | None, float | None]]:
    """The name of a column and its bounds."""
    name, ends = _pair(word, "bounds", "share=0:1")
    try:
        low, high = (float(end) if end.strip() else None for end in ends.split(":"))
    except ValueError:
        raise ValueError(f"--bounds takes name=low:high, such as share=0:1 or load=0:, got {word!r}") from None
    return name, (low, high)


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn. What is left out is taken from the model.

    Arguments:
        sampler: The sampler, as name or name(key=value, …): heun, "ddim(eta=1)", "heun(steps=20, schedule=karras)".
        steps: The number of steps, if the sampler does not give its own. A sampler that chooses its own steps, such as
            dormandprince, only stops at that many times, and 1 is best.
        schedule: The times to step through, such as karras or "karras(rho=5)".
        process: The noise process, such as vp or flow; it uses the noise levels of the model.
    """

    sampler: str | None = None
    steps: int | None = None
    schedule: str | None = None
    process: str | None = None

    def sampling(self) -> Sampling:
        """The value that Python takes."""
        from ..samplers import Sampling

        return Sampling.asked(self.sampler, self.steps, self.schedule, self.process)


@dataclass(frozen=True)
class Conditions:
    """What a model is conditioned on: the context it was fitted with, or columns of its data.

    Arguments:
        given: What is known, for each context or column of the data that is conditioned on; all other columns are drawn.
            name=value (NA, or nothing, where one is missing); a list of values is one for each row in turn, not a range or a
            set: for these draw more rows, and keep those within. Or values of the context in order, or a file with a row for
            each sample or row of data; compare, diagnose, evaluate and report take one context.
        guidance: The weight of guidance, which strengthens the effect of the context; 1 for none.
        guidance_interval: The noise levels between which guidance acts, in standard deviations of the data; by default all.
    """

    given: tuple[str, ...] | None = None
    guidance: float = 1.0
    guidance_interval: tuple[float, float] | None = None

    def applied(self, model: Model) -> Model:
        """The model, conditioned on the context; a ValueError says what is missing, or does not belong to this model."""
        if self.given is None:
            if self.guidance != 1 or self.guidance_interval is not None:
                raise ValueError(f"--guidance {self.guidance:g} sharpens a context: give one with --given")
            self._check(model)
            if model.context is not None and first():
                names = " ".join(f"{name}=…" for name in model.context.names)
                say(f"no context is given, and this is of data of all contexts together; of one: --given {names}")
            return model
        interval: dict[str, Any] = {} if self.guidance_interval is None else {"interval": self.guidance_interval}
        given = self._context(model)
        with notes():
            return model.condition(given, guidance=self.guidance, **interval)

    def applied_to(self, data: RunData, needs: bool = False) -> RunData:
        """The same for a run with its data; without a context those of the held-out rows, unless one `needs` to be given."""
        if needs and self.given is None:
            self.applied(data.model)
            return data
        given = None if self.given is None else self._context(data.model)
        with notes():
            return data.conditioned(given, self.guidance, self.guidance_interval)

    def _check(self, model: Model) -> None:
        """Raises if the model cannot answer without a context."""
        if model.context is None:
            return
        try:
            _ = model.diffusion
        except ValueError:
            names = " ".join(f"{name}=…" for name in model.context.names)
            raise ValueError(f"this model needs a context: say which with --given {names}") from None

    def _context(self, model: Model) -> Any:
        """The context as `Model.condition` takes it."""
        from ..calls import plain_value
        from ..data.columns.number_marks import is_missing
        from ..given_text import assignment, from_text

        words = self.given or ()
        pairs = [pair for word in words if (pair := assignment(model, word)) is not None]
        if len(pairs) == len(words):
            twice = [name for i, (name, _) in enumerate(pairs) if name in [other for other, _ in pairs[:i]]]
            if twice:
                raise ValueError(f"--given has {twice[0]} twice: give it once, or a file with a row for each value")
            return from_text(model, dict(pairs))
        if pairs:
            raise ValueError(f"--given takes name=value for each, or values alone; got {' '.join(words)}")
        if len(words) == 1 and Path(words[0]).is_file():
            from ..data import read

            return read(words[0])
        if model.context is not None and model.context.columns and len(words) == len(model.context.names):
            return [*from_text(model, dict(zip(model.context.names, words))).values()]
        values = [None if is_missing(text) else plain_value(text) for text in words]
        return values[0] if len(values) == 1 else values


def names_of(arguments: ArgumentCollection) -> dict[str, Any]:
    """The options of a command, by their names in a file."""
    flags = {argument.name: argument for argument in arguments if argument.name.startswith("--")}
    named = {flag.removeprefix("--").replace("-", "_"): argument for flag, argument in flags.items()}
    return {name: argument for name, argument in named.items() if name.isidentifier()}  # less the groups, called *


def from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Takes options that the command line lacks from the file that its `--config` names.

    The file holds the options themselves, or a table of them for each command, or both: the table comes first.
    """
    known = names_of(arguments)
    tokens = known["config"].tokens if "config" in known else []
    if not tokens or not commands:
        return
    path, command = Path(tokens[0].value), commands[-1]
    content = {COMMANDS.get(name, name).replace("_", "-"): value for name, value in _content(path).items()}
    content = {name: _as_words(value) if name in _TABLES else value for name, value in content.items()}
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
    given = {name: _as_words(value) if name in _TABLES else value for name, value in given.items()}
    for name, value in given.items():
        if name not in options or isinstance(value, dict):
            raise CycloptsError(msg=_unknown(path, f"{command} has no option", name, options))
    if any(known[name].tokens for name in _BUDGETS if name in known):  # a budget on the line replaces that of the file
        given = {name: value for name, value in given.items() if name not in _BUDGETS}
    Dict(given, source=str(path), use_commands_as_keys=False)(app, commands, arguments)


def _as_words(value: Any) -> Any:
    """What a table of a file says of each column, in the words of the command line."""
    if not isinstance(value, dict):
        return value
    ends = {name: v if isinstance(v, list) else [v] for name, v in value.items()}
    return [f"{name}={':'.join(map(str, each))}" for name, each in ends.items()]


def _content(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        text = text_of(path, "configuration", "is it the file of --config?")
        with reading(path, "correct it"):
            return tomllib.loads(text)
    except (OSError, ValueError) as error:
        wrong = isinstance(error.__cause__, tomllib.TOMLDecodeError)
        raise CycloptsError(
            msg=f"{path} is not TOML ({error.__cause__}): correct it" if wrong else str(error)
        ) from None


def _unknown(path: Path, what: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return f"{path}: {what} {name}: {hint}"
