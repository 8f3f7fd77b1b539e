"""Effect tables: each metric's effects against the control, one row per candidate, all read-outs beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dashboards import figures
from dashboards.figures import Value
from experiments.report.document import CandidatePart, EffectPart, Report

Format = Callable[[Value], str]


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One candidate's effect."""

    candidate: CandidatePart
    effect: EffectPart


@dataclass(frozen=True, slots=True)
class EffectTable:
    """One metric's effects."""

    key: str
    title: str
    better: str
    """Which side of the control is the good one."""
    shown: Format
    """How a value of this metric is written."""
    relative: bool
    """Whether values are relative changes, whose bars are drawn on a log scale."""
    margin: float | None
    """Bound that the interval must clear, where there is one."""
    rows: tuple[EffectRow, ...]


_WHERE_IT_APPLIES = ("cost-per-request", "net-value")
"""Tables that only some experiments have."""


def effect_tables(report: Report) -> tuple[EffectTable, ...]:
    """Reward, cost, and reward per US dollar; cost per request where units have several, net value where it counts."""
    one = singular(report.unit)
    tables = (
        EffectTable(
            "reward", f"Reward ({report.reward_metric})", "to the right is better",
            figures.difference, False, -report.reward_margin,
            tuple(_rows(report, lambda row: row.reward_effect)),
        ),
        EffectTable(
            "cost", f"Cost per {one}", "to the left is cheaper", figures.change, True, None,
            tuple(_rows(report, lambda row: row.cost_effect)),
        ),
        EffectTable(
            "cost-per-request", "Cost per request", "to the left is cheaper", figures.change, True, None,
            tuple(_rows(report, lambda row: row.cost_per_request_effect)),
        ),
        EffectTable(
            "reward-per-cost", "Reward per US dollar", "to the right is better", figures.change, True, None,
            tuple(_rows(report, lambda row: row.reward_per_cost_effect)),
        ),
        EffectTable(
            "net-value", "Net value of 1,000 requests", "to the right is better",
            figures.money_change, False, None,
            tuple(_rows(report, lambda row: row.net_value_effect)),
        ),
    )  # fmt: skip
    return tuple(table for table in tables if table.rows or table.key not in _WHERE_IT_APPLIES)


def _rows(report: Report, of: Callable[[CandidatePart], EffectPart | None]) -> Iterator[EffectRow]:
    for candidate in report.candidates:
        effect = of(candidate)
        if effect is not None:
            yield EffectRow(candidate, effect)


def interval(low: float | None, high: float | None, shown: Format) -> str:
    """Both ends of an interval, or what is known of them.

    >>> interval(-0.052, 0.035, figures.difference), interval(None, 0.5, figures.change)
    ('-0.0520 to +0.0350', 'at most +50.0%')
    """
    if low is None and high is None:
        return figures.UNKNOWN
    if low is None:
        return f"at most {shown(high)}"
    return f"at least {shown(low)}" if high is None else f"{shown(low)} to {shown(high)}"


def fixed_horizon_doubt(report: Report) -> str:
    """Why the fixed-horizon read-out does not count; empty where it does."""
    reasons = []
    if not report.fixed_valid:
        reasons.append("shares moved, and a fixed-horizon test needs them fixed")
    if not report.fixed_reached:
        reasons.append(
            f"its plan needs {figures.units(report.fixed_units_per_arm)} mature units for every candidate"
        )
    return "; ".join(reasons)


def singular(unit: str) -> str:
    """The unit's name as in `cost per request`; a plain word where the report names none."""
    return unit or "unit"
