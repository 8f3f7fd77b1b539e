"""The watch of a holdback: looks at the newest traffic alone.

A regression that comes late would hide behind the good time before it, so the newest traffic is tested by
itself as well, from each of several starting points. Each start takes its part of alpha: a false alarm has
probability alpha on all epochs together and alpha over all starts together (a union bound; each confidence
sequence holds at all looks). A successor is declared with half of its predecessor's alpha for that.

New prices, or another model behind a candidate's name, end what was known: from there on the watch starts
anew (experiments.verdict.versions).
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.volume import volume
from experiments.verdict.comparison import compare
from experiments.verdict.rules import Candidacy, Rule, candidacy

STARTS = 10
"""Looks at the newest traffic start after each tenth of the planned units."""
SMALLEST_ALPHA = 1e-6


def with_newest(
    definition: Experiment, mature: Evidence, settled: Evidence, one: Candidacy, cost_series: int
) -> Candidacy:
    """The candidacy, with the harm that the newest traffic alone shows where all of it shows none."""
    if one.harm is not None:
        return one
    harm = next(_harms(definition, mature, settled, one.comparison.arm, cost_series), None)
    if harm is None:
        return one
    rules = tuple(harm if rule.name == harm.name else rule for rule in one.rules)
    return Candidacy(one.comparison, rules)


def _harms(
    definition: Experiment, mature: Evidence, settled: Evidence, arm: int, cost_series: int
) -> Iterator[Rule]:
    """Harm shown from each starting point on, each at its part of alpha."""
    alpha = max(definition.decision.alpha / STARTS, SMALLEST_ALPHA)
    decision = definition.decision.model_copy(update={"alpha": alpha})
    stricter = definition.model_copy(update={"decision": decision})
    for start in _starts(definition, mature):
        newest = mature.where(np.arange(len(mature.epochs)) >= start)
        seen = volume(definition, newest, newest, 1)
        calls = _since(settled, newest.epochs[0].number)
        harm = candidacy(stricter, compare(stricter, newest, [arm], cost_series, calls)[0], seen).harm
        if harm is not None:
            yield replace(harm, sentence=f"{harm.sentence} (over the newest {seen.mature:,} units)")


def _since(settled: Evidence, number: int) -> Evidence:
    """The settled epochs from this one on."""
    return settled.where(np.array([epoch.number >= number for epoch in settled.epochs], dtype=bool))


def _starts(definition: Experiment, mature: Evidence) -> list[int]:
    """Indexes of the epochs that begin after each tenth of the planned units; later data moves none of them."""
    before = np.cumsum(mature.counts["assigned"].sum(axis=1))
    steps = definition.decision.max_units / STARTS * np.arange(1, STARTS)
    starts = np.searchsorted(before, steps) + 1
    return sorted({int(start) for start in starts if start < len(mature.epochs)})
