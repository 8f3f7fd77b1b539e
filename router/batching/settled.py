"""Settled: how a line ends by what an upstream's batch says of it, with the call row that the ledger gets.

The answer is read and written by the exchange that reads and writes every answer of the endpoint. It is paid at
the batch price. Its latency says nothing: nobody waited, and the upstream took its time by contract.
"""

import json
from collections.abc import Callable
from dataclasses import replace

from router.availability.sites import Site
from router.batching.batch_api import Place, Result
from router.batching.kept import dump_call
from router.batching.written import answer_line, error_body, error_line
from router.deciding.choose import Decision
from router.transport.transport import BrokenAnswer, Reply, Upstream
from router.upstream.attempts import of_status
from router.upstream.call import Call
from router.upstream.replies import Completion
from router.upstream.trail import SERVED, Step
from router.upstream.usage import Usage, estimate_usage
from storage.records import UNTIMED_MS, CallRow
from storage.spool.rows import Ended, LineRow

BATCH_SERVICE = "batch"
"""Service tier by which the price list knows batch work."""
MENDABLE = frozenset({"rate_limited", "upstream_5xx", "timeout", "upstream_auth", "bad_reply"})
"""Failures of a line that running it by itself may mend."""


def settle(
    line: LineRow, decision: Decision, result: Result, place: Place, asked: Callable[[], Call], now_ms: int
) -> Ended | None:  # fmt: skip
    """How the line ends; None where it should rather be run by itself. `asked` reads it again where it is needed."""
    if result.status is None:
        return None
    if result.status == 200:
        return _answered(line, decision, result, place, asked, now_ms)
    target = Upstream(place.site.model.base_url, place.key)
    reply = place.exchange.error(Reply(result.status, result.body))
    failure = of_status(place.site.name, target, reply.status, reply.body, None, now_ms)
    if failure.code in MENDABLE:
        return None
    status, shown = error_body(failure.error)
    row = _row(decision, place.site, None, 0.0, failure.code, now_ms)
    return Ended(line.number, "failed", error_line(line, decision.id, status, shown), dump_call(row))


def _answered(
    line: LineRow, decision: Decision, result: Result, place: Place, asked: Callable[[], Call], now_ms: int
) -> Ended | None:  # fmt: skip
    try:
        completion = place.exchange.read(result.body, now_ms)
        usage = _usage(completion, asked)
        cost_usd = usage.cost_usd(place.site.price)
        body = place.exchange.write(completion, decision.id, decision.model, usage, cost_usd)
    except BrokenAnswer:
        return None
    row = _row(decision, place.site, usage, cost_usd, None, now_ms)
    return Ended(line.number, "done", answer_line(line, decision.id, body), dump_call(row))


def _usage(completion: Completion, asked: Callable[[], Call]) -> Usage:
    """As the answer says, or estimated; at the batch price in either case, whatever tier the answer names."""
    usage = completion.usage or estimate_usage(asked().prompt, completion.characters)
    return replace(usage, service=BATCH_SERVICE)


def expired_row(decision: Decision, now_ms: int) -> CallRow:
    """The row of a line that nobody answered within the window: the assigned candidate is charged with it."""
    return _row(decision, None, None, 0.0, "batch_expired", now_ms)


def _row(
    decision: Decision, site: Site | None, usage: Usage | None, cost_usd: float | None, error: str | None, now_ms: int
) -> CallRow:  # fmt: skip
    where, after_ms = decision.model if site is None else site.id, max(0, now_ms - (decision.number >> 22))
    steps = [Step(where, error or SERVED, after_ms)]
    if site is not None:
        steps.insert(0, Step(where, "batch", 0))
    return CallRow(
        number=decision.number, experiment_id=decision.experiment_id, epoch=decision.epoch, arm=decision.arm,
        unit=decision.unit, served_model=decision.model, diverted=False, error=error, cost_usd=cost_usd,
        cost_estimated=usage is not None and usage.estimated,
        price_version=site.price.version if site is not None and site.price is not None and usage else "",
        input_tokens=usage.input_tokens if usage else None, output_tokens=usage.output_tokens if usage else None,
        latency_ms=UNTIMED_MS, first_token_ms=None, attempts=int(site is not None), finished_at_ms=now_ms,
        trail=json.dumps(steps, separators=(",", ":")),
    )  # fmt: skip
