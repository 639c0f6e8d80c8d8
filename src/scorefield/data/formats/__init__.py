"""File formats, each in one file: a format recognizes its files, reads them, and writes samples if it can."""

import inspect
import pkgutil
from importlib import import_module

from .base import Entry, Format, Selection
from .csv import Csv
from .excel import Excel
from .file_folder import FileFolder
from .hdf5 import Hdf5
from .image_folder import ImageFolder
from .netcdf import NetCDF
from .npy import Npy, Npz
from .parquet import Parquet
from .zarr import Zarr


def _defined_here() -> tuple[Format, ...]:
    """One object of each format that a module of this package defines: a new file is enough for a new format."""
    modules = [import_module(module.name) for module in pkgutil.iter_modules(__path__, f"{__name__}.")]
    classes = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Format) and value.__module__ == module.__name__
    ]
    concrete = (cls for cls in classes if not inspect.isabstract(cls) and not cls.__name__.startswith("_"))
    return tuple(cls() for cls in sorted(concrete, key=lambda cls: (cls.position, cls.__name__)))


FORMATS: tuple[Format, ...] = _defined_here()
"""The formats that files are read and written in, in the order in which they are asked: by `position`, then by name."""

__all__ = [
    "FORMATS",
    "Csv",
    "Entry",
    "Excel",
    "FileFolder",
    "Format",
    "Hdf5",
    "ImageFolder",
    "NetCDF",
    "Npy",
    "Npz",
    "Parquet",
    "Selection",
    "Zarr",
]
