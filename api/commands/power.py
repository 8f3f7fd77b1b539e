"""power: how long an experiment takes at its traffic, before it is started or while it runs."""

from collections.abc import Iterator
from typing import Annotated

import typer

from api.commands.experiments import Name
from api.commands.opening import target
from api.commands.output import Columns, Fields, Form, say, show, show_one

_COLUMNS: Columns = {
    "mode": lambda row: row["mode"],
    "units, mean": lambda row: _count(row["units_mean"]),
    "units, 80%": lambda row: _count(row["units_likely"]),
    "days, mean": lambda row: _days(row["days_mean"]),
    "days, 80%": lambda row: _days(row["days_likely"]),
    "units at the floor": lambda row: _count(row["units_at_floor"]),
    "days at the floor": lambda row: _days(row["days_at_floor"]),
}
_RULES: Columns = {
    "rule": lambda row: row["rule"],
    "units with equal shares": lambda row: _count(row["units"]),
}


def power(
    ctx: typer.Context,
    name: Name,
    units_per_day: Annotated[
        float | None,
        typer.Option(
            "--units-per-day", metavar="N", help="Units of the task a day; by default the pace so far."
        ),
    ] = None,
    form: Form = "text",
) -> None:
    """Units and days to a verdict in every mode, and the smallest difference that the traffic can show."""
    with target(ctx) as found:
        plan = found.power(name, units_per_day)
    if form == "json":
        show_one(plan, "", form)
        return
    say(f"{name}: {plan['sentence']}")
    show(_rows(plan["modes"]), _COLUMNS, form, "")
    show(_rows(plan["rules"]), _RULES, form, "")
    say("\n".join(_lines(plan)))


def _lines(plan: Fields) -> Iterator[str]:
    yield f"declared mode: {plan['mode']}; slowest rule: {plan['slowest_rule']}"
    if plan["floor_sentence"]:
        yield str(plan["floor_sentence"])
    yield f"a fixed test that nobody peeks at takes {_count(plan['fixed_units'])} units with equal shares"
    yield f"smallest difference shown at max_units: {plan['detectable_at_max_units']:.2g}"
    if plan["detectable_now"] is not None:
        units, smallest = _count(plan["units_seen"]), plan["detectable_now"]
        yield f"smallest difference shown now, at {units} units: {smallest:.2g}"


def _rows(parts: object) -> list[Fields]:
    assert isinstance(parts, list | tuple)
    return list(parts)


def _count(units: object) -> str:
    return f"{units:,}" if isinstance(units, int) else "-"


def _days(days: object) -> str:
    return f"{days:,.1f}" if isinstance(days, float | int) else "-"
