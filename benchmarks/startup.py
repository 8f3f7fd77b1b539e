"""Import times of what users and workers start with.

python -m benchmarks.startup
"""

import subprocess
import sys
import time

from benchmarks.machine import ROOT

ROUNDS = 7
CASES = {
    "python (nothing)": "pass",
    "import pointsman": "import pointsman",
    "a serving worker's imports": "import api.processes.worker",
    "the planner's imports": "import api.processes.planner, experiments.report.render",
    "pointsman --help": "import sys; sys.argv = ['pointsman', '--help']; import pointsman; pointsman.main()",
}


def main() -> None:
    """Print the median of some runs and the peak memory of each case."""
    for label, code in CASES.items():
        times, memory = [], 0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            tail = "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
            script = f"try:\n    exec({code!r})\nexcept SystemExit:\n    pass{tail}"
            done = subprocess.run(
                [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
            )
            times.append(time.perf_counter() - began)
            memory = int(done.stdout.split()[-1]) // 1024
        print(f"{label:<30} {sorted(times)[ROUNDS // 2] * 1e3:6.0f} ms  {memory:4d} MB peak")


if __name__ == "__main__":
    main()
