"""A serving worker that can be sampled, or lacks a part: `pointsman serve`'s own, started by `server`."""

import argparse
from pathlib import Path

from api.processes import worker
from benchmarks.profile.sampler import Sampler
from benchmarks.profile.without import PARTS


def main() -> None:
    """Take what is ours of the arguments and serve with the rest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", choices=sorted(PARTS))
    parser.add_argument("--samples", type=Path)
    asked, rest = parser.parse_known_args()
    if asked.without is not None:
        PARTS[asked.without]()
    if asked.samples is not None:
        Sampler(asked.samples).install()
    worker.main(rest)


if __name__ == "__main__":
    main()
