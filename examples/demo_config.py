"""The configuration that the demo applies: four models with their prices, one task and experiment per subject."""

from collections.abc import Mapping, Sequence

from examples.figures import CONTROL, Figures

MARGIN = 0.05
WINDOW = "1s"
HOLDBACK = 0.05

_EXPERIMENT = """\
  {subject}:
    task: {subject}
    hypothesis: a cheaper model answers {words} questions as well as {control}
    candidates: [{candidates}]
    unit: request
    mode: earn
    reward: {{metric: correct, kind: binary, window: {window}, on_error: 0}}
    objective: {{kind: reward_per_cost, reward_margin: {margin}}}
    guardrails: [{{metric: error, max_increase: 0.02}}]
    decision: {{alpha: 0.05, mde: 0.05, min_saving: 0.1, min_days: 0, holdback: {holdback}}}
"""


def configuration(figures: Figures, urls: Mapping[str, str], subjects: Sequence[str]) -> str:
    """The file's text."""
    models = [
        f"  {name}: {{base_url: {urls[name]!r}, price: {{input: {price.input}, output: {price.output}}}}}"
        for name, price in figures.prices_usd_per_mtok.items()
    ]
    candidates = ", ".join([CONTROL, *(name for name in figures.models if name != CONTROL)])
    experiments = [
        _EXPERIMENT.format(
            subject=subject,
            words=subject.replace("_", " "),
            control=CONTROL,
            candidates=candidates,
            window=WINDOW,
            margin=MARGIN,
            holdback=HOLDBACK,
        )
        for subject in subjects
    ]
    parts = [
        "models:",
        *models,
        f"default: {CONTROL}",
        "tasks:",
        *(f"  {subject}: {{}}" for subject in subjects),
    ]
    return "\n".join([*parts, "experiments:", *experiments])
