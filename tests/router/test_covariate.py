"""Covariates: what is taken for one, at every door, and that the ledger gets it."""

from collections.abc import Callable

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.serving.decisions import parse_route
from router.deciding.choose import RouteRequest
from router.deciding.covariate import LARGEST_COVARIATE, check_covariate, read_covariate
from router.errors import InvalidRequest
from router.in_process import Router
from router.upstream.chat import read_chat
from tests.router.worlds import World, document

HELLO = [{"role": "user", "content": "hello"}]
BOUNDED = st.floats(-LARGEST_COVARIATE, LARGEST_COVARIATE)


def chat(headers: list[tuple[bytes, bytes]], **metadata: str) -> RouteRequest:
    """What the gateway makes of a request."""
    return read_chat(orjson.dumps({"model": "auto", "messages": HELLO, "metadata": metadata}), headers).route


def by_body(value: object) -> float | None:
    """Through POST /v1/route."""
    return parse_route(orjson.dumps({"covariate": value})).covariate


def by_header(value: object) -> float | None:
    """Through the gateway's header."""
    return chat([(b"x-pointsman-covariate", str(value).encode())]).covariate


def by_metadata(value: object) -> float | None:
    """Through the gateway's metadata."""
    return chat([], covariate=str(value)).covariate


DOORS: list[Callable[[object], float | None]] = [by_body, by_header, by_metadata, check_covariate]


@pytest.mark.parametrize("door", DOORS)
@given(value=BOUNDED)
def test_every_door_takes_the_same_numbers(door: Callable[[object], float | None], value: float) -> None:
    """A number that one of them rounded or lost would adjust a comparison by something else."""
    assert door(value) == value


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("value", [1.1e9, -1e12, 10**19, "1e999", "twelve"])
def test_every_door_refuses_the_same_with_value_bound_and_remedy(
    door: Callable[[object], float | None], value: object
) -> None:
    """Squares of it are summed: one absurd number would drown all others."""
    with pytest.raises(
        InvalidRequest, match=r"covariate == .*from -1e\+09 to 1e\+09; .*leave it out"
    ) as caught:
        door(value)
    assert caught.value.field is not None
    assert caught.value.field.endswith("covariate")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, [1], {}, 10**400])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    """Callers of the library have more kinds of value than JSON has."""
    with pytest.raises(InvalidRequest):
        check_covariate(value)


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1_000", " 1", "0x10", "1e9999", "", "\u0661", "1" * 41, "--1", "1,5"]
)
def test_texts_are_plain_decimal_numbers(text: str) -> None:
    """Python reads more as numbers than anybody means to send."""
    with pytest.raises(InvalidRequest):
        read_covariate(text, "x-pointsman-covariate")


def test_a_request_without_one_has_none() -> None:
    """It is optional everywhere, and none is not zero in the ledger."""
    assert by_body(None) is None
    assert chat([]).covariate is None
    assert chat([(b"x-pointsman-covariate", b"2")], covariate="3").covariate == 2.0


def test_a_decision_inside_an_experiment_carries_it_to_the_ledger(small_world: World) -> None:
    """Outside experiments nothing is adjusted, so nothing is kept."""
    inside = small_world.engine.route(RouteRequest(task="support/billing", covariate=2.5))
    outside = small_world.engine.route(RouteRequest(task="support", covariate=2.5))
    assert (inside.row().covariate, outside.row().covariate) == (2.5, None)
    small_world.engine.recorder.flush()
    kept = {row["number"]: row["covariate"] for row in small_world.store.export("decisions")}
    assert kept == {inside.number: 2.5, outside.number: None}


def test_the_library_routes_with_it_and_takes_numbers_of_numpy_too() -> None:
    """Features come from data frames; the unit row has what the first decision said."""
    with Router.open(document(), "memory:", tick="manual", start=True) as router:
        decision = router.route("support/billing", covariate=np.float64(1.5))
        router.feedback(decision.id, 1.0, cost_usd=0.25)
        (unit,) = router._store.export("units")
        assert (unit["covariate"], unit["first_number"]) == (1.5, decision.number)
        with pytest.raises(InvalidRequest):
            router.route("support/billing", covariate=float("nan"))
