"""replay: recorded outcomes of several models through the real engine."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from api.commands.output import Form

Objective = Literal["reward_per_cost", "reward", "cheapest_non_inferior"]


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
        str, typer.Option("--candidates", metavar="A,B", help="Models to compare with it; by default all.")
    ] = "",
    categories: Annotated[
        str, typer.Option("--categories", metavar="A,B", help="Categories to replay; by default all.")
    ] = "",
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, max=1_000, help="Times each prompt is served.")
    ] = 1,
    mode: Annotated[
        Literal["earn", "learn", "ab"],
        typer.Option("--mode", help="Serve well, find the winner fast, or an even split throughout."),
    ] = "earn",
    objective: Annotated[
        Objective, typer.Option("--objective", help="What the shares maximise.")
    ] = "reward_per_cost",
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, max=1.0, help="Loss of reward that counts as not worse.")
    ] = 0.05,
    alpha: Annotated[
        float, typer.Option("--alpha", min=1e-6, max=0.2, help="Accepted probability of a wrong promotion.")
    ] = 0.05,
    min_saving: Annotated[
        float,
        typer.Option("--min-saving", min=0.001, max=0.99, help="Smallest saving that counts as cheaper."),
    ] = 0.1,
    max_bad: Annotated[
        float,
        typer.Option("--max-bad", min=0.0, max=1.0, help="Share of bad rows above which it is refused."),
    ] = 0.01,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of order and draws.")] = 1,
    form: Form = "text",
) -> None:
    """Run recorded outcomes through the engine: one experiment per category, with a verdict each."""
    from evaluation.replay_command import run

    code = run(
        file,
        control=control,
        candidates=_listed(candidates),
        categories=_listed(categories),
        repeat=repeat,
        mode=mode,
        objective=objective,
        margin=margin,
        alpha=alpha,
        min_saving=min_saving,
        max_bad=max_bad,
        seed=seed,
        output=form,
    )
    raise typer.Exit(code)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
