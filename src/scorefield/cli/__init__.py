"""The command line: `fit`, `sample`, `evaluate`, `report`, `compare`, `calibrate`, `info`, `import`."""

from .entry import main as main

__all__ = ["main"]
