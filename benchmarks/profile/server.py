"""`pointsman serve` with a worker under the profiler: `python -m benchmarks.profile.server --config FILE`."""

import argparse
from pathlib import Path

from api.processes.children import Child
from api.processes.preparation import prepare
from api.processes.serve import Supervisor
from api.settings import Settings, environment


class ProfiledSupervisor(Supervisor):
    """Starts our worker in the place of the usual one."""

    arguments: tuple[str, ...] = ()

    def _children(self, page: int) -> list[Child]:
        listener = self._prepared.listener.fileno()
        given = ("--fd", str(listener), "--metrics-fd", str(page), *self.arguments)
        ours = Child("benchmarks.profile.worker", given, (listener, page), self._order("worker 0", 0))
        return [ours, *super()._children(page)[self._settings.workers :]]


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    asked, rest = parser.parse_known_args()
    settings = Settings.read(environment(), port=asked.port)
    say = lambda line: print(line, flush=True)  # noqa: E731
    supervisor = ProfiledSupervisor(settings, prepare(settings, asked.config, say), say)
    supervisor.arguments = tuple(rest)
    supervisor.run()


if __name__ == "__main__":
    main()
