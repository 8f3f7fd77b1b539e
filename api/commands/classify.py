"""classify: train a task classifier on labelled texts, judge it, and try it on a text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.output import Form, counted, plain, say

if TYPE_CHECKING:
    from evaluation.classification.labels import Labels
    from evaluation.classification.train import Training

Advance = Callable[[int, int], None]
"""Told the work done and all work."""
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A file of `classify train`.")]
LabelsFile = Annotated[
    Path, typer.Argument(metavar="LABELS", help="CSV (or .csv.gz) with a text and its task in each row.")
]
TextColumn = Annotated[str, typer.Option("--text-column", help="Column that holds the text.")]
TaskColumn = Annotated[str, typer.Option("--task-column", help="Column that holds the task.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN=VALUE", help="Only rows with this value; may be repeated."),
]
MaxBad = Annotated[
    float,
    typer.Option("--max-bad", min=0.0, max=1.0, help="Share of bad rows above which the file is refused."),
]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train, judge and try a classifier of tasks."
)


@app.command("train")
def train(
    file: LabelsFile,
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("tasks.classifier.json"),
    precision: Annotated[
        float,
        typer.Option(
            "--precision", min=0.5, max=0.999, help="Share of the classified texts that shall be right."
        ),
    ] = 0.95,
    keep: Annotated[
        float,
        typer.Option(
            "--keep",
            min=0.5,
            max=1.0,
            help="Share of the tasks' own texts that count as familiar; 1 drops the test.",
        ),
    ] = 0.95,
    text_column: TextColumn = "text",
    task_column: TaskColumn = "task",
    where: Where = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out", metavar="TASK", help="Do not train on texts of this task; may be repeated."
        ),
    ] = None,
    out_of_scope: Annotated[
        list[str] | None,
        typer.Option(
            "--out-of-scope", metavar="TASK", help="Texts of this task belong to no task; may be repeated."
        ),
    ] = None,
    max_bad: MaxBad = 0.01,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the folds.")] = 1,
    form: Form = "text",
) -> None:
    """Train on labelled texts; texts of task `default` teach what belongs to no task."""
    from evaluation.classification import train as training
    from evaluation.classification.files import save

    labels = _labels(file, text_column, task_column, where, max_bad)
    labels = _sorted_out(labels, leave_out or [], out_of_scope or [])
    settings = training.Settings(precision=precision, keep=keep, seed=seed)
    with _bar("training") as advance:
        trained = training.train(labels, settings, advance)
    save(out, trained.body)
    _tell(trained, labels, out, form)


@app.command("eval")
def evaluate(
    model: Model,
    file: LabelsFile,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0.0, max=1.0, help="Confidence to classify at; by default the file's own."
        ),
    ] = None,
    text_column: TextColumn = "text",
    task_column: TaskColumn = "task",
    where: Where = None,
    max_bad: MaxBad = 0.01,
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE.html", help="Write a page with the curves as well.")
    ] = None,
    form: Form = "text",
) -> None:
    """Judge a classifier on labelled texts: accuracy with and without abstention, tasks, scope, calibration."""
    from dashboards.classification_page import render_judgement_page
    from dashboards.classification_text import render_judgement
    from evaluation.classification.files import load
    from evaluation.classification.judged import judge

    trained = load(model)
    labels = _labels(file, text_column, task_column, where, max_bad)
    with _bar("judging") as advance:
        done = iter(range(1, len(labels.texts) + 1))
        judgement = judge(trained, labels, threshold, lambda: advance(next(done), len(labels.texts)))
    if page is not None:
        page.write_text(render_judgement_page(judgement, model.name, file.name), encoding="utf-8")
    if form == "json":
        typer.echo(judgement.model_dump_json(indent=2))
    else:
        say(render_judgement(judgement).rstrip())


@app.command("try")
def attempt(
    model: Model,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What a user might write.")],
    form: Form = "text",
) -> None:
    """What a classifier takes a text for, how sure it is, and which words decided."""
    from evaluation.classification.explain import decisive
    from evaluation.classification.files import load

    trained = load(model)
    ranked = trained.ranked(text)
    if not ranked:
        say("no word is in this text; the default serves")
        return
    best, said = ranked[0], decisive(trained, text, ranked[0].task)
    unlike = best.task == "default" or not best.familiar
    classified = best.confidence >= trained.threshold and not unlike
    if form == "json":
        import json

        fields = {
            "classified": classified, "threshold": trained.threshold, "familiar": best.familiar,
            "tasks": [{"task": one.task, "confidence": one.confidence} for one in ranked],
            "words": [{"words": one.words, "pull": one.pull} for one in said],
        }  # fmt: skip
        typer.echo(json.dumps(fields, indent=2, ensure_ascii=False))
        return
    why = "it is unlike the labelled texts" if unlike else "no task is likely enough"
    verdict = f"classified as {best.task}" if classified else f"left to the default: {why}"
    say(f"{verdict} (threshold {trained.threshold:g})")
    for one in ranked[:5]:
        say(f"  {one.confidence:6.1%}  {one.task}")
    say("words that decided: " + (", ".join(f"{one.words} {one.pull:+.2f}" for one in said) or "none"))


def _labels(
    file: Path, text_column: str, task_column: str, where: list[str] | None, max_bad: float
) -> "Labels":
    """The labelled texts; what was left out of them is said on stderr."""
    from evaluation.classification.labels import Columns, read_labels

    wanted = []
    for each in where or []:
        column, sign, value = each.partition("=")
        if not sign:
            raise typer.BadParameter(f"--where {each!r} must be COLUMN=VALUE")
        wanted.append((column, value))
    labels = read_labels(file, Columns(text_column, task_column, tuple(wanted)), max_bad)
    for bad in labels.bad[:10]:
        typer.echo(plain(f"{file}: line {bad.line} left out: {bad.reason}"), err=True)
    if len(labels.bad) > 10:
        typer.echo(f"{file}: {len(labels.bad) - 10} more rows left out", err=True)
    if labels.repeated:
        typer.echo(f"{file}: {counted(labels.repeated, 'row')} left out, the same as before", err=True)
    return labels


def _sorted_out(labels: "Labels", leave_out: list[str], out_of_scope: list[str]) -> "Labels":
    """The labels without the texts that are not wanted, and with the default for those that belong to no task."""
    from dataclasses import replace

    from router.classifying.guess import OUT_OF_SCOPE

    for task in (*leave_out, *out_of_scope):
        if task not in labels.counts:
            raise typer.BadParameter(
                f"no text has the task {task!r}; labelled are {', '.join(labels.counts)}"
            )
    kept = [each for each in zip(labels.texts, labels.tasks, strict=True) if each[1] not in leave_out]
    tasks = tuple(OUT_OF_SCOPE if task in out_of_scope else task for _, task in kept)
    return replace(labels, texts=tuple(text for text, _ in kept), tasks=tasks)


@contextmanager
def _bar(what: str) -> Iterator[Advance]:
    """A progress bar where a person looks, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    err = Console(stderr=True)
    if not err.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tell(trained: "Training", labels: "Labels", out: Path, form: str) -> None:
    held = trained.held_out
    if form == "json":
        import json

        fields = {
            "file": str(out), "bytes": len(trained.body), "grams": trained.grams, "texts": dict(labels.counts),
            "threshold": trained.threshold, "temperatures": dict(trained.temperatures),
            "held_out": {"texts": held.texts, "accuracy": held.accuracy, "precision": held.precision,
                         "coverage": held.coverage},
        }  # fmt: skip
        typer.echo(json.dumps(fields, indent=2))
        return
    texts, tasks = counted(len(labels.texts), "text"), counted(len(labels.counts), "task")
    say(f"{out}: {len(trained.body):,} bytes; {texts} of {tasks}")
    say(f"held out: {held.accuracy:.1%} right without a threshold")
    say(
        f"threshold {trained.threshold:g}: {held.coverage:.1%} classified, {held.precision:.1%} of these right"
    )
    say(f"use it with: classifier: {{file: {out.name}}}")
