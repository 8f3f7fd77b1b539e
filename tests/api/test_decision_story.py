"""One decision afterwards: over HTTP and in the shell, with every attempt."""

from collections.abc import Iterator

import pytest

from api.admin.stories import decision_story
from api.commands.ledger import _told
from router.deciding.choose import RouteRequest
from tests.servers.asking import QUICK, ask, ask_stream
from tests.servers.front import Front
from tests.servers.house import House, document
from tests.servers.upstream import TEXT, UpstreamServer, answer, cut_stream, status


@pytest.fixture
def front(servers: dict[str, UpstreamServer]) -> Iterator[Front]:
    """The application with one retry."""
    for server in servers.values():
        server.will(answer())
    house = House(document({name: server.url for name, server in servers.items()}, retries=1), QUICK)
    house.dispatcher.fleet.draw = lambda: 0.0
    yield Front(house)
    house.close()


def id_of(front: Front) -> str:
    """Id of the newest decision."""
    front.engine.recorder.flush()
    row = list(front.store.export("decisions"))[-1]
    return front.engine._signer.mint(
        int(str(row["experiment_id"])), int(str(row["epoch"])), int(str(row["arm"])),
        bytes.fromhex(str(row["unit"])), int(str(row["number"])),
    )  # fmt: skip


def test_the_story_tells_what_was_decided_tried_and_reported(
    front: Front, servers: dict[str, UpstreamServer]
) -> None:
    """Why was this answer dear, and why did another model give it? All of it is on one page."""
    front.start_experiment()
    servers["big"].will(status(503))
    users = (f"user-{number}" for number in range(100))
    request = (RouteRequest(task="support", user=user) for user in users)
    user = next(each.user for each in request if front.engine.route(each).model == "big")
    ask(front.house, "task/support", user=user)
    decision_id = id_of(front)
    front.post("/v1/feedback", {"decision_id": decision_id, "metric": "reward", "value": 1})
    story = front.get(f"/v1/decisions/{decision_id}").json
    assert (story["task"], story["experiment"], story["reason"]) == ("support", "cheaper", "held")
    assert story["explanation"]
    assert story["call"]["served_model"] == "small"
    assert [each["metric"] for each in story["feedback"]] == ["reward"]
    codes = [(step["where"], step["code"]) for step in story["tried"]]
    assert codes == [("big", "upstream_5xx"), ("big", "upstream_5xx"), ("small", "served")]
    times = [step["at_ms"] for step in story["tried"]]
    assert times == sorted(times)
    assert "\n".join(_told(story)).count("served") >= 2


def test_a_broken_stream_and_a_client_that_stayed_are_told_apart(
    front: Front, servers: dict[str, UpstreamServer]
) -> None:
    """The trail names what ended the answer."""
    servers["big"].will(cut_stream(*TEXT))
    ask_stream(front.house, "task/math")
    story = front.get(f"/v1/decisions/{id_of(front)}").json
    assert [step["code"] for step in story["tried"]] == ["incomplete"]
    assert story["call"]["error"] == "incomplete"


def test_a_good_answer_needs_no_trail_in_the_ledger(front: Front) -> None:
    """Millions of rows say nothing more than that the first attempt answered."""
    ask(front.house, "task/math")
    front.engine.recorder.flush()
    assert [row["trail"] for row in front.store.export("calls")] == [""]
    story = decision_story(front.store, id_of(front))
    assert [(step.where, step.code) for step in story.tried] == [("big", "served")]


@pytest.mark.parametrize("decision_id", ["x", "A" * 64])
def test_what_is_no_id_is_refused(front: Front, decision_id: str) -> None:
    """A typo must not look like a decision that was lost."""
    got = front.get(f"/v1/decisions/{decision_id}")
    assert (got.status, got.code) == (422, "invalid_request")


def test_a_decision_of_another_ledger_is_not_found(front: Front) -> None:
    """Its id is well-formed, its rows are not here."""
    got = front.get(f"/v1/decisions/{front.engine._signer.mint(0, 0, 0, bytes(16), 77)}")
    assert (got.status, got.code) == (404, "not_found")
