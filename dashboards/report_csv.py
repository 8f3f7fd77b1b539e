"""The report as a table for a spreadsheet: one row per candidate, raw numbers, empty where not known.

A spreadsheet runs text that looks like a formula, so such text is quoted by a leading apostrophe. Numbers
are written by us and stay numbers.
"""

import csv
from collections.abc import Mapping
from io import StringIO

from experiments.report.document import CandidatePart, EffectPart, Report

Cell = str | int | float | bool | None

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # full-width forms run too
_EFFECTS = ("reward_effect", "cost_effect", "reward_per_cost_effect")


def render_csv(report: Mapping[str, object]) -> str:
    """The table of a report document, with a header line; lines end as RFC 4180 has it."""
    document = Report.model_validate(report)
    rows = [_row(document, candidate) for candidate in document.candidates]
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(rows[0] if rows else ())
    writer.writerows([_written(cell) for cell in row.values()] for row in rows)
    return out.getvalue()


def _row(report: Report, candidate: CandidatePart) -> dict[str, Cell]:
    """The cells of one candidate by column."""
    rules = [rule for rule in report.rules if rule.candidate == candidate.name]
    cells: dict[str, Cell] = {
        "experiment": report.experiment,
        "task": report.task,
        "state": report.state,
        "rendered_at_ms": report.rendered_at_ms,
        "verdict": report.verdict.kind,
        "verdict_candidate": report.verdict.candidate,
        "units_needed": report.verdict.units_needed,
        "days_needed": report.verdict.days_needed,
        "candidate": candidate.name,
    }
    for name in CandidatePart.model_fields:
        if name not in ("name", "guardrails", *_EFFECTS):
            cells[name] = getattr(candidate, name)
    for name in _EFFECTS:
        effect: EffectPart | None = getattr(candidate, name)
        for field in EffectPart.model_fields:
            cells[f"{name}_{field}"] = None if effect is None else getattr(effect, field)
    cells["fixed_counts"] = report.fixed_reached and report.fixed_valid
    cells["rules"] = "; ".join(f"{rule.name} {rule.state}" for rule in rules)
    return cells


def _written(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case str():
            return f"'{cell}" if cell.startswith(_FORMULA) else cell
        case _:
            return repr(cell)
