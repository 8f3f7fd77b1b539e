"""Reading what was rendered: figures that a rendering must show, and the structure of a page."""

import re
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

from dashboards import figures
from dashboards.pages import MINUS

Document = dict[str, Any]  # reason: parsed JSON
Shown = Callable[[Any], str]  # reason: formats of several kinds of field

REPORT_FIGURES: Mapping[str, Shown] = {
    "reward_margin": figures.setting,
    "min_saving": figures.setting_percent,
    "alpha": figures.setting_percent,
    "mde": figures.setting,
    "units": figures.units,
    "mature_units": figures.units,
    "units_per_day": figures.units,
    "epochs": figures.units,
    "mature_epochs": figures.units,
    "looks": figures.units,
    "fixed_units_per_arm": figures.units,
    "heterogeneity_p": figures.p_value,
    "value_usd": figures.money,
    "budget_usd": figures.money,
    "spend_per_request_usd": figures.money,
    "window_ms": figures.duration,
    "started_at_ms": figures.moment,
    "ended_at_ms": figures.moment,
    "rendered_at_ms": figures.moment,
}
CANDIDATE_FIGURES: Mapping[str, Shown] = {
    "share": figures.percent,
    "units": figures.units,
    "mature_units": figures.units,
    "missing_feedback": figures.percent,
    "served_as_assigned": figures.percent,
    "reward": figures.reward,
    "cost_usd": figures.money,
    "cost_per_request_usd": figures.money,
    "reward_per_usd": figures.rate,
    "net_value_per_1000_usd": figures.money,
    "error_rate": figures.percent,
    "latency_p50_ms": figures.milliseconds,
    "latency_p50_low_ms": figures.milliseconds,
    "latency_p50_high_ms": figures.milliseconds,
    "latency_p95_ms": figures.milliseconds,
    "latency_p95_low_ms": figures.milliseconds,
    "latency_p95_high_ms": figures.milliseconds,
    "chance_to_win": figures.chance,
    "chance_not_worse": figures.chance,
    "expected_loss": figures.reward,
    "reward_unclipped": figures.reward,
    "cost_uncapped_usd": figures.money,
    "saved_usd_per_day": figures.money_change,
    "saved_usd_per_day_low": figures.money_change,
    "saved_usd_per_day_high": figures.money_change,
}
EFFECTS: Mapping[str, Shown] = {
    "reward_effect": figures.difference,
    "cost_effect": figures.change,
    "cost_per_request_effect": figures.change,
    "reward_per_cost_effect": figures.change,
    "net_value_effect": figures.money_change,
}
EFFECT_ENDS = ("value", "low", "high", "fixed_low", "fixed_high")
EFFECT_P = ("p", "fixed_p")
EFFECT_CORRECTED = ("fixed_p_holm", "fixed_p_bh")
"""Null where there is one candidate only."""
OTHER_FIGURES: Mapping[str, Shown] = {
    "promotion_p": figures.p_value,
    "promotion_e_value": figures.e_value,
    "detectable": figures.reward,
    "exact.low": figures.difference,
    "exact.high": figures.difference,
    "exact.p": figures.p_value,
    "exact.e_value": figures.e_value,
    "exact.not_worse_p": figures.p_value,
    "anytime.value": figures.difference,
    "anytime.low": figures.difference,
    "anytime.high": figures.difference,
    "cross_check.value": figures.difference,
    "cross_check.low": figures.difference,
    "cross_check.high": figures.difference,
    "cross_check.units": figures.units,
    "adjusted.value": figures.difference,
    "adjusted.low": figures.difference,
    "adjusted.high": figures.difference,
    "adjusted.plain_value": figures.difference,
    "adjusted.plain_low": figures.difference,
    "adjusted.plain_high": figures.difference,
    "adjusted.slope": figures.setting,
    "adjusted.variance_reduction": figures.percent,
    "reward_unclipped.value": figures.difference,
    "reward_unclipped.low": figures.difference,
    "reward_unclipped.high": figures.difference,
    "cost_uncapped.value": figures.change,
    "cost_uncapped.low": figures.change,
    "cost_uncapped.high": figures.change,
    "equivalence_p": figures.p_value,
}
"""Other read-outs, by path; those that an experiment does not have are null."""


def expected_figures(document: Document) -> Iterator[tuple[str, str]]:
    """Every number of a report as (where it stands, what a reader must find)."""
    for field, shown in REPORT_FIGURES.items():
        yield field, shown(document[field])
    for candidate in document["candidates"]:
        where = f"candidate {candidate['name']}"
        for field, shown in CANDIDATE_FIGURES.items():
            yield f"{where} {field}", shown(candidate[field])
        for name, shown in EFFECTS.items():
            for end in EFFECT_ENDS if candidate[name] else ():
                yield f"{where} {name}.{end}", shown(candidate[name][end])
            for end in EFFECT_P if candidate[name] else ():
                yield f"{where} {name}.{end}", figures.p_value(candidate[name][end])
            for end in EFFECT_CORRECTED if candidate[name] and candidate[name]["fixed_p_holm"] else ():
                yield f"{where} {name}.{end}", figures.p_value(candidate[name][end])
        yield from () if awaits(document) else _others(where, candidate["other"])
        for guard in candidate["guardrails"]:
            shown = figures.change if guard["relative"] else figures.difference
            for end in ("value", "low", "high"):
                yield f"{where} guardrail {guard['metric']} {end}", shown(guard[end])
    yield from _verdict_and_health(document)


def awaits(document: Document) -> bool:
    """Whether nothing is mature: pages and text then leave out what rests on mature data."""
    return bool(document["mature_units"] == 0)


def _others(where: str, other: Document | None) -> Iterator[tuple[str, str]]:
    for path, shown in OTHER_FIGURES.items():
        found: Any = other  # reason: parsed JSON
        for step in path.split("."):
            found = found and found[step]
        if found is not None:
            yield f"{where} {path}", shown(found)


def _verdict_and_health(document: Document) -> Iterator[tuple[str, str]]:
    verdict, health, shares = document["verdict"], document["health"], document["shares"]
    if verdict["units_needed"] is not None:
        yield "units_needed", figures.units(verdict["units_needed"])
    if verdict["days_needed"] is not None:
        yield "days_needed", figures.days(verdict["days_needed"])
    for test in health["sample_ratio"]:
        yield f"sample ratio {test['count']}", figures.p_value(test["p"])
    yield "degraded", figures.units(health["degraded_decisions"])
    yield "recovered", figures.units(health["recovered_units"])
    if shares["numbers"]:
        for place in (0, -1):
            yield "epoch", str(shares["numbers"][place])
            yield "opened", figures.moment(shares["opened_at_ms"][place])
            for share in shares["shares"][place]:
                yield "share", figures.percent(share)


def sentences(document: Document) -> Iterator[str]:
    """Every sentence and name that a reader must find."""
    verdict, health = document["verdict"], document["health"]
    yield from (document["experiment"], document["task"], document["hypothesis"], document["reward_metric"])
    yield from (verdict["sentence"], verdict["would_change"])
    yield from (rule["sentence"] for rule in document["rules"])
    yield from (test["sentence"] for test in health["sample_ratio"])
    yield from health["warnings"]
    yield from (candidate["name"] for candidate in document["candidates"])
    if health["alarm"]:
        yield health["alarm"]
    if document["heterogeneity_warning"]:
        yield document["heterogeneity_warning"]
    if awaits(document):
        return
    yield document["discovery"]["sentence"]
    for candidate in document["candidates"]:
        if candidate["other"]:
            yield candidate["other"]["cross_check"]["sentence"]


def holds_figure(text: str, figure: str) -> bool:
    """Whether a figure stands in a text as a whole and not as part of a longer number."""
    return re.search(rf"(?<![\d.,$+-]){re.escape(figure)}(?![\d%]|[.,]\d)", text) is not None


class Page(HTMLParser):
    """A parsed page: its elements, and its text as one line."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self._raw = 0
        self.inline: list[str] = []
        """Contents of style and script elements."""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        (self.inline if self._raw else self._texts).append(data)

    @property
    def text(self) -> str:
        """All text with single spaces and ASCII signs."""
        return " ".join(" ".join(self._texts).split()).replace(MINUS, "-")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of one kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def shapes(self) -> set[tuple[str, frozenset[str]]]:
        """Kinds of elements with the names of their attributes."""
        return {(tag, frozenset(attributes)) for tag, attributes in self.elements}
