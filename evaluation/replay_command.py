"""`pointsman replay`: read and check a recorded file, replay it with a progress bar, print what came of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evaluation.recorded import DEFAULT_MAX_BAD, Category, Recording, plain_name, read_recording
from evaluation.recorded_rows import RecordingRefused
from evaluation.replay import Replayed, Settings, definition_of, replay
from evaluation.replay_document import Result, document
from evaluation.replay_text import WIDE, show

Format = Literal["text", "json"]
DONE, ERROR, USAGE = 0, 1, 2
MOST_REPEATS = 1_000
MOST_REQUESTS = 10_000_000


def run(
    file: Path,
    *,
    control: str | None = None,
    candidates: Sequence[str] = (),
    categories: Sequence[str] = (),
    repeat: int = 1,
    mode: str = "earn",
    objective: str = "reward_per_cost",
    margin: float = 0.05,
    alpha: float = 0.05,
    mde: float = 0.03,
    min_saving: float = 0.1,
    max_bad: float = DEFAULT_MAX_BAD,
    seed: int = 1,
    output: Format = "text",
    out: Console | None = None,
    err: Console | None = None,
) -> int:
    """Replay a file; the result goes to `out`, progress and errors to `err`. Returns the exit code."""
    out, err = out or _console(), err or Console(stderr=True)
    settings = Settings((), mode, objective, margin, alpha, mde, min_saving, repeat, seed)
    wrong = _usage(settings, max_bad)
    if wrong:
        err.print(wrong, markup=False, highlight=False, soft_wrap=True)
        return USAGE
    try:
        recording = _read(file, control, candidates, categories, max_bad)
        settings = replace(settings, candidates=_candidates(recording, control))
        _check(recording, settings)
    except (RecordingRefused, ValidationError) as error:
        err.print(_message(error), markup=False, highlight=False, soft_wrap=True)
        return ERROR if isinstance(error, RecordingRefused) else USAGE
    replayed = _replay_all(recording, settings, err)
    result = document(Result(file.name, recording, settings, control is not None, replayed))
    if output == "json":
        out.file.write(result.model_dump_json(indent=2) + "\n")
    else:
        show(result, out)
    return DONE


def _console() -> Console:
    """Standard output, with room for the table where it is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    return console


def _usage(settings: Settings, max_bad: float) -> str:
    """What is wrong with the numbers, or ""."""
    if not 1 <= settings.repeat <= MOST_REPEATS:
        return f"--repeat {settings.repeat}, must be 1 to {MOST_REPEATS:,}"
    if not 0 <= max_bad <= 1:
        return f"--max-bad {max_bad:g}, must be a fraction of the rows in [0, 1]"
    if settings.seed < 0:
        return f"--seed {settings.seed}, must be 0 or more"
    return ""


def _read(
    file: Path, control: str | None, candidates: Sequence[str], categories: Sequence[str], max_bad: float
) -> Recording:
    """The recording with the wanted models and categories. Without candidates all models take part."""
    models = (control or "", *candidates) if candidates else ()
    recording = read_recording(file, models, max_bad)
    if control is not None and plain_name(control) not in recording.models:
        raise RecordingRefused(f"{file}: no model {control!r}; it records {', '.join(recording.models)}")
    known = {category.name: category for category in recording.categories}
    for name in categories:
        if name not in known:
            raise RecordingRefused(f"{file}: no category {name!r}; it records {', '.join(known)}")
    kept = tuple(known[name] for name in dict.fromkeys(categories)) or recording.categories
    return replace(recording, categories=kept)


def _candidates(recording: Recording, control: str | None) -> tuple[str, ...]:
    """All models, the control first: the named one, else the dearest by mean cost."""
    dearest = recording.models[int(np.argmax(recording.mean_cost_usd()))]
    first = plain_name(control) if control else dearest
    return (first, *(model for model in recording.models if model != first))


def _check(recording: Recording, settings: Settings) -> None:
    """Refuse rules out of bounds before anything runs."""
    for category in recording.categories:
        definition_of(category, settings)
    requests = recording.prompts * settings.repeat
    if requests > MOST_REQUESTS:
        raise RecordingRefused(
            f"{requests:,} requests are too many for the memory store, at most {MOST_REQUESTS:,}; lower --repeat"
        )


def _message(error: RecordingRefused | ValidationError) -> str:
    if isinstance(error, RecordingRefused):
        return str(error)
    return "\n".join(
        f"{'.'.join(map(str, one['loc'])) or 'experiment'}: {one['msg']}"
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _replay_all(recording: Recording, settings: Settings, err: Console) -> list[Replayed]:
    """One category after the other, with a bar where a person looks and a line each elsewhere."""
    bar = Progress(
        TextColumn("{task.description:24.24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
    )
    shown: AbstractContextManager[object] = bar if err.is_terminal else nullcontext()
    task = bar.add_task("", total=recording.prompts * settings.repeat)
    replayed = []
    with shown:
        for category in recording.categories:
            bar.update(task, description=category.name)
            replayed.append(
                _replay(category, recording, settings, lambda prompts: bar.advance(task, prompts))
            )
            if not err.is_terminal:
                done = f"{category.name}: {replayed[-1].requests:,} served"
                err.print(done, markup=False, highlight=False, soft_wrap=True)
    return replayed


def _replay(
    category: Category, recording: Recording, settings: Settings, advance: Callable[[int], object]
) -> Replayed:
    return replay(category, recording.models, recording.usd_per_mtok, settings, advance)
