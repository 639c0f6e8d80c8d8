"""The command line. Every module here that defines commands adds them, and `scorefield --help` lists them all."""

from .entry import main

__all__ = ["main"]
