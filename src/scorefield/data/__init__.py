"""Data: rows in memory or on disk, their layout for networks, and the way back to what the user gave."""

from .files import contents, read
from .lattice import cells
from .rows import ArrayRows, FileRows, Rows
from .schema import Schema
from .summary import Summary, summarize

__all__ = ["ArrayRows", "FileRows", "Rows", "Schema", "Summary", "cells", "contents", "read", "summarize"]
