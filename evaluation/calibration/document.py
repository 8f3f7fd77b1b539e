"""docs/calibration.md: every figure in it comes from the results it is written from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from evaluation.calibration.bars import Bar, count, interval
from evaluation.calibration.libraries import VOWPAL_OPTIONS, version
from evaluation.calibration.regret import BATCH, PLAYERS, Setting
from evaluation.calibration.rivals import NAMES
from evaluation.calibration.run import Results
from evaluation.calibration.scenarios import Scenario
from evaluation.calibration.world import Run


@dataclass(frozen=True)
class Circumstances:
    """How the run was made."""

    seconds: float
    jobs: int
    python: str
    numpy: str
    speed: str = "Not measured in this run."


def document(results: Results, judged: tuple[Bar, ...], run: Circumstances) -> str:
    """The whole page in Markdown."""
    nulls = [scenario for scenario in results.plan.scenarios if scenario.kind == "null"]
    powers = [scenario for scenario in results.plan.scenarios if scenario.kind == "power"]
    parts = (
        _heading(results, judged, run),
        _section("Wrong promotions", _NULLS, _null_table(results, nulls)),
        _section("Wrong drops, coverage, traffic", _REST, _rest_table(results, nulls)),
        _section("Power", _POWER, _power_table(results, powers)),
        _section("Decisions and money", _TRIALS, _trial_table(results)),
        _section("Regret", _regret_words(), _regret_table(results)),
        _section("Speed", _SPEED, run.speed),
        _section("Bars, one by one", _BARS, _bar_table(judged)),
    )
    return "\n\n".join(parts) + "\n"


_NULLS = f"""Share of runs that promote although the null hypothesis is true, with its exact 95% interval
(Clopper-Pearson). The rivals look at the same data at the same looks, pooled over epochs, and test against
the same boundary, each request as a unit: {NAMES[0]} is a one-sided pooled z test at .05 at every look;
{NAMES[1]} uses Beta posteriors with flat priors; {NAMES[2]} stops at ln((1 + ln n)(K - 1) / .05). With several
candidates any wrong call counts. A promotion held up by a doubt (for example unequal feedback) counts as one for
Pointsman: what blocks it must not hide an error of the test. Under equal reward and equal cost the boundary is zero;
for reward per cost the rivals use the normal law of the pooled log ratio. A guardrail counts as wrong when it was
called kept at its bound. A dash stands where the rivals' rules do not speak to the question."""

_REST = """Wrong drops are runs in which a candidate that is just good enough was dropped. Coverage is the share of
runs whose two-sided interval held the true effect at all looks together. Decided runs were promoted, or had
all candidates dropped; undecided ones count with all their units in mean and median. An alarm is one of the
sample ratio or another check of health."""

_POWER = """Runs end with the decision; a holdback watches a promotion that is done, so it ends with a roll-back.
n_fix is the size of a two-sided fixed-horizon z test at .05 with 80% power and a 50/50 split. Undecided runs count
with all their units. The rivals' shares are of runs in which they called the candidate better than the boundary
before Pointsman decided: fast where that is true, and wrong in the tables above."""

_TRIALS = """Long runs through the same tick, the shares of every epoch its own. Mode learn runs until its verdict, for
at most 60,000 requests; "wrong" decided otherwise than for the best arm. Under a budget the oracle is the linear
programme over the true rates and costs, the price list is half wrong, and the first 50 of 250 epochs are left out of
the reward. Floors: the oracle is the best reward per cost of any arm; the first epochs, or those before the verdict,
are left out."""

_SPEED = (
    "What the machine of this run needs, as information; the bars of speed are judged on a quiet machine."
)

_BARS = """A bar is missed when a simulation that just meets it would look as bad with a probability below .01 (exact
binomial tail for counts, standard error for means); `make calibrate` then fails."""


def _heading(results: Results, judged: tuple[Bar, ...], run: Circumstances) -> str:
    missed = [bar for bar in judged if bar.missed]
    above = [bar for bar in judged if bar.state == "above, within chance"]
    sizes = sorted(
        {one.replications for one in results.plan.scenarios}
        | {one.replications for one in results.plan.trials}
    )
    verdict = f"{len(judged) - len(missed) - len(above)} of {len(judged)} bars met"
    verdict += f", {len(above)} above within chance" if above else ""
    verdict += ", missed: " + "; ".join(bar.name for bar in missed) if missed else ", none missed"
    return f"""# Calibration

Simulated experiments driven through `experiments.verdict.tick.tick`, the very function that production runs, with a
look at every epoch. Written by `make calibrate`; every figure below comes from this run. A tenth of it, without a
document, is `python -m evaluation.calibration --quick`.

- Replications: {", ".join(map(str, sizes))} by table; seed {results.plan.seed}.
- {run.seconds:,.0f} seconds with {run.jobs} processes, Python {run.python}, numpy {run.numpy}.
- {verdict}."""


def _section(title: str, words: str, table: str) -> str:
    return f"## {title}\n\n{words}\n\n{table}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _null_table(results: Results, scenarios: list[Scenario]) -> str:
    return _table(
        ("scenario", "looks", "runs", "Pointsman", *NAMES),
        (
            (
                scenario.title, str(len(scenario.levels)), str(len(runs)),
                _promoted(scenario, runs),
                *_rivals(scenario, runs),
            )
            for scenario, runs in _with_runs(results, scenarios)
        ),
    )  # fmt: skip


def _rest_table(results: Results, scenarios: list[Scenario]) -> str:
    return _table(
        ("scenario", "wrong drops", "coverage", "decided", "mean units", "median units", "of at most", "alarms"),
        (
            (
                scenario.title, _rate(count(runs, "dropped_at"), len(runs)),
                _coverage(scenario, runs),
                f"{_decided(scenario, runs)} of {len(runs)}",
                *_durations(runs), f"{scenario.horizon:,}", str(sum(run.alarmed for run in runs)),
            )
            for scenario, runs in _with_runs(results, scenarios)
        ),
    )  # fmt: skip


def _power_table(results: Results, scenarios: list[Scenario]) -> str:
    return _table(
        ("scenario", "promoted", "dropped", "coverage", "mean units", "median units", "mean / n_fix", *NAMES),
        (
            (
                scenario.title, _promoted(scenario, runs),
                _rate(count(runs, "dropped_at"), len(runs)),
                _coverage(scenario, runs), *_durations(runs),
                _against_fixed(scenario, runs),
                *_rivals(scenario, runs),
            )
            for scenario, runs in _with_runs(results, scenarios)
        ),
    )  # fmt: skip


def _rivals(scenario: Scenario, runs: list[Run]) -> Iterator[str]:
    for rival in range(len(NAMES)):
        called = sum(run.rivals[rival] is not None for run in runs)
        yield _rate(called, len(runs)) if scenario.has_rivals else "-"


def _promoted(scenario: Scenario, runs: list[Run]) -> str:
    """A holdback watches a promotion that is done."""
    return "-" if scenario.watching else _rate(count(runs, "promoted_at"), len(runs))


def _coverage(scenario: Scenario, runs: list[Run]) -> str:
    return _rate(sum(not run.missed for run in runs), len(runs)) if scenario.has_interval else "-"


def _trial_table(results: Results) -> str:
    return _table(
        ("trial", "runs", "median requests", "wrong", "oracle reached", "spend / budget"),
        (
            (trial.title, str(len(tried)), _median([one.requests for one in tried]),
             _wrong([one.wrong for one in tried]), _reached([one.shortfall for one in tried]),
             _mean([one.spend for one in tried]))
            for trial, tried in ((each, results.tried[each.name]) for each in results.plan.trials)
        ),
    )  # fmt: skip


def _median(values: list[int | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known):,.0f}" if known else "-"


def _wrong(values: list[bool | None]) -> str:
    known = [value for value in values if value is not None]
    return _rate(sum(known), len(known)) if known else "-"


def _reached(values: list[float | None]) -> str:
    return _mean([None if value is None else 1 - value for value in values])


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.4f}" if known else "-"


def _regret_words() -> str:
    found = "; ".join(
        f"{player} {version(package) or 'not installed'}"
        for player, (_, package) in PLAYERS.items()
        if package
    )
    return f"""Mean reward lost against always serving the best arm, with its standard error. Every player learns after
each epoch of {BATCH} requests, in the same process and from the same seeds. Pointsman is `bandit.allocation.allocate`
with objective reward, without floors in the first two settings; in the last two it forgets 2% per 100
requests and keeps a floor of .02, which Vowpal Wabbit gets as epsilon. mabwiser (Thompson sampling) offers
neither floor nor forgetting. Vowpal Wabbit runs `--cb_explore K {VOWPAL_OPTIONS}`. Versions: {found}."""


def _regret_table(results: Results) -> str:
    settings = results.plan.settings
    return _table(
        ("setting", "runs", "bar", *PLAYERS),
        (
            (setting.title, str(setting.replications), f"{setting.bar:g}",
             *(_lost(results, setting, player) for player in PLAYERS))
            for setting in settings
        ),
    )  # fmt: skip


def _lost(results: Results, setting: Setting, player: str) -> str:
    values = results.regrets.get((setting.name, player))
    if values is None:
        return "not installed"
    return f"{np.mean(values):.0f} +- {np.std(values, ddof=1) / sqrt(len(values)):.0f}"


def _bar_table(judged: tuple[Bar, ...]) -> str:
    return _table(
        ("bar", "promised", "measured", ""),
        ((bar.name, bar.promised, bar.measured, bar.state) for bar in judged),
    )


def _with_runs(results: Results, scenarios: list[Scenario]) -> Iterator[tuple[Scenario, list[Run]]]:
    return ((scenario, results.runs[scenario.name]) for scenario in scenarios)


def _rate(events: int, trials: int) -> str:
    low, high = interval(events, trials)
    return f"{events / trials:.3f} ({low:.3f} to {high:.3f})"


def _decided(scenario: Scenario, runs: list[Run]) -> int:
    """Promoted runs, and with one candidate dropped ones."""
    return sum(
        run.promoted_at is not None or (scenario.arms == 2 and run.dropped_at is not None) for run in runs
    )


def _durations(runs: list[Run]) -> tuple[str, str]:
    units = [run.units for run in runs]
    return f"{np.mean(units):,.0f}", f"{np.median(units):,.0f}"


def _against_fixed(scenario: Scenario, runs: list[Run]) -> str:
    if scenario.fixed_units is None:
        return "-"
    return f"{np.mean([run.units for run in runs]) / scenario.fixed_units:.2f}"
