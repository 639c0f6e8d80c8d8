"""Imports of old modules and names: they work, with a warning that names the new ones (`renames` has the table)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .renames import GONE, NAMES, PACKAGE, current, outwards

__all__ = ["REMOVED_IN", "install", "warn"]

REMOVED_IN = "0.3"
_MACHINERY = {PACKAGE, f"{PACKAGE}._old_names", "importlib", "importlib._bootstrap", "_frozen_importlib"}
_PLACES = {path.rpartition(".")[0] for path in NAMES | GONE}


def warn(old: str, new: str) -> None:
    """Warns that a name has changed, at the line of the caller's code that used it."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__") in _MACHINERY:
        frame = frame.f_back
    message = f"{old} is now {new}; the old name goes away in version {REMOVED_IN}"
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    name = frame.f_globals.get("__name__", "<unknown>")
    warnings.warn_explicit(message, DeprecationWarning, frame.f_code.co_filename, frame.f_lineno, name, registry)


def _lookup(path: str) -> Any:
    """What today's path names: a module, what one holds, or a method, which takes its object as the first argument."""
    module, _, name = path.rpartition(".")
    if name and module and module.rpartition(".")[2][:1].isupper():
        return getattr(_lookup(module), name)
    parent = import_module(f"{PACKAGE}.{module}") if module else sys.modules[PACKAGE]
    if not hasattr(parent, name) and hasattr(parent, "__path__") and find_spec(f"{PACKAGE}.{path}"):
        return import_module(f"{PACKAGE}.{path}")
    return getattr(parent, name)


def _gone(path: str) -> str:
    return f"{PACKAGE}.{path} is gone: use {PACKAGE}.{GONE[path]}"


def _old_attribute(module: str, name: str) -> Any:
    """A name that a module, old or not, had in an earlier version."""
    if f"{module}.{name}" in GONE:
        raise AttributeError(_gone(f"{module}.{name}"), name=name)
    new = current(f"{module}.{name}")
    if name.startswith("_") or new == f"{module}.{name}":
        raise AttributeError(f"module '{PACKAGE}.{module}' has no attribute {name!r}", name=name)
    found = _lookup(new)
    if isinstance(found, ModuleType):
        return import_module(f"{PACKAGE}.{module}.{name}")
    warn(f"{PACKAGE}.{module}.{name}", f"{PACKAGE}.{new}")
    return found


class _OldModule(ModuleType):
    """Stands where a module was: its names are those of the modules that took its place."""

    def __getattr__(self, name: str) -> Any:
        module = self.__name__.removeprefix(f"{PACKAGE}.")
        if name == "__all__":
            return self.__dir__()
        return _old_attribute(module, name)

    def __dir__(self) -> list[str]:
        module = self.__name__.removeprefix(f"{PACKAGE}.")
        new = import_module(f"{PACKAGE}.{current(module)}")
        public = getattr(new, "__all__", [name for name in dir(new) if not name.startswith("_")])
        return sorted({path.rpartition(".")[2] for path in NAMES if path.rpartition(".")[0] == module} | set(public))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The function of today that has the name of an old module, which hides it once it is imported."""
        found = self._function()
        if found is None:
            raise TypeError(f"{self.__name__} is a module, which cannot be called")
        return found(*arguments, **named)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        found = self._function()
        if found is None:
            raise AttributeError("__signature__")
        return signature(found)

    def _function(self) -> Any:
        verb = vars(sys.modules[PACKAGE])["_HOMES"].get(self.__name__.removeprefix(f"{PACKAGE}."))
        return vars(self).get("_hidden") if verb is None else _lookup(".".join(verb))


class _OldLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _OldModule(spec.name, f"An old name of {PACKAGE}.{current(spec.name.removeprefix(f'{PACKAGE}.'))}.")

    def exec_module(self, module: ModuleType) -> None:
        """Everything is looked up when it is asked for, but for what the package holds under this name today."""
        package, _, name = module.__name__.rpartition(".")
        held = vars(sys.modules[package]).get(name)
        if callable(held) and not isinstance(held, ModuleType):
            vars(module)["_hidden"] = held


class _Finder(MetaPathFinder):
    """Finds old modules, and lets modules whose names have changed answer to the old ones."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = fullname.partition(".")
        if package != PACKAGE or not module:
            return None
        if module in GONE:
            raise ModuleNotFoundError(_gone(module), name=fullname)
        new = current(module)
        if new != module:
            if not find_spec(f"{PACKAGE}.{new}"):
                return None
            warn(fullname, f"{PACKAGE}.{new}")
            return ModuleSpec(fullname, _OldLoader(), is_package=True)
        if not _PLACES.intersection(outwards(module)):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            run = spec.loader.exec_module

            def exec_module(made: ModuleType) -> None:
                run(made)
                _answer_to_old_names(made, module)

            vars(spec.loader)["exec_module"] = exec_module
        return spec


def _answer_to_old_names(made: ModuleType, module: str) -> None:
    own = vars(made).get("__getattr__")

    def attribute(name: str) -> Any:
        if own:
            try:
                return own(name)
            except AttributeError:
                if current(f"{module}.{name}") == f"{module}.{name}":
                    raise
        return _old_attribute(module, name)

    vars(made)["__getattr__"] = attribute


def install() -> None:
    """Makes the old names importable."""
    if not any(type(finder).__qualname__ == _Finder.__qualname__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
