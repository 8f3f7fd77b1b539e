"""Guardrails of a candidate: the effect against the control, its bound, and where the rule stands."""

from math import isfinite

from experiments.report.document import GuardrailPart, Number
from experiments.report.numbers import number
from experiments.verdict.comparison import Comparison, relative
from experiments.verdict.guards import GuardrailEffect
from experiments.verdict.rules import Rule
from experiments.verdict.tick import Tick


def guardrail_parts(comparison: Comparison | None, look: Tick) -> tuple[GuardrailPart, ...]:
    """In the order of their declaration; none for the control, nor for a candidate that was dropped before."""
    one = next((one for one in look.candidacies if one.comparison is comparison), None)
    if one is None:
        return ()
    found = [(guard, one.rule(guard.guardrail.metric)) for guard in one.comparison.guardrails]
    return tuple(_part(guard, rule) for guard, rule in found if rule is not None)


def _part(guard: GuardrailEffect, rule: Rule) -> GuardrailPart:
    given = guard.guardrail
    ratio = given.max_ratio is not None
    bound = given.max_ratio - 1 if given.max_ratio is not None else given.bound
    return GuardrailPart(
        metric=given.metric,
        state=rule.state,
        sentence=rule.sentence,
        relative=ratio,
        value=_shown(guard.estimate.value, ratio) if guard.known else None,
        low=_shown(guard.low, ratio) if guard.known else None,
        high=_shown(guard.high, ratio) if guard.known else None,
        p=guard.p if guard.known else None,
        bound=-bound if given.max_decrease is not None else bound,
    )


def _shown(value: float, ratio: bool) -> Number:
    """On the report's scale: a ratio as a relative change; nothing where an end is not bounded."""
    if not isfinite(value):
        return None
    return number(relative(value) if ratio else value)
