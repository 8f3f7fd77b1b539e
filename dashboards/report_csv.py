"""The report as a table for a spreadsheet: one row per candidate, raw numbers, empty where not known.

A spreadsheet runs text that looks like a formula, so such text is quoted by a leading apostrophe. Numbers
are written by us and stay numbers.
"""

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import TypeGuard, get_args

from dashboards.wording import verdict_title
from experiments.report.document import CalibrationPart, CandidatePart, EffectPart, Report
from experiments.report.other_parts import OtherPart
from experiments.report.part import Part

Cell = str | int | float | bool | None

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # full-width forms run too
_EFFECTS = (
    "reward_effect", "cost_effect", "cost_per_request_effect", "reward_per_cost_effect", "net_value_effect",
)  # fmt: skip


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
        "verdict_title": verdict_title(report.verdict.kind, report.verdict.candidate, report.experiment),
        "units_needed": report.verdict.units_needed,
        "days_needed": report.verdict.days_needed,
        "candidate": candidate.name,
    }
    for name in CandidatePart.model_fields:
        if name not in ("name", "guardrails", "calibration", "other", *_EFFECTS):
            cells[name] = getattr(candidate, name)
    for name in _EFFECTS:
        effect: EffectPart | None = getattr(candidate, name)
        for field in EffectPart.model_fields:
            cells[f"{name}_{field}"] = None if effect is None else getattr(effect, field)
    cells.update(_flat("calibration", CalibrationPart, candidate.calibration))
    cells.update(_flat("other", OtherPart, candidate.other))
    cells |= _guardrails(report, candidate)
    cells["fixed_counts"] = report.fixed_reached and report.fixed_valid
    cells["rules"] = "; ".join(f"{rule.name} {rule.state}" for rule in rules)
    return cells


def _flat(prefix: str, kind: type[Part], part: Part | None) -> Iterator[tuple[str, Cell]]:
    """Columns of a part and of the parts in it, by path; the same ones for every candidate."""
    for name, field in kind.model_fields.items():
        value = None if part is None else getattr(part, name)
        inner = next(
            (each for each in (field.annotation, *get_args(field.annotation)) if _is_part(each)), None
        )
        if inner is None:
            yield f"{prefix}_{name}", value
        else:
            yield from _flat(f"{prefix}_{name}", inner, value)


def _is_part(kind: object) -> TypeGuard[type[Part]]:
    return isinstance(kind, type) and issubclass(kind, Part)


def _guardrails(report: Report, candidate: CandidatePart) -> dict[str, Cell]:
    """Every guardrail of the experiment, so that all rows have the same columns."""
    metrics = dict.fromkeys(part.metric for each in report.candidates for part in each.guardrails)
    own = {part.metric: part for part in candidate.guardrails}
    return {
        f"guardrail_{metric}_{field}": getattr(own[metric], field) if metric in own else None
        for metric in metrics
        for field in ("state", "value", "low", "high", "p", "bound")
    }


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
