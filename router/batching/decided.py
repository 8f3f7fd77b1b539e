"""Decided: each new line gets its decision, and its way - to an upstream's batch, or by itself.

A line goes into an upstream's batch where its decided model declares one, the model's dialect can say what it
asks for, and the day's limits and the task's budget have room for it. Any other line is run by itself, where
fallbacks, queues and budgets do what they do for every request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from router.availability.fleet import Fleet
from router.availability.quotas import DAY_MS, Need, Quotas, Rule, Ticket, budget_rule
from router.availability.sites import Site
from router.batching.asked import ENDPOINTS, read_asked
from router.batching.jsonl import read_line
from router.batching.kept import dump_decision
from router.batching.settled import BATCH_SERVICE
from router.batching.written import error_body, error_line
from router.deciding.choose import Decision
from router.engine import Engine
from router.errors import PointsmanError
from router.upstream.call import Call, Endpoint
from router.upstream.dialects.spoken import EXCHANGES
from router.upstream.exchange import Untranslatable
from router.upstream.usage import estimate_usage
from storage.spool.rows import BatchRow, Ended, LineRow

LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
OUTPUT_AHEAD = 500


@dataclass(frozen=True, slots=True)
class Ways:
    """What became of some new lines."""

    decided: tuple[LineRow, ...]
    refused: tuple[Ended, ...]


class Decider:
    """Decides lines as the gateway decides requests."""

    def __init__(self, engine: Engine, fleet: Fleet, keys: Mapping[str, str]) -> None:
        self._engine = engine
        self._fleet = fleet
        self._keys = keys
        self._quotas = Quotas(engine.store, engine.clock)

    async def decide(self, batch: BatchRow, path: Path, lines: list[LineRow]) -> Ways:
        """Decide some lines; one whose body is refused ends here, and nothing is recorded for it."""
        decided: list[LineRow] = []
        refused: list[Ended] = []
        for line in lines:
            try:
                call = read_asked(read_line(path, line)["body"], batch.endpoint, self._engine.snapshot)
                decision = await self._engine.route_async(call.route)
            except PointsmanError as error:
                refused.append(Ended(line.number, "failed", error_line(line, "", *error_body(error))))
                continue
            site = await self._batch_site(decision, call)
            way = (
                replace(line, state="single")
                if site is None
                else replace(line, state="batched", site=site.id)
            )
            decided.append(replace(way, decision=dump_decision(decision)))
        return Ways(tuple(decided), tuple(refused))

    def site_of(self, model: str, site_id: str) -> Site | None:
        """A site as the configuration has it now."""
        self._fleet.follow(self._engine.snapshot)
        served = self._fleet.served(model)
        return (
            next((site for site in served.sites if site.id == site_id), None) if served is not None else None
        )

    async def _batch_site(self, decision: Decision, call: Call) -> Site | None:
        """Where the line may go into a batch: the first of the model's places that has its key."""
        self._fleet.follow(self._engine.snapshot)
        served = self._fleet.served(decision.model)
        if served is None or not served.sites[0].model.batch:
            return None
        site = next((each for each in served.sites if self._has_key(each)), None)
        if site is None or not _can_say(site, call):
            return None
        return site if await self._affordable(decision, call, site) else None

    def _has_key(self, site: Site) -> bool:
        return site.model.api_key_env is None or self._keys.get(site.id) is not None

    async def _affordable(self, decision: Decision, call: Call, site: Site) -> bool:
        """Take the estimate from the day's limits and the budget; a minute's limits are for calls."""
        rules: list[Rule] = [rule for rule in site.rules if rule.span_ms == DAY_MS]
        terms = self._fleet.terms(decision.task)
        if terms.budget is not None:
            rules.append(budget_rule(terms.budget_of, terms.budget))
        if not rules:
            return True
        return isinstance(await self._quotas.admit(rules, _need(call, site), batch=True), Ticket)


def _can_say(site: Site, call: Call) -> bool:
    """Whether the dialect has words for it."""
    exchange = EXCHANGES.get((site.model.dialect, call.endpoint))
    if exchange is None or site.model.kind == "human":
        return False
    try:
        exchange.body(call, site.name, site.model)
    except Untranslatable:
        return False
    return True


def _need(call: Call, site: Site) -> Need:
    """What the line is expected to use, at the batch price."""
    given = estimate_usage(call.prompt, 0).input_tokens
    stated = [value for name in LENGTHS if type(value := call.fields.get(name)) is int]
    output = max(0, min([OUTPUT_AHEAD, *stated]))
    cost_usd = None if site.price is None else site.price.cost_usd(given, output, service=BATCH_SERVICE)
    return Need(given + output, cost_usd or 0.0)


def endpoint_of(batch: BatchRow) -> Endpoint:
    """The endpoint by its short name."""
    return ENDPOINTS[batch.endpoint]
