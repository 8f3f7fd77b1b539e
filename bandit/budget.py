"""Objective `budget`: the most reward under a budget per request.

The score is reward - lambda * cost, rewards in widths of their range and costs in multiples of the budget (in dollars
lambda would never bind); lambda, the price of spending, rises while epochs cost more than the budget (bandits with
knapsacks: Badanidiyuru, Kleinberg and Slivkins, arXiv 1305.2545):

    lambda <- clip(lambda exp(.05 clip(r_e - 1, -1, 3) + .02 clip(r - 1, -1, 3)), 1e-6, 1)

with r_e, r the spend of the epoch and of all so far over their budget.

**Reserve.** The price alone would learn from overspending. So the shares of an epoch must also be affordable:
planned at costs one standard deviation above what is known of them, they may cost the budget and what was saved
before, no more. Where they would, lambda is raised until they do not; between two arms that split the last step
they are mixed, which is the solution of the linear programme once rewards and costs are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.allocation import Allocation, posterior
from bandit.best import best_of_draws
from bandit.cells import Cells, Floats, Z
from bandit.costs import costs
from bandit.floors import OPEN_TOTAL
from bandit.score_draws import JointDraws, joint_draws
from bandit.shares import Shares, capped, checked, top_two, with_floor
from bandit.within import within

PRICES = (1e-6, 1.0)
"""Bounds of lambda as spending moves it."""
FIRST_PRICE = 1e-3
DEAREST = 1e6
"""Lambda at which only costs count."""
SETTLE_REQUESTS = 2_000.0
"""Requests over which savings are spent and debts are paid."""
EARN_TOTAL = 0.1
"""Most that all floors together may take while the budget is earned with: cheap arms would take all of OPEN_TOTAL,
which costs 2% of the reward."""
LEEWAY = (0.5, 1.25)
"""Bounds of what an epoch may cost, in multiples of the budget."""
SEARCH_DRAWS, HALVINGS = 512, 12
"""A whole block of draws is searched: half of one holds normals of one sign only, which costs .1% of the reward."""


def spending_price(spend_usd: Floats, requests: Floats, budget_usd: float) -> float:
    """Lambda after these epochs, from their spend and requests alone; epochs without requests change nothing.

    >>> dear = spending_price(np.full(50, 4.0), np.full(50, 100.0), budget_usd=0.01)
    >>> cheap = spending_price(np.full(50, 0.5), np.full(50, 100.0), budget_usd=0.01)
    >>> dear, round(cheap, 6)
    (1.0, 0.000174)
    """
    _check_budget(budget_usd)
    filled = requests > 0
    allowed = budget_usd * requests[filled]
    of_epoch = spend_usd[filled] / allowed
    so_far = np.cumsum(spend_usd[filled]) / np.cumsum(allowed)
    steps = 0.05 * np.clip(of_epoch - 1, -1, 3) + 0.02 * np.clip(so_far - 1, -1, 3)
    price = FIRST_PRICE
    for step in np.exp(steps).tolist():
        price = min(max(price * step, PRICES[0]), PRICES[1])
    return price


def allowance(spend_usd: float, requests: float, budget_usd: float) -> float:
    """What a request of the next epoch may cost: the budget, less debts or plus savings so far.

    >>> allowance(spend_usd=11.0, requests=1000, budget_usd=0.01)
    0.0095
    """
    _check_budget(budget_usd)
    saved = (requests * budget_usd - spend_usd) / SETTLE_REQUESTS
    return float(np.clip(budget_usd + saved, LEEWAY[0] * budget_usd, LEEWAY[1] * budget_usd))


def budget_shares(
    cells: Cells,
    settings: Allocation,
    seed: Sequence[int],
    cost_cells: Cells | None = None,
    spent_cells: Cells | None = None,
    learning: bool = False,
) -> Shares:
    """Shares of the next epoch under the objective's budget in dollars per request; also of the first, from the price
    list.

    `cost_cells` know what a request costs now, `spent_cells` what was spent in all, under old prices too. Floors are
    min(.1 / K, phi b / (K c_k)): exploration takes at most the share phi of the budget, also on a dear control. If no
    arm is affordable, the cheapest gets what the floors leave. For `learning` floors reach .4 / K, and half of the
    leader's traffic goes to the others as far as they are affordable: top-two sampling of the split.
    """
    live, bills = settings.live(), cells if cost_cells is None else cost_cells
    budget_usd = _budget(settings)
    if cells.sums.shape[1] != live.size:
        raise ValueError(
            f"cells have {cells.sums.shape[1]} arms, the price list {live.size}; give one cost per arm"
        )
    if live.sum() == 1:
        return live.astype(np.float64)
    billed = costs(bills, np.array(settings.list_costs_usd))
    spent = within(bills if spent_cells is None else spent_cells, Z.COST)
    spend, requests = spent.totals.sum(axis=1), spent.requests.sum(axis=1)
    random = np.random.default_rng(list(seed))
    drawn = joint_draws(posterior(cells, settings), billed, random, settings.draws, SEARCH_DRAWS)
    plan = _Plan(
        prices=billed.mean_usd * np.exp(billed.log_sd) / budget_usd,
        floors=_floors(
            billed.mean_usd / budget_usd, live, settings.phi, OPEN_TOTAL if learning else EARN_TOTAL
        ),
        limit=allowance(float(spend.sum()), float(requests.sum()), budget_usd) / budget_usd,
        caps=np.where(live, 1.0 if settings.caps is None else np.array(settings.caps), 0.0),
    )
    scorer = _Scorer(_scaled(drawn, settings, budget_usd), live)
    found = _affordable(scorer, plan, spending_price(spend, requests, budget_usd))
    return _compared(plan, found) if learning else found


@dataclass(frozen=True)
class _Scorer:
    """Rewards in widths of their range, costs in multiples of the budget."""

    drawn: JointDraws
    live: NDArray[np.bool_]

    def best(self, price: float, draws: int | None = None) -> Floats:
        """P(best) at this lambda."""
        scored = price * self.drawn.costs_usd[:draws]
        np.subtract(self.drawn.rewards[:draws], scored, out=scored)
        chance = np.zeros(self.live.size)
        chance[self.live] = best_of_draws(scored if self.live.all() else scored[:, self.live])
        return chance


@dataclass(frozen=True)
class _Plan:
    """What makes a split affordable; money in multiples of the budget."""

    prices: Floats
    floors: Floats
    limit: float
    caps: Floats

    def bounded(self, shares: Shares) -> Shares:
        """The split that would be served: raised to the floors, then lowered to the caps."""
        return capped(with_floor(shares, self.floors), self.caps)

    def cost(self, shares: Shares) -> float:
        """What a split is planned to cost per request."""
        return float(shares @ self.prices)


def _affordable(scorer: _Scorer, plan: _Plan, price: float) -> Shares:
    """The best split at `price`, or at the lowest higher price at which it costs no more than the limit.

    The cost of the best arm of any draw falls as lambda rises, so halving finds the price.
    """
    best = plan.bounded(scorer.best(price))
    if plan.cost(best) <= plan.limit:
        return best
    low, high = np.log(price), np.log(DEAREST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        tried = plan.bounded(scorer.best(float(np.exp(middle)), SEARCH_DRAWS))
        low, high = (low, middle) if plan.cost(tried) <= plan.limit else (middle, high)
    dear, cheap = (plan.bounded(scorer.best(float(np.exp(each)))) for each in (low, high))
    if plan.cost(cheap) > plan.limit:  # the search sees fewer draws than the split that is served
        dear, cheap = cheap, plan.bounded(scorer.best(DEAREST))
    return _mixture(plan, dear, cheap)


def _compared(plan: _Plan, found: Shares) -> Shares:
    """The split with half of the leader's traffic given to the others, or as much of that as is affordable."""
    halved = plan.bounded(top_two(found))
    return halved if plan.cost(halved) <= plan.limit else _mixture(plan, halved, found)


def _mixture(plan: _Plan, dear: Shares, cheap: Shares) -> Shares:
    """The dearest affordable mixture of two splits."""
    of_dear, of_cheap = plan.cost(dear), plan.cost(cheap)
    part = (plan.limit - of_cheap) / (of_dear - of_cheap) if of_dear > of_cheap else 0.0
    weight = min(max(part, 0.0), 1.0)
    return checked(weight * dear + (1 - weight) * cheap)


def _scaled(drawn: JointDraws, settings: Allocation, budget_usd: float) -> JointDraws:
    """The draws as `_Scorer` reads them, changed in place: nobody else has them."""
    rewards, costs_usd = drawn.rewards, drawn.costs_usd
    rewards -= settings.objective.low
    rewards /= settings.objective.width
    costs_usd /= budget_usd
    return drawn


def _floors(prices: Floats, live: NDArray[np.bool_], phi: float, total: float) -> Floats:
    arms = int(live.sum())
    return np.where(live, np.minimum(total / arms, phi / (arms * prices)), 0.0)


def _budget(settings: Allocation) -> float:
    budget_usd = settings.objective.budget_usd
    if budget_usd is None:
        raise ValueError(f"objective {settings.objective.kind!r} has no budget_usd to keep")
    return budget_usd


def _check_budget(budget_usd: float) -> None:
    if not 0 < budget_usd < np.inf:
        raise ValueError(f"budget_usd == {budget_usd:g}, must be finite and above 0 dollars per request")
