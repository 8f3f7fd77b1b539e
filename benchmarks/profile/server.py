"""`pointsman serve` with a worker that can be sampled or lacks a part.

python -m benchmarks.profile.server --config FILE [--without PART] [--samples FILE]
"""

import argparse
import socket
from pathlib import Path

from api.processes import worker
from api.processes.orders import Order
from api.processes.preparation import prepare
from api.processes.serve import Supervisor
from api.settings import Settings, environment
from benchmarks.profile.sampler import Sampler
from benchmarks.profile.without import PARTS


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--without", choices=sorted(PARTS))
    parser.add_argument("--samples", type=Path)
    asked = parser.parse_args()
    settings = Settings.read(environment(), port=asked.port)
    say = lambda line: print(line, flush=True)  # noqa: E731
    if asked.without is not None:
        PARTS[asked.without]()
    if asked.samples is not None:
        usual = worker.work

        def sampled(order: Order, listener: socket.socket, page: int) -> None:
            Sampler(asked.samples).install()
            usual(order, listener, page)

        worker.work = sampled
    Supervisor(settings, prepare(settings, asked.config, say), say).run()


if __name__ == "__main__":
    main()
