"""The command line: `scorefield fit`, `sample`, `evaluate`, `report`, `calibrate`, `info`. It starts without torch."""

from .entry import main as main

__all__ = ["main"]
