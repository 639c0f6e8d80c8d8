"""File formats, each in one file: a format recognizes its files, reads them, and writes samples if it can."""

from .base import Entry, Format, Selection
from .csv import Csv
from .hdf5 import Hdf5
from .image_folder import ImageFolder
from .netcdf import NetCDF
from .npy import Npy, Npz
from .parquet import Parquet
from .zarr import Zarr

FORMATS: tuple[Format, ...] = (Npy(), Npz(), Csv(), Parquet(), Hdf5(), NetCDF(), Zarr(), ImageFolder())
"""The formats that files are read and written in, in the order in which they are asked."""

__all__ = [
    "FORMATS",
    "Csv",
    "Entry",
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
