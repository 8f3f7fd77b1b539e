"""The few calls of Pointsman's HTTP API that the demo makes beside its traffic, as typed answers."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from examples.demo_processes import DemoFailed
from experiments.report.document import Report

NOT_FOUND, PROMOTION_REFUSED = 404, 409
TIMEOUT_S = 20.0
REPORT_S, QUIET_S, LOOK_AGAIN_S = 30.0, 7.0, 0.2


class NotYet(DemoFailed):
    """What was asked for is not there."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An experiment as `GET /v1/experiments` lists it."""

    name: str
    state: str
    epoch: int
    verdict: str
    leader: str | None
    """Candidate that the verdict names."""
    shares: tuple[float, ...]
    """Of new traffic, in the order of the candidates."""


class Api:
    """One server's reading and acting routes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def start(self, name: str) -> None:
        """Start a draft."""
        await self._ask("POST", f"/v1/experiments/{name}/start", {"why": "the demo begins"})

    async def standings(self, names: Sequence[str]) -> dict[str, Standing]:
        """The named experiments."""
        listed = (await self._ask("GET", "/v1/experiments"))["experiments"]
        return {one["name"]: _standing(one) for one in listed if one["name"] in names}

    async def report(self, name: str, decisions: int) -> Report:
        """An experiment's report, once the planner has counted so many decisions or counts no more for a while.

        Of a busy machine some rows reach the ledger when their window of a second and its grace are over: they are kept
        there, and in no report.
        """
        found: Report | None = None
        unchanged = 0
        for _ in range(int(REPORT_S / LOOK_AGAIN_S)):
            before, found = found, await self._newest(name) or found
            if found is not None:
                if found.units + found.health.degraded_decisions >= decisions:
                    return found
                unchanged = unchanged + 1 if before is not None and before.units == found.units else 0
                if found.units and unchanged * LOOK_AGAIN_S >= QUIET_S:
                    return found
            await asyncio.sleep(LOOK_AGAIN_S)
        if found is None:
            raise DemoFailed(f"{name} has no report after {REPORT_S:g} s; the server's log says why")
        return found

    async def _newest(self, name: str) -> Report | None:
        """The newest report; the first one comes with the planner's first look."""
        with suppress(NotYet):
            return Report.model_validate(await self._ask("GET", f"/v1/experiments/{name}/report?format=json"))
        return None

    async def promote(self, name: str, why: str) -> str | None:
        """Promote the candidate that the verdict names; the new champion, or None where the evidence refuses."""
        body = {"why": why}
        async with self._session.post(f"{self._url}/v1/experiments/{name}/promote", json=body) as reply:
            answer = orjson.loads(await reply.read())
            if reply.status == PROMOTION_REFUSED:
                return None
            if reply.status != 200:
                raise DemoFailed(f"promote {name}: {answer}")
            return str(answer["new"])

    async def champions(self) -> dict[str, str]:
        """The model that serves each task outside experiments."""
        return {one["task"]: one["champion"] for one in (await self._ask("GET", "/v1/routes"))["routes"]}

    async def _ask(self, method: str, path: str, body: object = None) -> Any:  # reason: any JSON value
        async with self._session.request(method, self._url + path, json=body) as reply:
            raw = await reply.read()
            if reply.status >= 300:
                failed = NotYet if reply.status == NOT_FOUND else DemoFailed
                raise failed(f"{method} {path}: status {reply.status}: {raw[:500].decode(errors='replace')}")
            return orjson.loads(raw)


def _standing(listed: dict[str, Any]) -> Standing:  # reason: decoded JSON
    return Standing(
        name=listed["name"],
        state=listed["state"],
        epoch=listed["epoch"] or 0,
        verdict=listed["verdict"] or "not_ready",
        leader=listed["leader"],
        shares=tuple(one["share"] for one in listed["shares"]),
    )
