"""`scorefield show`: a local page to play with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .terminal import say
from .verbs import Config, Device, app, device_of, model_of

__all__ = ["show"]


@app.command(
    sort_key=3.5,
    help_epilogue="""Examples:

  scorefield show run
  scorefield show run --port 8765 --no-open""",
)
def show(
    run: Path,
    /,
    *,
    port: int = 0,
    open_page: Annotated[bool, Parameter(name="--open", negative="--no-open")] = True,
    device: Device = "auto",
    config: Config = None,
) -> None:
    """Play with a model on a local page: draw, condition, paint, interpolate, log-densities, the report.

    The page is served on 127.0.0.1 alone, at an address with a token, and asks nothing from the network. Ctrl-C ends it.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        port: The port; 0 takes a free one.
        open_page: Whether the page is opened in a browser.
    """
    from ..show import serve

    model = model_of(run).to(device_of(device))
    folder = run if run.is_dir() else run.parent

    def begin(address: str) -> None:
        say("serving this page until Ctrl-C:")
        print(address, flush=True)
        if open_page:
            import webbrowser

            webbrowser.open(address)

    serve(model, str(run), port, folder / "report.html", begin)
    say("ended")
