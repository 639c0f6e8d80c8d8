"""Progress: what loops report, and what is shown of it in a terminal, a notebook and a log."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import scorefield
from scorefield import bars, progress
from scorefield.bars import Clock, Moment, line
from scorefield.comparison import compare
from scorefield.inverse import check_posterior, evidence
from scorefield.measurement import Linear, Measurement
from scorefield.training import Announcer

TINY = {"network": scorefield.Network(widths=(16,), depth=1), "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of columns that correlate, and its data."""
    folder = tmp_path_factory.mktemp("progress")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) @ np.array([[1.0, 0.5, 0], [0, 1, 0.3], [0, 0, 1]])
    np.save(folder / "data.npy", x)
    source = {"path": str(folder / "data.npy")}
    scorefield.fit(x, folder / "run", steps=60, source=source, progress=False, **TINY)
    return scorefield.Run(folder / "run")


def reports(work):
    """What was reported by some work, and how long it took."""
    found = []
    with progress.listening(found.append):
        work()
    return found


def falls(found):
    """The names of what began anew, where a report is below the one before."""
    return [b.what for a, b in pairwise(found) if b.fraction < a.fraction - 1e-9]


class TestChannel:
    def test_nobody_listens(self):
        assert not progress.heard()
        progress.report(0.5)
        with progress.part(0, 1), progress.parts({"a": 1})("a"):
            assert not progress.heard()

    def test_parts_of_parts(self):
        def work():
            with progress.part(0.5, 1):
                for _ in progress.mapped(lambda i: progress.report(0.5), range(2)):
                    pass

        assert [r.fraction for r in reports(work)] == [0.5, 0.5, 0.625, 0.75, 0.75, 0.875, 1.0, 1.0]

    def test_the_outermost_name_is_shown(self):
        def work():
            with progress.part(0, 1, "outer"), progress.part(0, 1, "inner"):
                progress.report(0.5, "innermost")

        assert {r.what for r in reports(work)} == {"outer"}

    def test_a_part_never_falls_and_what_follows_may(self):
        def work():
            for what in ("first", "second"):
                with progress.part(0, 1, what):
                    for fraction in (0.2, 0.7, 0.1, 0.9):
                        progress.report(fraction)

        found = reports(work)
        assert falls(found) == ["second"]
        assert [r.fraction for r in found][:6] == [0, 0.2, 0.7, 0.7, 0.9, 1.0]

    def test_an_error_leaves_the_channel_as_it_was(self):
        found = []
        with progress.listening(found.append):
            with pytest.raises(ValueError), progress.part(0.5, 1):
                raise ValueError
            progress.report(0.1)
        assert [r.fraction for r in found] == [0.5, 0.1] and not progress.heard()

    def test_a_generator_that_is_left_early_leaves_it_too(self):
        found = []
        with progress.listening(found.append):
            values = progress.mapped(abs, range(4))
            next(values)
            progress.report(0.0)
            values.close()
            progress.report(0.0)
        assert [r.fraction for r in found] == [0, 0.25, 0, 0]

    def test_quiet(self):
        def work():
            with progress.quiet():
                progress.report(0.5)

        assert reports(work) == []

    def test_reports_cost_next_to_nothing(self):
        begin = time.perf_counter()
        for _ in range(10_000):
            with progress.part(0, 1):
                progress.report(0.5)
        assert time.perf_counter() - begin < 1.0  # less than 0.1 ms for each; a step of a network takes more


class TestVerbs:
    """Everything that takes long says how far it is, evenly enough, by one bar from 0 to 1."""

    def work(self, run):
        model, x = run.model, np.zeros((40, 3))
        observed = model.observe(Measurement(Linear(np.eye(3)[:1]), np.zeros(1), 0.3))
        return {
            "sample in one batch": (lambda: model.sample(20), 30),
            "sample in batches": (lambda: model.sample(1100, batch=7), 60),
            "an adaptive sampler": (lambda: model.sample(20, sampler="dormandprince"), 8),
            "sample a posterior": (lambda: observed.sample(10), 30),
            "log-densities": (lambda: model.log_prob(x), 10),
            "log-densities to an error": (lambda: model.log_prob(x, target_error=1e-3), 10),
            "encode": (lambda: model.encode(x), 5),
            "evaluate": (lambda: scorefield.evaluate(run, count=120), 100),
            "compare": (lambda: compare(run, ("heun(steps=4)", "ddim(steps=4)"), count=60), 30),
            "diagnose": (lambda: scorefield.diagnose(run), 50),
            "check of a posterior": (lambda: check_posterior(observed, 8, draws=4), 50),
            "evidence": (lambda: evidence(observed, particles=20, steps=10), 10),
        }

    @pytest.mark.parametrize(
        "name",
        [
            "sample in one batch",
            "sample in batches",
            "an adaptive sampler",
            "sample a posterior",
            "log-densities",
            "log-densities to an error",
            "encode",
            "evaluate",
            "compare",
            "diagnose",
            "check of a posterior",
            "evidence",
        ],
    )
    def test_each_goes_from_0_to_1(self, run, name):
        work, least = self.work(run)[name]
        found = reports(work)
        fractions = np.array([r.fraction for r in found])
        assert len(found) >= least and not falls(found)
        assert fractions[0] < 0.1 and fractions[-1] == pytest.approx(1.0)
        assert np.diff(fractions).max() < 0.6
        assert all(r.what for r in found if r.fraction > 0), {r.fraction for r in found if not r.what}

    def test_a_fit_says_what_comes_before_the_first_step_and_after_the_last(self):
        found = reports(lambda: scorefield.fit(np.random.default_rng(0).normal(size=(200, 2)), steps=50, **TINY))
        names = list(dict.fromkeys(r.what for r in found))
        assert names[:3] == ["reading the form of the data", "choosing noise levels", "training"]
        assert names[3:5] == ["choosing weights", "losses by noise level"]
        assert falls(found) == ["choosing noise levels", "training", "choosing weights"]
        assert sum(r.what == "training" for r in found) >= 50
        assert found[-1].fraction == pytest.approx(1.0)

    def test_listening_changes_no_number(self, run):
        heard = []
        reports(lambda: heard.append(run.model.sample(20, seed=3)))
        assert np.array_equal(heard[0], run.model.sample(20, seed=3, progress=False))


def training(number, seconds, monkeypatch):
    """Progress of training whose steps take `seconds` each, by a clock of its own."""
    clock = [100.0]
    fake = SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr(bars, "time", fake)
    monkeypatch.setattr("scorefield.training.announcing.time", fake)
    for step in range(1, number + 1):
        clock[0] += seconds
        held_out = 0.25 if step % 100 == 0 else None
        yield SimpleNamespace(step=step, fraction=step / number, loss=torch.tensor(0.5), held_out=held_out)


def test_spans_of_time():
    spans = [bars.duration(seconds) for seconds in (0.2, 59, 60, 3599, 3600, 90000)]
    assert spans == ["0 s", "59 s", "1:00", "59:59", "1:00 h", "25:00 h"]


@pytest.mark.parametrize(
    ("seconds", "speed"), [(0.001, "1,000 steps/s"), (0.1, "10 steps/s"), (0.7, "1.4 steps/s"), (14.5, "14.5 s/step")]
)
@pytest.mark.parametrize("every", [1, 3])
def test_the_speed_is_that_of_the_steps_and_of_the_first_one_none_is_known(seconds, speed, every, monkeypatch):
    said: list[list[str]] = []

    def listen(report):
        if announce._now.step % every == 0:
            said.append(list(report.details()))

    announce = Announcer()
    with progress.listening(listen):
        for each in training(12, seconds, monkeypatch):
            announce(each)
    speeds = [[detail for detail in details if "step/" in detail or "/s" in detail] for details in said]
    assert speeds == [[speed] if (i + 1) * every > 1 else [] for i in range(len(said))] and len(said) == 12 // every
    assert all(details[0] == "loss 0.5000" for details in said)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestShown:
    def test_a_log_gets_a_line_every_ten_seconds(self, monkeypatch, capsys):
        announce, steps = Announcer(), training(1000, 0.1, monkeypatch)
        first = next(steps)
        with bars.display():
            announce(first)
            for each in steps:
                announce(each)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == pytest.approx(9, abs=1)
        pattern = r"training · \d+ % · (\d+ s|1:\d\d) left · loss 0.5000 · held-out 0.2500 · step \d+ · 10 steps/s"
        assert re.fullmatch(pattern, lines[3])
        assert "\r" not in "".join(lines) and "\x1b" not in "".join(lines)

    def test_a_loop_quicker_than_ten_seconds_writes_nothing_to_a_log(self, monkeypatch, capsys):
        with bars.display():
            for each in training(90, 0.1, monkeypatch):
                Announcer()(each)
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_bar_percentage_and_time_left_stay_at_any_width(self, width):
        details = ("loss 0.4321", "held-out 0.4567", "step 1,234,567", "1,234 steps/s")
        full, empty, words = line(Moment(0.37, 3725, 0.0, "choosing noise levels", details), 0.0, width)
        assert full + empty >= 10 and full == round(0.37 * (full + empty))
        assert words.startswith(" 37 %  1:02 h left")
        assert full + empty + 1 + len(words) <= width
        if width == 120:
            assert words.endswith("held-out 0.4567  step 1,234,567")

    def test_time_left_is_that_of_the_present_speed_of_what_is_being_done(self):
        clock = Clock()
        read = [clock.read(progress.Report(f), t).left for f, t in ((0, 0), (0.1, 2), (0.5, 10), (0.0, 50), (0.5, 60))]
        assert read == [None, 18, 10, None, 10]  # it began anew at 50

    def test_time_left_counts_down_between_reports(self):
        moment = Moment(0.5, 10, 100.0)
        assert [moment.words(now)[1] for now in (100, 103, 120)] == ["10 s left", "7 s left", "0 s left"]

    @pytest.mark.parametrize(
        "wanted, tty, shows", [(None, True, 1), (None, False, 0), (False, True, 0), (True, False, 1)]
    )
    def test_python_shows_a_bar_to_people_alone(self, run, monkeypatch, wanted, tty, shows):
        opened = []
        monkeypatch.setattr(sys, "stderr", Terminal() if tty else io.StringIO())
        monkeypatch.setattr(bars, "_Terminal", lambda: opened.append(1) or bars._Log())
        monkeypatch.setattr(bars, "_Log", type("Log", (bars._Log,), {"__init__": lambda self: opened.append(1)}))
        run.model.sample(3, progress=wanted)
        assert bool(opened) == bool(shows)

    @pytest.mark.parametrize(
        ("count", "seconds", "wanted", "said"),
        [
            (300, 0.5, None, "training: about 2:26 left\n"),  # 293 steps, after 3 seconds
            (40, 0.5, None, ""),
            (300, 0.5, False, ""),
        ],
    )
    def test_a_script_is_told_once_how_long_it_takes(self, count, seconds, wanted, said, monkeypatch, capsys):
        announce, steps = Announcer(), training(count, seconds, monkeypatch)
        first = next(steps)
        with bars.shown(wanted):
            announce(first)
            for each in steps:
                announce(each)
        assert capsys.readouterr() == ("", said)

    def test_within_another_display_no_second_one_opens(self, monkeypatch):
        monkeypatch.setattr(bars, "display", lambda screen: pytest.fail("a second bar"))
        found = []
        with progress.listening(found.append), bars.shown(), bars.shown(True):
            progress.report(0.5)
        assert len(found) == 1

    def test_a_notebook_gets_a_bar_under_the_cell(self, monkeypatch):
        drawn = []

        class Handle:
            def update(self, shown):
                drawn.append(shown)

        def display(shown, display_id):
            drawn.append(shown)
            return Handle()

        ipython = ModuleType("IPython")
        ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
        inner = ModuleType("IPython.display")
        inner.HTML, inner.display = str, display
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", inner)
        announce, steps = Announcer(), training(100, 0.1, monkeypatch)
        first = next(steps)
        with bars.shown():
            announce(first)
            for each in steps:
                announce(each)
        assert 20 <= len(drawn) <= 50 and drawn[-1] == ""
        assert re.match(r'<progress value="0\.\d+" style="[^"]+"></progress> \d+ % · \d+ s left · training', drawn[20])


SLOW = """
import sys, time
from scorefield.bars import display
from scorefield.progress import part, report
with display(), part(0, 1, "counting & measuring"):
    for i in range(40):
        time.sleep(0.06)
        report((i + 1) / 40)
        if i == 30:
            print("a line in between", file=sys.stderr)
print("the result")
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, pytest.param(100, marks=pytest.mark.slow)])
def test_a_real_terminal(width):
    """The bar at work: it appears, stays within the width, does not wrap, and is gone in the end."""
    import fcntl
    import struct
    import termios

    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm-256color"}
    command = [sys.executable, "-c", SLOW]
    process = subprocess.Popen(command, stderr=other, stdout=subprocess.PIPE, env=env, text=True)
    os.close(other)
    written = b""
    while True:
        try:
            part = os.read(main, 4096)
        except OSError:
            break
        if not part:
            break
        written += part
    out = process.communicate(timeout=30)[0]
    os.close(main)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    bars_drawn = [piece for piece in re.split(r"[\r\n]+", text) if "━" in piece]
    assert out == "the result\n" and process.returncode == 0
    assert len(bars_drawn) >= 5 and all(len(piece.rstrip()) < width for piece in bars_drawn)
    assert all(re.match(r"━{10,24}  *\d+ %(  \d+ s left)?  counting & measuring", piece) for piece in bars_drawn)
    assert any(" s left" in piece for piece in bars_drawn)
    assert "a line in between" in text and written.rstrip().endswith((b"\x1b[2K", b"\x1b[?25h", b"\x1b[1A\x1b[2K"))
