"""Questions of training: what is free, given or absent, and what stands for missing values."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.data.variables import ABSENT, FREE, GIVEN, Variables
from scorefield.denoisers import Denoiser, Gaussian, MixedDenoiser
from scorefield.denoisers.blocks import Blocks
from scorefield.denoisers.questions import Questions, chain
from scorefield.diffusion import Diffusion
from scorefield.likelihood.data_units import DataDensity
from scorefield.processes import VE
from scorefield.rng import Samples
from scorefield.units import ColumnMap, ColumnUnits

PLAIN = Variables(2, (3, 2))
MISSING = Variables(2, (3, 2, 2, 2), (5, -1, 4, -1, -1, -1))
"""The first number and the first category may be missing, and have indicators."""
ATOMS = Variables(2, (3, 2, 2), (4, -1, 4, -1, -1), atoms=(2, 3))
"""The first number has two atoms and may be missing, the second one has an atom."""
COUNT = 4000


def states(variables: Variables, missing: float = 0.3, count: int = COUNT) -> torch.Tensor:
    """Random states; where values are missing, their indicators say so."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, variables.size, generator=generator)
    u = torch.rand(count, len(variables.levels), generator=generator)
    x[:, variables.numbers :] = Blocks(variables.levels).corners(u)
    lost: dict[int, torch.Tensor] = {}
    for variable, indicator in enumerate(variables.indicators):
        if indicator >= 0:
            if indicator not in lost:
                lost[indicator] = torch.rand(count, generator=generator) < missing
            gone = lost[indicator]
            place = variables.owners.index(indicator)
            x[:, place], x[:, place + 1] = (~gone).float(), gone.float()
            x[:, [o == variable for o in variables.owners]] = x[
                :, [o == variable for o in variables.owners]
            ].masked_fill(gone[:, None], torch.nan)
    return x


def asked(variables: Variables, share: float, x: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    return Questions(variables).draw(states(variables) if x is None else x, share, Samples(0, count=COUNT))


def test_joint_rows_ask_for_everything():
    x = states(PLAIN)
    status, same = asked(PLAIN, 0.0, x)
    assert bool((status == FREE).all()) and torch.equal(same, x)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_share_of_the_rows_is_conditional(share):
    """Every variable is free, given and absent in many of them, and in some rows everything but one is."""
    status, _ = asked(PLAIN, share)
    conditional = (status != FREE).any(1)
    assert abs(float(conditional.float().mean()) - 0.95 * share) < 0.05
    part = status[conditional]
    for kind in (FREE, GIVEN, ABSENT):
        assert bool(((part == kind).float().mean(0) > 0.05).all()) and bool(((part == kind).sum(1) == 3).any())
    for factor in ([ABSENT, ABSENT, FREE, ABSENT], [ABSENT, ABSENT, GIVEN, FREE], [FREE, FREE, GIVEN, GIVEN]):
        assert float((part == torch.tensor(factor)).all(1).float().mean()) > 0.04  # of the chain rule
    pairs = {(a, b) for a, b in part[:, :2].tolist()}
    assert len(pairs) == 9


def test_one_value_or_two_are_given_in_many_questions():
    """Half of the random questions, which three quarters are: .225 of all give one, .15 two, and each one as often."""
    variables = Variables(6, (2,))
    status, _ = asked(variables, 1.0)
    count = (status == GIVEN).sum(1)
    random = 0.75 * 0.5 / 8  # of the other half, as many as it happens: each number from 0 to 7 as often
    for given, share in ((1, 0.225 + random), (2, 0.15 + random)):
        of_chain = 0.125 if given == 1 else 0.0  # the numbers given the category
        assert abs(float((count == given).float().mean()) - share - of_chain) < 0.03
    alone = (status == GIVEN)[count == 1][:, :6].float().mean(0)
    assert float(alone.max() / alone.min()) < 1.3
    nothing_absent = (status != ABSENT).all(1)[count == 1].float().mean()
    assert 0.3 < float(nothing_absent) < 0.7


def test_missing_values_without_indicators_are_absent():
    """In every row, and nothing else is then in joint ones; their places hold numbers."""
    x = states(PLAIN)
    x[::3, 0], x[::5, 2:5] = torch.nan, torch.nan
    for share in (0.0, 0.5):
        status, filled = asked(PLAIN, share, x)
        assert bool((status[::3, 0] == ABSENT).all() and (status[::5, 2] == ABSENT).all())
        assert torch.equal(torch.where(x.isnan(), x, filled).nan_to_num(9.0), x.nan_to_num(9.0))
        assert bool(torch.isfinite(filled).all())
        if share == 0:
            assert bool((status[1::3, 0] == FREE).all() and (status[:, [1, 3]] == FREE).all())


def test_missing_values_with_indicators():
    """They are independent draws where the indicator is free, and absent elsewhere; what is given has its indicator given."""
    x = states(MISSING)
    status, filled = asked(MISSING, 0.0, x)
    assert bool((status == FREE).all())
    gone = x[:, 0].isnan()
    assert abs(float(filled[gone, 0].mean())) < 4 / int(gone.sum()) ** 0.5
    assert abs(float(filled[gone, 0].std()) - 1) < 4 / (2 * int(gone.sum())) ** 0.5
    gone = x[:, 2].isnan()
    drawn = filled[gone, 2:5]
    assert torch.equal(drawn.sum(1), torch.ones(len(drawn)))
    assert bool(((drawn.mean(0) - 1 / 3).abs() < 4 * (2 / 9 / len(drawn)) ** 0.5).all())
    status, _ = asked(MISSING, 1.0, x)
    for variable, indicator, place in ((0, 5, 0), (2, 4, 2)):
        gone, own, known = x[:, place].isnan(), status[:, variable], status[:, indicator]
        assert not bool((gone & (own == GIVEN)).any())
        assert not bool((gone & (own == FREE) & (known != FREE)).any())
        assert bool((gone & (own == FREE)).any() and (gone & (own == ABSENT) & (known == GIVEN)).any())
    complete = (status[:, 4:] == ABSENT).all(1)
    assert float(complete.float().mean()) > 0.15
    drawn = status[~complete & (status[:, 4:] != ABSENT).any(1)]
    for variable, indicator in ((0, 5), (2, 4)):  # a value that is there says so, unless missingness is left out
        assert not bool(((drawn[:, variable] == GIVEN) & (drawn[:, indicator] == FREE)).any())


def test_questions_without_missingness_are_asked_of_all_rows_alike():
    """Of rows that miss a value as often as of others, if they do without it; of the others they would need it."""
    x = states(MISSING)
    gone = torch.stack((x[:, 0].isnan(), x[:, 2].isnan()), 1)
    status, _ = asked(MISSING, 1.0, x)
    complete, without = (status[:, 4:] == ABSENT).all(1), status[:, [0, 2]] == ABSENT
    assert not bool((complete[:, None] & gone & ~without).any())
    part, share = complete & without.all(1), (gone[:, 0] | gone[:, 1]).float().mean()
    expected = 4 * float(share * (1 - share) / part.sum()) ** 0.5
    assert abs(float((gone[:, 0] | gone[:, 1])[part].float().mean() - share)) < expected
    pattern = (status[:, 4:] == GIVEN).all(1) & (status[:, :4] == FREE).any(1)  # what misses is given in its place
    assert bool((pattern & gone.any(1)).any())


class Asking(Denoiser):
    """Keeps the questions that it is asked, and answers that all levels are as probable and all numbers are 0."""

    completes = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return x / (1 + level**2)

    def category_log_probs(self, values: torch.Tensor, status: torch.Tensor, category: int) -> torch.Tensor:
        question = torch.where(status == GIVEN, GIVEN, ABSENT)
        question[:, 2 + category] = FREE
        self.asked.append(question)
        return torch.zeros(len(values), UNITS.variables.levels[category]).log_softmax(1)

    def restricted(self, values: torch.Tensor, status: torch.Tensor) -> Denoiser:
        self.asked.append(status.clone())
        return self


UNITS = ColumnUnits((ColumnMap(missing=True), ColumnMap(), ColumnMap(levels=3, missing=True), ColumnMap(levels=2)))


@pytest.mark.parametrize(
    ("of", "share"),
    [([2], 0.004), ([3], 0.006), ([0], 0.002), ([1], 0.005), ([1, 3], 0.003), ([0, 2], 0.001), ([0, 1, 3], 0.002)],
    ids=str,
)
def test_what_marginals_ask_is_asked_of_all_rows_alike(of, share):
    """Each question of a marginal density is asked in a share of the conditional rows, of those that miss a value as often."""
    assert UNITS.variables is not None and UNITS.variables.indicators == (4, -1, 5, -1, -1, -1)
    moments = Gaussian(torch.zeros(11, dtype=torch.float64), torch.ones(11, dtype=torch.float64))
    asking = Asking()
    rows = torch.tensor([[0.3, -1.0, 2, 1]], dtype=torch.float64)
    DataDensity(Diffusion(VE(), asking, moments), UNITS, 100).marginal(rows[:, of], of, 0)
    count = 10 * COUNT
    x = states(UNITS.variables, count=count)
    status, _ = Questions(UNITS.variables).draw(x, 1.0, Samples(0, count=count))
    gone = torch.stack((x[:, 0].isnan(), x[:, 2].isnan()), 1).double()
    assert asking.asked
    for question in asking.asked:
        same = (status == question).all(1)
        assert int(same.sum()) > share * count
        for place, variable in enumerate((0, 2)):
            if variable not in of:
                off = float(gone[same, place].mean() - gone[:, place].mean())
                assert abs(off) < 4 * (0.21 / int(same.sum())) ** 0.5


def test_marginals_of_a_column_keep_what_is_said_of_it():
    """In factors of a marginal: what is asked for keeps its indicator, what is left out does not."""
    for variables in (MISSING, ATOMS):
        x = states(variables, 0.0)
        status, _ = asked(variables, 1.0, x)
        complete = (status[:, list({v for v in variables.indicators if v >= 0})] == ABSENT).all(1)
        for variable, flag in enumerate(variables.indicators):
            if flag >= 0 and (variable >= len(variables.atoms) or variables.atoms[variable] < 0):
                pair = status[~complete][:, [variable, flag]]
                assert not bool(((pair[:, 0] == FREE) & (pair[:, 1] == ABSENT)).any())
                assert not bool(((pair[:, 0] == GIVEN) & (pair[:, 1] != GIVEN)).any())


def test_numbers_of_atoms():
    """They are independent draws where the category of atoms is free, and absent elsewhere; a known number is no atom."""
    x = states(ATOMS)
    level = [x[:, 2:5].argmax(1), x[:, 5:7].argmax(1)]
    for number in (0, 1):
        x[:, number] = x[:, number].masked_fill(level[number] > 0, torch.nan)
    status, filled = asked(ATOMS, 0.0, x)
    assert bool((status == FREE).all())
    for number in (0, 1):
        drawn = filled[x[:, number].isnan(), number]
        assert abs(float(drawn.mean())) < 4 / len(drawn) ** 0.5
        assert abs(float(drawn.std()) - 1) < 4 / (2 * len(drawn)) ** 0.5
    status, _ = asked(ATOMS, 1.0, x)
    for number, category in ((0, 2), (1, 3)):
        gone, own, known = x[:, number].isnan(), status[:, number], status[:, category]
        assert not bool((gone & (own == GIVEN)).any())
        assert not bool((gone & (own == FREE) & (known != FREE)).any())
        assert not bool(((own == FREE) & (known == ABSENT)).any())
        assert not bool(((own == GIVEN) & (known != GIVEN)).any())
        for pair in ((ABSENT, GIVEN), (FREE, FREE)):
            assert bool((gone & (own == pair[0]) & (known == pair[1])).any())
        for pair in ((GIVEN, GIVEN), (FREE, GIVEN), (ABSENT, FREE)):
            assert bool((~gone & (own == pair[0]) & (known == pair[1])).any())
    lost = x[:, 2].isnan()
    assert not bool((lost & (status[:, 2] == FREE) & (status[:, 4] != FREE)).any())
    complete = status[:, 4] == ABSENT  # without missingness, but not without atoms
    assert bool((complete[:, None] & ~lost[:, None] & (status[:, :4] == FREE)).any(0).all())


def test_what_is_missing_does_not_show_before_its_indicator():
    """In factors of the chain rule indicators come first: whether a variable is absent depends on nothing that is not given."""
    assert chain(MISSING) == (2, 3, 0, 1)
    x = states(MISSING)
    status, _ = asked(MISSING, 1.0, x)
    first = (status == torch.tensor([ABSENT, ABSENT, ABSENT, ABSENT, FREE, ABSENT])).all(1)
    gone = x[:, 2].isnan().float()
    assert int(first.sum()) > 50
    assert abs(float(gone[first].mean() - gone.mean())) < 4 * (0.21 / int(first.sum())) ** 0.5


def test_blocks_are_softmaxes_side_by_side():
    logits = 30 * torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    logits[3] += 1e4
    found = Blocks((2, 5, 3)).log_softmax(logits)
    expected = torch.cat([part.log_softmax(1) for part in logits.split((2, 5, 3), 1)], 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    weights = torch.randn(20, 10, generator=torch.Generator().manual_seed(1))
    logits = torch.randn(20, 10, requires_grad=True)
    slope = torch.autograd.grad((Blocks((2, 5, 3)).log_softmax(logits) * weights).sum(), logits)[0]
    parts = torch.cat([part.log_softmax(1) for part in logits.split((2, 5, 3), 1)], 1)
    torch.testing.assert_close(slope, torch.autograd.grad((parts * weights).sum(), logits)[0])
    assert Blocks(()).log_softmax(torch.zeros(3, 0)).shape == (3, 0) and Blocks(()).sums(torch.zeros(3, 0)).shape == (
        3,
        0,
    )


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_questions_that_are_asked_are_half_of_the_conditional_rows(share):
    """Each as often, a third of them with a part of what they give alone; the other half is as random as without them."""
    wanted = ((FREE, FREE, GIVEN, GIVEN), (GIVEN, GIVEN, FREE, ABSENT))
    status, _ = Questions(PLAIN, wanted).draw(states(PLAIN), share, Samples(0, count=COUNT))
    usual, _ = Questions(PLAIN).draw(states(PLAIN), share / 2, Samples(0, count=COUNT))
    for question in wanted:
        there, other = ((part == torch.tensor(question)).all(1).float().mean() for part in (status, usual))
        expected = share / 4 * 2 / 3 + float(other)  # 1/2, and 1/2 times the mean of (1 - u)²
        assert abs(float(there) - expected) < 4 * (2 * expected / COUNT) ** 0.5
    assert len({tuple(row) for row in status.tolist()}) > 40  # of the 81 that there are
    joint, without = (float((part == FREE).all(1).float().mean()) for part in (status, usual))
    assert abs(joint - (without - share / 2)) < 4 * (2 * without / COUNT) ** 0.5


def test_an_absent_value_has_an_absent_indicator(monkeypatch):
    """In random questions: what is absent may miss or not. Factors of the chain rule give indicators of what is later."""
    monkeypatch.setattr("scorefield.denoisers.questions._CHAIN", 0.0)
    status, _ = asked(MISSING, 1.0, states(MISSING, 0.0))
    for variable, indicator in ((0, 5), (2, 4)):
        said = status[:, indicator][status[:, variable] == ABSENT]
        assert len(said) > COUNT / 8 and bool((said == ABSENT).all())


@pytest.mark.parametrize("together", [1, 3, 64])
def test_rows_after_one_another_are_asked_the_same(together):
    x = states(PLAIN)
    status, same = Questions(PLAIN, together=together).draw(x, 1.0, Samples(0, count=COUNT))
    first = torch.arange(COUNT) // together * together  # of each group, of which the last one is smaller
    assert torch.equal(status, status[first]) and torch.equal(same, x)
    groups = status[::together]
    assert float((groups[1:] != groups[:-1]).any(1).float().mean()) > 0.8


def test_given_variables_of_a_question_may_miss():
    """What is given in it is absent in rows that miss it; of three that are given, none is left out in 1/2 + 1/2/4 of all."""
    x = states(PLAIN)
    x[::4, 0] = torch.nan
    question = (GIVEN, FREE, GIVEN, GIVEN)
    status, _ = Questions(PLAIN, [question]).draw(x, 1.0, Samples(0, count=COUNT))
    there = (status == torch.tensor(question)).all(1).float()
    assert not bool(there[::4].any()) and abs(float(there[1::4].mean()) - 5 / 16) < 0.06
    lost = (status == torch.tensor((ABSENT, *question[1:]))).all(1).float()
    assert abs(float(lost[::4].mean()) - 1 / 3) < 0.08  # of the two that are there, and some of the random ones


def test_an_indicator_is_left_out_with_its_variable():
    """Where something is given in what is asked, so is whether it is missing; neither, where it is left out."""
    question = (GIVEN, FREE, GIVEN, GIVEN, GIVEN, GIVEN)
    status, _ = Questions(MISSING, [question]).draw(states(MISSING, 0.0), 1.0, Samples(0, count=COUNT))
    asked = (status[:, 1] == FREE) & (status[:, [0, 2, 3, 4, 5]] != FREE).all(1)
    for variable, indicator in ((0, 5), (2, 4)):
        pairs = status[asked][:, [variable, indicator]]
        assert {(GIVEN, GIVEN), (ABSENT, ABSENT)} <= {tuple(pair) for pair in pairs.tolist()}
        assert float((pairs[:, 0] == pairs[:, 1]).double().mean()) > 0.95  # random questions may be like this, too


def test_factors_of_the_chain_rule_are_recognized():
    """One category alone, given no number; not where it is asked for so in particular."""
    rows = {
        (ABSENT, ABSENT, FREE, ABSENT): True,
        (ABSENT, ABSENT, GIVEN, FREE): True,
        (ABSENT, GIVEN, GIVEN, FREE): False,
        (ABSENT, ABSENT, FREE, FREE): False,
        (FREE, ABSENT, GIVEN, GIVEN): False,
        (FREE, FREE, FREE, FREE): False,
    }
    status = torch.tensor([*rows])
    assert Questions(PLAIN).are_factors(status)[:, 0].tolist() == [*rows.values()]
    found = Questions(PLAIN, [(GIVEN, GIVEN, GIVEN, FREE), (GIVEN, FREE, FREE, GIVEN)]).are_factors(status)[:, 0]
    assert found.tolist() == [True, *[False] * 5]


def test_most_factors_are_learned_as_they_are_asked_for():
    """Nothing is seen of the category, and the level is that of `category_log_probs`; elsewhere, noise as ever."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Seen(torch.nn.Module):
        def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            seen.append((x, label))
            return x.new_zeros(len(x), PLAIN.size)

    denoiser = MixedDenoiser(Seen(), PLAIN, share=1.0)
    level = torch.full((COUNT, 1), 0.5)
    denoiser.denoising_loss(states(PLAIN), level, 1 / level**2, Samples(0, count=COUNT))
    values, absent = states(PLAIN)[:1], torch.tensor([[ABSENT, ABSENT, GIVEN, FREE]])
    denoiser.category_log_probs(values, absent, 1)
    (inputs, labels), (asked, label) = seen
    flags = inputs[:, PLAIN.size :]
    factor = Questions(PLAIN).are_factors(flags[:, :4].long() * GIVEN + flags[:, 4:].long() * ABSENT)[:, 0]
    hidden = labels == label
    assert not bool((hidden & ~factor).any())
    assert abs(float(hidden[factor].double().mean()) - 0.75) < 4 * math.sqrt(0.75 * 0.25 / int(factor.sum()))
    last = hidden & (flags[:, 2] == 1) & (flags[:, 3] == 0) & (flags[:, 7] == 0)  # the second category, given the first
    assert bool(last.any()) and bool((inputs[last][:, 5:7] == asked[:, 5:7]).all())


@pytest.mark.parametrize("question", [(FREE,), (GIVEN, GIVEN, GIVEN, GIVEN), (FREE, 3, GIVEN, GIVEN)])
def test_a_question_fits_the_variables(question):
    with pytest.raises(ValueError, match=r"^a question that is asked has one status for each of 4 variables"):
        Questions(PLAIN, [question])


def test_no_questions_about_readings_are_asked_more_often():
    with pytest.raises(ValueError, match=r"^questions about readings are random"):
        MixedDenoiser(torch.nn.Identity(), Variables(6, readings=2), asked=[(FREE,) * 6])
