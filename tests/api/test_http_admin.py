"""The reading and acting routes."""

import json
from collections.abc import Iterator

import pytest

from tests.servers.front import DEFINITION, Front, open_front

BODY = {
    "name": "cheaper", "task": "support", "candidates": ["big", "small"], "unit": "user", "mode": "ab",
    "reward": {"metric": "resolved", "window": "1h"},
}  # fmt: skip


@pytest.fixture
def front() -> Iterator[Front]:
    with open_front() as opened:
        yield opened


def test_an_experiment_lives_by_http(front: Front) -> None:
    """Define, start, pause, resume, stop: the whole life without the command line."""
    created = front.post("/v1/experiments", BODY)
    assert (created.status, created.json["state"], created.json["definition"]["reward"]["window"]) == (
        201,
        "draft",
        "1h",
    )
    states = []
    for move in ("start", "pause", "start", "stop"):
        answer = front.post(f"/v1/experiments/cheaper/{move}", {"why": f"to {move}"})
        states.append((answer.status, answer.json["state"]))
    assert states == [(200, "running"), (200, "paused"), (200, "running"), (200, "stopped")]
    listed = front.get("/v1/experiments").json["experiments"]
    assert [(row["name"], row["state"], row["ended_because"]) for row in listed] == [
        ("cheaper", "stopped", "to stop")
    ]
    assert front.get("/v1/experiments/cheaper").json == listed[0]


def test_moves_need_no_body(front: Front) -> None:
    """`curl -X POST .../start` is what people type."""
    front.post("/v1/experiments", BODY)
    assert front.post("/v1/experiments/cheaper/start").json["shares"] == [
        {"candidate": "big", "share": 0.5, "dropped": False},
        {"candidate": "small", "share": 0.5, "dropped": False},
    ]


def test_a_body_is_json_whatever_it_is_called(front: Front) -> None:
    """`curl -d` calls every body a form."""
    body = json.dumps(BODY).encode()
    form = (b"content-type", b"application/x-www-form-urlencoded")
    assert front.call("POST", "/v1/experiments", body, [form]).status == 201


def test_every_change_is_audited_under_its_key(front: Front) -> None:
    """Who did it must be answerable later; without keys the actor is the machine itself."""
    front.post("/v1/experiments", BODY)
    front.key = front.add_key("ops", "admin")
    front.post("/v1/experiments/cheaper/start", {"why": "ready"})
    newest, *_, first = front.get("/v1/audit").json["entries"]
    assert (newest["actor"], newest["action"], newest["subject"], newest["why"]) == (
        "key:ops",
        "start",
        "cheaper",
        "ready",
    )
    assert (first["actor"], first["action"]) == ("local", "create")
    assert len(front.get("/v1/audit?limit=1").json["entries"]) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"candidates": ["big", "big"]}, None),
        ({"candidates": ["big", "undeclared"]}, "candidates"),
        ({"task": "undeclared"}, "task"),
        ({"traffic": 2.0}, "traffic"),
        ({"mode": "shadow"}, None),
        ({"colour": "red"}, "colour"),
        ({"reward": {"metric": "error"}}, "reward.metric"),
    ],
)
def test_a_broken_definition_names_its_field(
    front: Front, changes: dict[str, object], field: str | None
) -> None:
    """The same rules as in the file, with the same field names."""
    answer = front.post("/v1/experiments", {**BODY, **changes})
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["error"]["param"] == field
    assert front.get("/v1/experiments").json["experiments"] == []


def test_conflicts_and_absences_have_their_codes(front: Front) -> None:
    """Clients act on codes: read again, or give up."""
    front.post("/v1/experiments", BODY)
    assert (front.post("/v1/experiments", BODY).status, front.post("/v1/experiments", BODY).code) == (
        409,
        "conflict",
    )
    assert front.post("/v1/experiments/cheaper/pause").code == "conflict"
    for answer in (
        front.get("/v1/experiments/absent"), front.get("/v1/experiments/cheaper/report"),
        front.post("/v1/experiments/absent/start"), front.call("DELETE", "/v1/keys/absent"), front.get("/absent"),
    ):  # fmt: skip
        assert (answer.status, answer.code) == (404, "not_found")
    assert front.call("PATCH", "/v1/experiments").code == "method_not_allowed"


def test_promotion_against_the_evidence_is_refused_with_its_own_code(front: Front) -> None:
    """The command line turns this code into exit status 3."""
    front.start_experiment()
    refused = front.post("/v1/experiments/cheaper/promote", {"why": "I like it", "candidate": "small"})
    assert (refused.status, refused.code) == (409, "evidence_refused")
    assert front.post("/v1/experiments/cheaper/promote", {"candidate": "small"}).status == 422


def test_a_forced_promotion_can_be_rolled_back_by_its_experiment(front: Front) -> None:
    """Both ends of the loop; the routing table follows and says why."""
    front.start_experiment()
    done = front.post(
        "/v1/experiments/cheaper/promote", {"why": "trial", "candidate": "small", "force": True}
    ).json
    assert (done["task"], done["old"], done["new"], done["forced"]) == ("support", "big", "small", True)
    routes = {route["task"]: route for route in front.get("/v1/routes").json["routes"]}
    assert (routes["support"]["champion"], routes["support"]["source"]) == ("small", "promotion")
    assert (routes["math"]["champion"], routes["math"]["own"]) == ("big", False)
    listed = {row["name"]: row["state"] for row in front.get("/v1/experiments").json["experiments"]}
    assert listed == {"cheaper": "promoted", "cheaper~holdback": "running"}
    back = front.post("/v1/experiments/cheaper/rollback", {"why": "worse"})
    assert (back.status, back.json["champion"], back.json["source"]) == (200, "big", "rollback")


def test_a_route_is_changed_only_at_the_expected_version(front: Front) -> None:
    """Two people editing the table must not overwrite each other; task names hold slashes."""
    path = "/v1/routes/support/billing"
    body = json.dumps({"model": "small", "why": "cheaper", "expected_version": 0}).encode()
    first = front.call("PUT", path, body)
    assert (first.status, first.json["champion"], first.json["version"]) == (200, "small", 1)
    assert front.call("PUT", path, body).code == "conflict"
    assert front.call("PUT", path, b'{"model": "undeclared"}').json["error"]["param"] == "model"
    assert front.call("PUT", "/v1/routes/absent", b'{"model": "small"}').status == 404
    front.engine.refresh()
    assert front.post("/v1/route", {"task": "support/billing"}).json["model"] == "small"


def test_a_key_is_shown_once_and_ends_when_revoked(front: Front) -> None:
    """The listing must not help anybody who reads it."""
    made = front.post("/v1/keys", {"id": "app", "scopes": ["traffic", "feedback"]})
    assert made.status == 201
    secret = made.json["key"]
    front.engine.refresh()
    assert front.get("/v1/keys").status == 401
    front.key = secret
    assert front.post("/v1/route", {}).status == 200
    assert front.get("/v1/experiments").status == 403
    front.key = front.add_key("admin", "admin")
    listing = front.get("/v1/keys")
    assert {key["id"] for key in listing.json["keys"]} == {"admin", "app"}
    assert secret not in listing.body.decode()
    assert "hash" not in listing.body.decode()
    assert front.call("DELETE", "/v1/keys/app").status == 204
    front.engine.refresh()
    front.key = secret
    assert front.post("/v1/route", {}).status == 401


@pytest.mark.parametrize(
    "body", [{"id": "a b", "scopes": ["view"]}, {"id": "a", "scopes": []}, {"id": "a", "scopes": ["root"]}]
)
def test_a_broken_key_request_makes_no_key(front: Front, body: dict[str, object]) -> None:
    """A key without scope or with an unknown one would be a riddle later."""
    assert front.post("/v1/keys", body).status == 422
    assert front.get("/v1/keys").json == {"keys": []}


def test_traffic_and_export_show_what_was_recorded(front: Front) -> None:
    """Every number of the page is reachable by HTTP; names of users are not in it."""
    front.start_experiment()
    for user in ("u1", "u2", "u3"):
        front.post("/v1/route", {"task": "support", "user": user})
    front.post("/v1/route", {"task": "math"})
    front.engine.recorder.flush()
    assert front.get("/v1/traffic").json["traffic"] == [
        {"task": "math", "experiment": None, "reason": "champion", "decisions": 1},
        {"task": "support", "experiment": "cheaper", "reason": "experiment", "decisions": 3},
    ]
    lines = front.get(f"/v1/export?kind=decisions&experiment={DEFINITION.name}").body.splitlines()
    assert [json.loads(line)["task"] for line in lines] == ["support"] * 3
    assert all(set(json.loads(line)["unit"]) <= set("0123456789abcdef") for line in lines)
    assert len(front.get("/v1/export").body.splitlines()) == 4
    assert front.get("/v1/export?kind=secrets").status == 422
    assert front.get("/v1/export?experiment=absent").status == 404


def test_when_the_ledger_is_away_the_answer_says_so(front: Front) -> None:
    """No traceback, no detail of the inside, and a time to try again."""
    front.store.close()
    answer = front.get("/v1/experiments")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "store_down", "1")
