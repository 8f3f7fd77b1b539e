"""Gateway and feedback beside the bare pass-through, on one core; start and memory of a worker.

    python -m benchmarks.gateway

The server's worker is pinned to one core with its writer thread; upstream and load generator share the
other. Everything is on: keys off, routing by an experiment, decision and call rows in SQLite (WAL, FULL).
"""

import argparse

from benchmarks.machine import Load, cores, memory_mb
from benchmarks.serving import CHAT, Target, bare, chat_body, configuration, driven, served, upstream_port
from router.clock import machine_clock
from router.deciding.decision_id import Numbers, request_unit
from router.deciding.signing import load_signer
from storage.open import open_store

SECONDS, CONNECTIONS, ROUNDS = 4.0, 32, 3


def feedback_bodies(store: str, count: int) -> list[bytes]:
    """Feedback for so many decisions, each once: ids minted with the ledger's own key, all of them early."""
    opened = open_store(store)
    state = opened.state()
    opened.close()
    experiment, epoch = state.experiments[0], state.epochs[0]
    signer, numbers = load_signer(store, None), Numbers(63, machine_clock)
    ids = []
    for index in range(count):
        number = numbers.next()
        ids.append(signer.mint(experiment.id, epoch.number, index % 2, request_unit(number), number))
    return [b'{"decision_id": "%s", "value": 1}' % one.encode() for one in ids]


def measured(label: str, target: Target, load: Load) -> tuple[float, float]:
    """One run; prints its figures and returns good answers a second and processor time of one."""
    figures = driven(target, load)
    print(
        f"{label:<42} {figures.per_second:8,.0f}/s  {figures.cpu_us:6.0f} us CPU  p50 {figures.p50_ms:6.2f} ms  "
        f"p99 {figures.p99_ms:6.2f} ms  bad {figures.bad}",
        flush=True,
    )
    return figures.per_second, figures.cpu_us


def beside_bare(server: Target, plain: Target, load: Load, rounds: int) -> None:
    """Gateway and bare in turn; the medians of both ratios."""
    rates, costs = [], []
    for _ in range(rounds):
        rate, cost_us = measured("bare pass-through (uvicorn + aiohttp)", plain, load)
        own_rate, own_us = measured("gateway", server, load)
        rates.append(own_rate / rate)
        costs.append(own_us / cost_us)
    middle = rounds // 2
    print(
        f"gateway / bare, median of {rounds}: {sorted(rates)[middle]:.2f} of the answers a second, "
        f"{sorted(costs)[middle]:.2f} times the processor time"
    )


def main(arguments: list[str] | None = None) -> None:
    """All rows, gateway and bare in turn within one run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each row")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of gateway and bare")
    parser.add_argument("--characters", type=int, default=208, help="length of a request's message")
    parser.add_argument("--ratio-only", action="store_true", help="gateway beside bare and nothing else")
    asked = parser.parse_args(arguments)
    core, other = cores()
    with (
        upstream_port(other) as upstream,
        bare(upstream, core) as plain,
        served(configuration(upstream), core) as found,
    ):
        server = found.target
        print(
            f"server ready after {found.ready_s:.2f} s; worker {memory_mb(server.pid):.0f} MB before traffic"
        )
        chat = Load(CHAT, [chat_body(asked.characters)], asked.seconds, CONNECTIONS)
        beside_bare(server, plain, chat, asked.rounds)
        if asked.ratio_only:
            return
        streams = [chat_body(asked.characters, stream=True)]
        measured("gateway, streams of 19 events", server, chat._replace(bodies=streams))
        route = Load("/v1/route", [b'{"task": "bench"}'], asked.seconds, CONNECTIONS)
        measured("POST /v1/route", server, route)
        for connections in (1, 8, 64):
            bodies = feedback_bodies(found.store, int(20_000 * asked.seconds))
            load = Load("/v1/feedback", bodies, asked.seconds, connections)
            measured(f"POST /v1/feedback, {connections} clients", server, load)
        print(f"worker {memory_mb(server.pid):.0f} MB after traffic")


if __name__ == "__main__":
    main()
