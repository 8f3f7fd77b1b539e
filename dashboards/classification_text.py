"""The judgement of a classifier as text for a terminal."""

from collections.abc import Iterator

from dashboards import figures
from dashboards.text_table import Column, table, wrapped
from evaluation.classification.outcome import Judgement

_SHOWN = 5
"""Tasks that are named where a list would be long."""


def render_judgement(judgement: Judgement, width: int = 100) -> str:
    """The judgement in lines of at most `width` columns."""
    lines = [*_summary(judgement, width), "", *_tasks(judgement, width), *_confusions(judgement, width)]
    return "\n".join([*lines, "", *_calibration(judgement, width)]) + "\n"


def _summary(judgement: Judgement, width: int) -> Iterator[str]:
    yield from wrapped(
        f"{figures.units(judgement.texts)} texts, {figures.units(judgement.in_scope)} of them in scope; "
        f"classifier {judgement.digest}, threshold {figures.setting(judgement.threshold)}", width
    )  # fmt: skip
    yield ""
    if judgement.in_scope:
        yield from wrapped(
            f"Without abstention: accuracy {figures.percent(judgement.accuracy)}, macro F1 "
            f"{figures.setting(round(judgement.macro_f1 or 0.0, 4))}", width, "  "
        )  # fmt: skip
        yield from wrapped(
            f"With abstention: {figures.percent(judgement.coverage)} classified, of which "
            f"{figures.percent(judgement.accuracy_classified)} right; "
            f"{figures.percent(judgement.wrong_of_all)} of all texts in scope go to a wrong task", width, "  "
        )  # fmt: skip
    scope = judgement.out_of_scope
    if scope is None:
        yield "Out of scope: no such text is labelled"
        return
    taken = ", ".join(f"{task} {count}" for task, count in list(scope.taken_for.items())[:_SHOWN])
    yield from wrapped(
        f"Out of scope: {figures.units(scope.texts)} texts, {figures.percent(scope.to_default)} left to the default"
        + (f"; the others taken for {taken}" if taken else ""), width, "  "
    )  # fmt: skip


def _tasks(judgement: Judgement, width: int) -> Iterator[str]:
    rows = judgement.tasks
    yield from table(
        (
            Column("task", tuple(row.task for row in rows), right=False),
            Column("texts", tuple(figures.units(row.texts) for row in rows)),
            Column("precision", tuple(figures.percent(row.precision) for row in rows)),
            Column("recall", tuple(figures.percent(row.recall) for row in rows)),
            Column("F1", tuple(f"{row.f1:.3f}" for row in rows)),
            Column("classified", tuple(figures.percent(row.coverage) for row in rows)),
            Column("right of these", tuple(figures.percent(row.accuracy_classified) for row in rows)),
        ),
        width,
    )


def _confusions(judgement: Judgement, width: int) -> Iterator[str]:
    rows = judgement.confusions
    if rows:
        yield ""
        yield from table(
            (
                Column("labelled", tuple(row.labelled for row in rows), right=False),
                Column("taken for", tuple(row.named for row in rows), right=False),
                Column("texts", tuple(figures.units(row.texts) for row in rows)),
                Column("past the threshold", tuple(figures.units(row.classified) for row in rows)),
            ),
            width,
        )


def _calibration(judgement: Judgement, width: int) -> Iterator[str]:
    error = figures.percent(judgement.calibration_error)
    yield from wrapped(f"Calibration: confidence and accuracy differ by {error} on average", width)
    rows = judgement.bins
    yield from table(
        (
            Column("confidence from", tuple(f"{row.low:.1f}" for row in rows)),
            Column("texts", tuple(figures.units(row.texts) for row in rows)),
            Column("mean confidence", tuple(figures.percent(row.confidence) for row in rows)),
            Column("accuracy", tuple(figures.percent(row.accuracy) for row in rows)),
        ),
        width,
    )
