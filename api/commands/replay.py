"""replay: recorded outcomes of several models through the real engine."""

from pathlib import Path
from typing import Annotated

import typer

from api.commands.output import Form


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV (or .csv.gz): prompt_id, category, model, reward, input_tokens, output_tokens, cost_usd.",
        ),
    ],
    control: Annotated[
        str | None, typer.Option("--control", help="The control; by default the dearest model.")
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option("--candidates", metavar="A,B", help="Models to compare with it; by default all."),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, max=1_000, help="Times each prompt is served.")
    ] = 1,
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, max=1.0, help="Loss of reward that counts as not worse.")
    ] = 0.02,
    max_bad: Annotated[
        float,
        typer.Option(
            "--max-bad", min=0.0, max=1.0, help="Share of bad rows above which the file is refused."
        ),
    ] = 0.01,
    form: Form = "text",
) -> None:
    """Run recorded outcomes through the engine: one experiment per category, with a verdict each."""
    from evaluation.replay_command import run

    chosen = tuple(part.strip() for part in candidates.split(",") if part.strip()) if candidates else None
    raise typer.Exit(
        run(
            file, control=control, candidates=chosen, repeat=repeat, margin=margin, max_bad=max_bad, form=form
        )
    )
