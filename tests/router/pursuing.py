"""Houses over upstreams that misbehave, for tests of how an answer is pursued."""

from typing import Any

from router.upstream.dispatch import Limits
from tests.servers.asking import QUICK
from tests.servers.house import PRICES, House, document
from tests.servers.upstream import UpstreamServer

Servers = dict[str, UpstreamServer]


def configured(servers: Servers, **changes: Any) -> dict[str, Any]:
    """A configuration of all upstreams: `big`, its fallback `small`, and perhaps `other`, priced as `small`."""
    config = document({name: server.url for name, server in servers.items()}, **changes)
    if "other" in config["models"]:
        config["models"]["other"] |= {"price": PRICES["small"]}
    return config


def house_of(
    servers: Servers, task: dict[str, Any] | None = None, big: dict[str, Any] | None = None,
    other: dict[str, Any] | None = None, limits: Limits = QUICK, **changes: Any,
) -> House:  # fmt: skip
    """A house that retries without waiting; `task` are the settings of the task `math`."""
    config = configured(servers, **changes)
    config["models"]["big"] |= big or {}
    if other:
        config["models"]["other"] |= other
    config["tasks"]["math"] = task or {}
    house = House(config, limits)
    house.dispatcher.fleet.draw = lambda: 0.0
    return house


def two_places(servers: Servers, **changes: Any) -> dict[str, Any]:
    """`big` at the upstreams `big` and `other`, taken in turn."""
    places = [{"region": "eu"}, {"base_url": servers["other"].url, "region": "us", "model": "big-in-us"}]
    return {"deployments": places, "balance": "round_robin", **changes}


def asked(servers: Servers) -> dict[str, int]:
    """Requests that each upstream got."""
    return {name: len(server.requests) for name, server in servers.items()}
