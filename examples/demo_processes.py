"""The demo's processes: the simulated models, and Pointsman itself as a user would start it."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from api.settings import environment

HOME = Path(__file__).resolve().parents[1]
START_S = 30.0
END_S = 12.0
PLANNER_INTERVAL_S = 0.5
_READY = re.compile(r"ready at (http://\S+)")


class DemoFailed(Exception):
    """A process of the demo did not do what it should; the message holds what it said last."""


@contextmanager
def simulated_models(seed: int) -> Iterator[Mapping[str, str]]:
    """The simulated models' servers; yields base URLs by model."""
    process = _start(("-m", "examples.simulated_upstream", "--seed", str(seed)), {}, subprocess.PIPE, None)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise DemoFailed("the simulated models did not start; the lines above say why")
        yield orjson.loads(line)
    finally:
        _end(process)


@contextmanager
def pointsman(directory: Path, config: str, port: int, workers: int) -> Iterator[str]:
    """`pointsman apply` and `pointsman serve` on a ledger in this directory; yields the server's URL."""
    file, log = directory / "pointsman.yaml", directory / "serve.log"
    file.write_text(config)
    settings = {
        "POINTSMAN_STORE": str(directory / "demo.sqlite"),
        "POINTSMAN_PLANNER_INTERVAL_S": str(PLANNER_INTERVAL_S),
    }
    _apply(file, settings)
    arguments = (
        "-m", "pointsman", "serve", "--with-parent", "--port", str(port), "--workers", str(workers),
    )  # fmt: skip
    process = _start(arguments, settings, None, log)
    try:
        yield _url(process, log)
    except DemoFailed as error:
        raise DemoFailed(f"{error}\n{log.read_text()[-2_000:]}") from error
    finally:
        _end(process)


def _apply(file: Path, settings: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603  # our own command line by the interpreter that runs this
        (sys.executable, "-m", "pointsman", "apply", str(file)),
        cwd=HOME, env=_environment(settings), capture_output=True, text=True, check=False, timeout=START_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise DemoFailed(f"pointsman apply ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _start(
    arguments: Sequence[str], settings: Mapping[str, str], output: int | None, log: Path | None
) -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that Ctrl-C reaches the demo alone, which then ends it."""
    file = None if log is None else log.open("wb")
    try:
        return subprocess.Popen(  # noqa: S603  # our own modules by the interpreter that runs this
            (sys.executable, *arguments),
            cwd=HOME,
            env=_environment(settings),
            stdin=subprocess.PIPE,
            stdout=file or output,
            stderr=file,
            start_new_session=True,
        )
    finally:
        if file is not None:
            file.close()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without settings that are meant for another installation."""
    own = {name: value for name, value in environment().items() if not name.startswith("POINTSMAN_")}
    return own | dict(settings)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for the line in which the server names its address."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        if found := _READY.search(log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise DemoFailed("pointsman serve did not become ready; it said:")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end; kill it if it does not, or if somebody has no more patience."""
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
