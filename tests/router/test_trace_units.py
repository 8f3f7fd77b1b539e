"""Traces as units: the calls of one workflow keep one candidate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.deciding.choose import RouteRequest
from router.errors import InvalidRequest
from router.upstream.chat import read_chat
from tests.router.worlds import document, experiment, world

BODY = b'{"model":"task/support/billing","messages":[{"role":"user","content":"hi"}]}'
TRACED = b'{"model":"auto","messages":[{"role":"user","content":"hi"}],"metadata":{"trace_id":"flow-7"}}'
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def trace_of(*headers: tuple[bytes, bytes], body: bytes = BODY) -> str | None:
    """The trace that the gateway reads from a request."""
    return read_chat(body, headers).route.trace


def test_a_header_goes_before_metadata_and_that_before_the_trace_of_the_wire() -> None:
    """What the application says of itself is nearer to it than what its instrumentation says."""
    parent = (b"traceparent", PARENT.encode())
    assert trace_of(parent) == TRACE
    assert trace_of(parent, body=TRACED) == "flow-7"
    assert trace_of(parent, (b"x-pointsman-trace", b"mine"), body=TRACED) == "mine"
    assert trace_of() is None


@pytest.mark.parametrize(
    "value",
    [
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}",
        "nonsense",
    ],
)
def test_a_traceparent_that_is_none_is_ignored(value: str) -> None:
    """W3C asks for it: a broken header of some proxy must not fail a request."""
    assert trace_of((b"traceparent", value.encode())) is None


@given(st.text(max_size=80))
def test_no_traceparent_fails_a_request(value: str) -> None:
    """It comes from anywhere."""
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        return
    trace = trace_of((b"traceparent", encoded))
    assert trace is None or len(trace) == 32


def test_a_name_that_is_too_long_is_refused() -> None:
    """A unit's name is hashed on every request."""
    with pytest.raises(InvalidRequest, match="x-pointsman-trace"):
        trace_of((b"x-pointsman-trace", b"t" * 2_000))


def test_the_calls_of_a_workflow_keep_one_candidate() -> None:
    """Interdependent calls answered by two models would tell nothing about either."""
    made = world(document(experiments={"cheaper": experiment(unit="trace", mode="ab")}))
    seen: dict[str, set[str]] = {}
    for number in range(90):
        name = f"flow-{number % 30}"
        decision = made.engine.route(RouteRequest(task="support/billing", trace=name, user=f"u{number}"))
        assert decision.experiment == "cheaper"
        seen.setdefault(name, set()).add(decision.model)
    assert all(len(models) == 1 for models in seen.values())
    assert set().union(*seen.values()) == {"dear", "cheap"}
    alone = made.engine.route(RouteRequest(task="support/billing", user="u1", session="s1"))
    assert (alone.model, alone.reason) == ("dear", "no_unit")
    named = [
        made.engine.route(RouteRequest(task="support/billing", unit="x", trace=f"t{i}")).model
        for i in range(9)
    ]
    assert len(set(named)) == 1
    made.close()
