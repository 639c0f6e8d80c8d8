"""Reports: figures, animations and self-contained HTML pages."""

from .animation import animation
from .axes import page_figures
from .base import DARK, LIGHT, Theme
from .figures import level_losses, neighbour_histogram, scatter_matrix, scatter_pair, training_curve
from .grids import sample_grid
from .page import Content, write_page
from .run import report_content

__all__ = [
    "DARK", "LIGHT", "Content", "Theme", "animation", "level_losses", "neighbour_histogram",
    "page_figures", "report_content", "sample_grid", "scatter_matrix", "scatter_pair", "training_curve", "write_page",
]  # fmt: skip
