"""A worker asked for three times what it admits: what it still serves, how it refuses, and its memory.

    python -m benchmarks.overload
    python -m benchmarks.overload --long 60 --characters 20000

Both runs are of one server. `--long` adds a run of so many seconds and says how memory moved in it.
"""

import argparse
import os
import threading

from benchmarks.machine import Load, cores, memory_mb
from benchmarks.serving import CHAT, Target, chat_body, configuration, driven, served, upstream_port

ADMITTED, TIMES, SAMPLES = 64, 3, 10
AFTER_S = 0.05
"""Time that the upstream takes for an answer: at once, requests would hardly ever be under way together."""


def overloaded(server: Target, load: Load) -> None:
    """Peak, then three times the connections, of clients that ask again at once and of patient ones."""
    peak = driven(server, load)
    print(
        f"peak, {load.connections} connections: {peak.per_second:,.0f}/s, p99 {peak.p99_ms:.1f} ms, bad {peak.bad}"
    )
    for patient, label in ((False, "asking again at once"), (True, "heeding retry-after")):
        found = driven(server, load._replace(connections=TIMES * load.connections, patient=patient))
        print(
            f"{TIMES} times as many, {label}: {found.per_second:,.0f}/s good, "
            f"{found.per_second / peak.per_second:.2f} of the peak; {found.bad / max(found.requests, 1):.0%} refused, "
            f"{found.overloaded} of {found.bad} with 503 and retry-after; p99 {found.p99_ms:.1f} ms; "
            f"worker {memory_mb(server.pid):.0f} MB",
            flush=True,
        )


def lasting(server: Target, load: Load) -> None:
    """Memory over a long run, and its slope over the second half."""
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(load.seconds / SAMPLES):
            seen.append(memory_mb(server.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    figures = driven(server, load)
    over.set()
    watching.join()
    later = seen[len(seen) // 2 :]
    slope = (later[-1] - later[0]) / (load.seconds / SAMPLES * max(len(later) - 1, 1)) * 60
    print(
        f"{load.seconds:.0f} s: {figures.per_second:,.0f}/s, {figures.cpu_us:.0f} us CPU, p99 {figures.p99_ms:.1f} ms, "
        f"bad {figures.bad}; memory {seen[0]:.0f} to {seen[-1]:.0f} MB, {slope:+.1f} MB a minute in the second half"
    )


def main() -> None:
    """Overload, and a long run where it is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each row")
    parser.add_argument("--characters", type=int, default=208, help="length of a request's message")
    parser.add_argument("--long", type=float, default=0.0, help="seconds of a further run at the peak")
    asked = parser.parse_args()
    core, other = cores()
    os.environ["POINTSMAN_MAX_IN_FLIGHT"] = str(ADMITTED)
    with upstream_port(other, AFTER_S) as upstream, served(configuration(upstream), core) as found:
        print(
            f"{ADMITTED} requests admitted at once; worker {memory_mb(found.target.pid):.0f} MB before traffic"
        )
        load = Load(CHAT, [chat_body(asked.characters)], asked.seconds, ADMITTED)
        overloaded(found.target, load)
        if asked.long:
            lasting(found.target, load._replace(seconds=asked.long, connections=32))


if __name__ == "__main__":
    main()
