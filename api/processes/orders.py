"""What the supervisor tells its processes: one line of JSON on standard input, which then stays open.

Secrets travel here and not in arguments, which every user of the machine can read. When the supervisor is
gone, however it ended, the input closes, and its processes end too instead of serving on as orphans.
"""

import os
import threading
from collections.abc import Callable

import orjson
from pydantic import BaseModel, ConfigDict

from api.settings import Settings

_CHUNK = 65_536
_STDIN = 0


class Order(BaseModel):
    """Settings and place of one process."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    name: str
    """What logs call it."""
    holder: str
    """Name under which it claims its worker number or the planner's lease; the same after a restart."""
    slot: int = 0
    """Which of the workers it is."""
    loopback: bool = True
    """Whether only this machine can reach the socket."""

    def line(self) -> bytes:
        """The order as it is sent, secrets in clear."""
        content = self.model_dump(mode="json")
        content["settings"]["signing_key"] = self.settings.signing_key_text
        return orjson.dumps(content) + b"\n"


def receive() -> Order:
    """The order on standard input."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(_STDIN, _CHUNK)
        if not part:
            raise SystemExit("this process is started by `pointsman serve`, which sends it an order")
        line += part
    return Order.model_validate_json(line)


def when_orphaned(act: Callable[[], None]) -> None:
    """Call `act` from a thread of its own once the supervisor is gone."""

    def watch() -> None:
        while os.read(_STDIN, _CHUNK):
            pass
        act()

    threading.Thread(target=watch, name="pointsman-supervisor-watch", daemon=True).start()
