"""Errors on the wire."""

from collections.abc import Iterator

import orjson
import pytest

import router.errors
from api.admin.schemas import ErrorAnswer
from api.serving.problems import PROBLEMS, BodyTooLarge, Forbidden, problem_of, problem_of_status
from router.errors import InvalidRequest, PointsmanError, StoreDown, UpstreamFailed
from tests.servers.front import Front, open_front


@pytest.fixture
def front() -> Iterator[Front]:
    with open_front() as opened:
        yield opened


def errors(root: type[PointsmanError]) -> Iterator[type[PointsmanError]]:
    yield root
    for kind in root.__subclasses__():
        yield from errors(kind)


def test_every_error_has_its_place_in_the_table() -> None:
    """A code without a status would turn a clean refusal into a crash."""
    known = [
        kind
        for kind in errors(PointsmanError)
        if kind.__module__ in (router.errors.__name__, "api.serving.problems")
    ]
    assert {BodyTooLarge, Forbidden, StoreDown} < set(known)
    for kind in known:
        assert kind.code in PROBLEMS, kind


@pytest.mark.parametrize("code", PROBLEMS)
def test_statuses_and_types_agree(code: str) -> None:
    """OpenAI clients retry by status; a client's fault must never look like the server's."""
    problem = PROBLEMS[code]
    assert 400 <= problem.status < 600
    ours = problem.type in ("server_error", "upstream_error")
    assert ours == (problem.status >= 500)


def test_an_invalid_request_carries_field_and_index() -> None:
    """Everything the caller needs, in the shape that OpenAI clients print."""
    reply = problem_of(InvalidRequest("too large", "value", 3))
    answer = ErrorAnswer.model_validate_json(reply.body).error
    assert (reply.status, answer.param, answer.index, answer.message) == (422, "value", 3, "too large")


def test_retry_after_is_passed_on() -> None:
    """Overload must tell clients to wait instead of hammering."""
    assert (b"retry-after", b"1") in problem_of(StoreDown("away")).headers
    assert (b"retry-after", b"7") in problem_of(UpstreamFailed("busy", 429, 7)).headers
    assert problem_of(UpstreamFailed("busy", 429, 7)).status == 429


def test_statuses_of_the_framework_keep_their_number() -> None:
    """Whatever it raises, the answer has our shape."""
    for status in (400, 404, 405, 415, 500):
        reply = problem_of_status(status, "x")
        assert reply.status == status
        assert orjson.loads(reply.body)["error"]["code"] in PROBLEMS


def test_an_unforeseen_error_says_nothing_about_the_inside(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """A message may hold a secret or a path; it belongs into the log, which hides secrets."""

    def broken() -> None:
        raise RuntimeError("secret-of-the-inside")

    front.store.traffic = broken  # type: ignore[assignment, method-assign]  # a fault no store has
    answer = front.get("/v1/traffic")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert "secret-of-the-inside" in caplog.text


def test_an_error_in_a_hot_route_is_answered_too(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """The front has no framework around it; a bug must still end in an answer and a log entry."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret-of-the-inside")

    front.engine.route_async = broken  # type: ignore[assignment, method-assign]  # a fault the engine does not have
    answer = front.post("/v1/route", {})
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "secret-of-the-inside" in caplog.text


def test_readiness_follows_the_snapshot(front: Front) -> None:
    """A load balancer takes a server out whose decisions no longer count; the process itself is alive."""
    assert front.get("/readyz").status == 200
    front.engine.healthy = lambda: False  # type: ignore[method-assign]  # waiting for staleness takes seconds
    assert (front.get("/readyz").status, front.get("/healthz").status) == (503, 200)
