"""A process that says where it is, and does not end when asked: `python -m tests.servers.stubborn FILE`."""

import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Write the first line of standard input to the file, then sleep through SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(sys.argv[1]).write_text(sys.stdin.readline())
    time.sleep(60)


if __name__ == "__main__":
    main()
