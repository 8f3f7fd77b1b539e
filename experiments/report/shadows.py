"""Candidates of mode shadow in the report: what pairs of calls show, and what the copies cost."""

from math import isfinite

from experiments.definition.guardrail import COST
from experiments.report.numbers import number
from experiments.report.part import Number
from experiments.report.shadow_part import PairFigure, ShadowPart
from experiments.verdict.comparison import relative
from experiments.verdict.shadow import LATENCY, Paired
from experiments.verdict.tick import Tick


def shadow_parts(look: Tick) -> tuple[ShadowPart, ...]:
    """In the order of the candidates; none in other modes."""
    return tuple(
        ShadowPart(
            candidate=one.candidate,
            asked=one.asked,
            waiting=one.waiting,
            lost=one.lost,
            pairs=one.pairs,
            spent_usd=one.spent_usd,
            figures=tuple(map(_figure, one.figures)),
        )
        for one in look.shadows
    )


def _figure(figure: Paired) -> PairFigure:
    ratio, effect = figure.metric in (COST, LATENCY), figure.effect
    return PairFigure(
        metric=figure.metric,
        pairs=figure.pairs,
        relative=ratio,
        value=_shown(effect.estimate.value, ratio) if effect.known else None,
        low=_shown(effect.low, ratio) if effect.known else None,
        high=_shown(effect.high, ratio) if effect.known else None,
        p=effect.p if effect.known else None,
        bound=None if figure.bound is None else _shown(figure.bound, ratio),
        state=None if figure.rule is None else figure.rule.state,
    )


def _shown(value: float, ratio: bool) -> Number:
    """On the report's scale: a ratio as a relative change; nothing where an end is not bounded."""
    if not isfinite(value):
        return None
    return number(relative(value) if ratio else value)
