from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import properties
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, VP, Process
from scorefield.rng import Rng, Samples
from scorefield.samplers import AdaptiveSDE, Sampling, adaptive, sample

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


# -- the Brownian path ---------------------------------------------------------------------------------------------


def test_pieces_of_a_path_are_independent_and_as_wide_as_they_are_long():
    """Exactly: attempts go from the variance 10 to those given, and are rejected or accepted. Each is sent a unit vector."""
    tries = [(1.0, 0), (4.0, 0), (8.0, 0), (9.0, 1), (8.5, 1), (8.0, 1), (5.0, 0), (6.0, 1), (5.0, 1), (4.0, 1)]
    tries += [(1.0, 1), (0.5, 0), (0.7, 1), (0.6, 1), (0.5, 1), (0.2, 1)]
    now, path, rows = (
        torch.full((len(tries),), 10.0, dtype=D),
        adaptive._Path(torch.zeros(16, 1, dtype=D)),
        torch.arange(16),
    )
    seen, walked, lengths = [], [], []
    for z, (there, accepted) in zip(torch.eye(16, dtype=D), tries):
        assert bool((path.ends(rows) <= there).all())  # no attempt goes beyond what an earlier one left
        seen.append(path.increments(rows, now, torch.full_like(now, there), z[:, None])[:, 0])
        if accepted:
            walked, lengths = [*walked, seen[-1]], [*lengths, now[0] - there]
            path.leave(rows)
            now = torch.full_like(now, there)
    assert bool((path.top == 0).all())
    steps = torch.stack(walked)
    torch.testing.assert_close(steps @ steps.T, torch.diag(torch.stack(lengths)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        steps[:6].sum(0), seen[1], rtol=1e-12, atol=1e-12
    )  # what the second attempt saw is walked
    torch.testing.assert_close(steps[:7].sum(0), seen[0], rtol=1e-12, atol=1e-12)  # and the first one's


class Recorder(adaptive._Path):
    """Keeps the accepted steps: for each sample the variances it passed and what the path did between them."""

    def __init__(self, x: Tensor) -> None:
        super().__init__(x)
        self.passed: list[list[float]] = [[] for _ in x]
        self.steps: list[list[Tensor]] = [[] for _ in x]
        self.attempts = torch.zeros(len(x))
        Recorder.last = self

    def increments(self, rows: Tensor, here: Tensor, there: Tensor, z: Tensor) -> Tensor:
        seen = super().increments(rows, here, there, z)
        self.attempts[rows] += 1
        self.tried = {int(i): (float(a), float(b), w) for i, a, b, w in zip(rows, here, there, seen)}
        return seen

    def leave(self, rows: Tensor) -> None:
        super().leave(rows)
        for i in rows.tolist():
            here, there, w = self.tried[i]
            self.passed[i] = [*(self.passed[i] or [here]), there]
            self.steps[i].append(w)


@pytest.fixture
def recorder(monkeypatch) -> type[Recorder]:
    monkeypatch.setattr(adaptive, "_Path", Recorder)
    return Recorder


def distribution(n: int) -> Gaussian:
    return Gaussian(torch.ones(n, dtype=D), torch.full((n,), 0.25, dtype=D))


def draw(diffusion: Diffusion, count: int, n: int, tolerance: float, dtype: torch.dtype = D) -> tuple[Tensor, Tensor]:
    """States at the first and the last level of the process."""
    rng, times = Samples(0, count=count), torch.tensor([1.0, 0.0], dtype=dtype)
    x = diffusion.prior((count, n), rng.child("prior"), dtype)
    first, last = AdaptiveSDE(tolerance, tolerance / 5).trajectory(diffusion, x, times, rng)
    return first, last


def test_rejections_do_not_choose_the_noise(recorder):
    """E[ΔM²/Δv] = 1 over accepted steps: a piece that is cut in two brings one number more, of mean 1 on average.

    Noise that is drawn anew after a rejection gives 0.947.
    """
    draw(Diffusion(EDM(), distribution(16)), 300, 16, 0.05)
    path = recorder.last
    counts = torch.tensor([len(steps) for steps in path.steps], dtype=D)
    excess = []
    for passed, steps in zip(path.passed, path.steps):
        lengths = -torch.tensor(passed, dtype=D).diff()
        excess.append((torch.stack(steps).square().mean(1) / lengths - 1).sum())
    total = torch.stack(excess)
    error = float(total.std() / math.sqrt(len(total)) / counts.mean())
    assert float(path.attempts.sum() / counts.sum()) > 1.2  # rejections did occur
    assert error < 0.005
    assert abs(float(total.mean() / counts.mean())) < 4 * error


def test_a_sample_follows_its_path(recorder):
    """du = 2 (D - u) dλ + dM has a closed form for Gaussian data: with w = u - mean, in the clock v = level²,

    w_b = (c + v_b) (w_a/(c + v_a) + ∫ dM/(c + v)), and M is known at the ends of steps.
    """
    errors = []
    for tolerance in (0.1, 0.01):
        first, last = draw(Diffusion(EDM(), distribution(4)), 24, 4, tolerance)
        apart = []
        for w, arrived, passed, steps in zip(first - 1, last - 1, recorder.last.passed, recorder.last.steps):
            c = 0.25 + torch.tensor(passed, dtype=D)
            for a, b, step in zip(c, c[1:], steps):
                w = b / a * w + b * torch.log(a / b) / (a - b) * step
            apart.append(arrived - w)
        errors.append(float(torch.stack(apart).square().mean().sqrt()))
    assert errors[0] < 0.05
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize(("process", "dtype"), [(EDM(), D), (VP(), torch.float32)], ids=["double", "single"])
def test_the_spread_tends_to_that_of_the_data(process, dtype):
    diffusion, count = Diffusion(process, distribution(16).to(dtype)), 800
    for tolerance, bias in ((0.3, 0.03), (0.1, 0.022), (0.03, 0.012)):
        _, last = draw(diffusion, count, 16, tolerance, dtype)
        x = diffusion.split(last, torch.zeros((), dtype=dtype))[0] - 1
        assert x.dtype == dtype
        assert abs(float(x.square().mean().sqrt()) / 0.5 - 1) < bias + 4 / math.sqrt(2 * count * 16)
        assert abs(float(x.mean())) < 4 * 0.5 / math.sqrt(count * 16)


# -- samples and their companions ----------------------------------------------------------------------------------


def stiff() -> Mixture:
    means = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [0.0, 0.5]], dtype=D)
    return Mixture(means, torch.tensor([1e-3, 1.0, 0.1], dtype=D), torch.tensor([0.3, 0.4, 0.3], dtype=D))


@every
def test_companions_do_not_matter(process, recorder):
    """Not even where some need many times the steps of others, on several intervals."""
    diffusion = Diffusion(process, stiff(), stiff().moments())
    whole = sample(diffusion, (6, 2), Sampling(AdaptiveSDE(0.1, 0.01), 3), Samples(3, count=6))
    assert recorder.last.attempts.max() > 3 * recorder.last.attempts.min()
    for i in (0, 2, 5):
        alone = sample(diffusion, (1, 2), Sampling(AdaptiveSDE(0.1, 0.01), 3), Samples(3, start=i, count=1))
        torch.testing.assert_close(alone, whole[i : i + 1], rtol=1e-6, atol=1e-6)


class Counter(Denoiser):
    """Counts the rows it is asked for."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__()
        self.inner = inner
        self.asked: list[int] = []

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        assert level.shape in ((), (len(x), 1))
        self.asked.append(len(x))
        return self.inner(x, level)


def test_the_network_sees_samples_on_their_way_alone(recorder):
    """Once for each attempt, and once more for each state that an attempt sets out from."""
    denoiser = Counter(stiff())
    draw(Diffusion(EDM(), denoiser), 6, 2, 0.1)
    accepted = sum(len(steps) for steps in recorder.last.steps)
    assert sum(denoiser.asked) == int(recorder.last.attempts.sum()) + accepted
    assert denoiser.asked[0] == 6 and denoiser.asked[-1] < 6
    assert sum(denoiser.asked) < 6 * max(2 * recorder.last.attempts)


class Calls(Samples):
    """Remembers how often it and its children were asked, and for how many samples."""

    calls: list[tuple[int, ...]]

    def child(self, purpose: str) -> Rng:
        other = Calls(self.seed, self.start, self.count, f"{self.purpose}/{purpose}")
        other.calls = self.calls
        return other

    def normal(self, shape, dtype=None, device=None) -> Tensor:
        self.calls.append(tuple(shape))
        return super().normal(shape, dtype, device)


def test_noise_is_drawn_once_an_attempt_and_for_all(recorder):
    diffusion, rng = Diffusion(EDM(), stiff()), Calls(0, count=6)
    rng.calls = []
    x = diffusion.prior((6, 2), Samples(1, count=6))
    *_, _ = AdaptiveSDE().trajectory(diffusion, x, torch.tensor([1.0, 0.0], dtype=D), rng)
    assert rng.calls == [(6, 2)] * int(recorder.last.attempts.max())


def test_no_way_is_no_work():
    denoiser = Counter(distribution(2))
    x, t = torch.ones(3, 2, dtype=D), torch.tensor([0.5, 0.5], dtype=D)
    *_, last = AdaptiveSDE().trajectory(Diffusion(EDM(), denoiser), x, t, Samples(0, count=3))
    torch.testing.assert_close(last, x, rtol=1e-15, atol=0)
    assert denoiser.asked == []


# -- what goes wrong -----------------------------------------------------------------------------------------------


class Broken(Denoiser):
    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return torch.where(level < 1, torch.full_like(x, torch.nan), x / (1 + level**2))


def test_a_denoiser_that_is_not_finite_stops_the_loop():
    message = "AdaptiveSDE is stuck: sample 0 at level 1 needs steps of no length, its denoiser is not finite there"
    with pytest.raises(RuntimeError, match=message):
        sample(Diffusion(EDM(), Broken()), (1, 1), Sampling(AdaptiveSDE(), 1), Samples(0, count=1))


def test_it_does_not_lead_upwards():
    message = "AdaptiveSDE goes from noise to data: times must decrease, got 0.3 and then 0.5"
    with pytest.raises(ValueError, match=message):
        list(
            AdaptiveSDE().trajectory(
                Diffusion(EDM(), distribution(2)), torch.ones(3, 2), torch.tensor([0.3, 0.5]), Samples(0, count=3)
            )
        )


def test_too_few_attempts():
    message = (
        r"AdaptiveSDE made 5 attempts and 4 samples did not arrive \(sample \d is at level \d+(\.\d+)? of 0\.002\): "
        r"loosen rtol or atol, or raise max_attempts"
    )
    with pytest.raises(RuntimeError, match=message):
        sample(Diffusion(EDM(), distribution(2)), (4, 2), Sampling(AdaptiveSDE(max_attempts=5), 1), Samples(0, count=4))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rtol": 0.0}, "AdaptiveSDE needs rtol > 0 and atol > 0, got rtol=0, atol=0.01"),
        ({"atol": math.nan}, "AdaptiveSDE needs rtol > 0 and atol > 0, got rtol=0.05, atol=nan"),
        ({"max_attempts": 0}, "AdaptiveSDE needs max_attempts >= 1, got max_attempts=0"),
    ],
    ids=repr,
)
def test_values_that_are_none(values, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveSDE(**values)
