"""Who a request comes from."""

from base64 import b64encode
from typing import Any

import pytest

from api.serving.auth import LOCAL, Auth, Identity
from api.serving.replies import Reply
from router.keys import hash_key
from storage.records import KeyRow, State

SECRET = "pk-correct-horse-battery-staple"
KEY = KeyRow("ops", hash_key(SECRET), ("traffic", "view"), 1)
REVOKED = KeyRow("old", hash_key("pk-gone"), ("admin",), 1, revoked_at_ms=2)


def state(*keys: KeyRow) -> State:
    return State(1, None, (), (), (), keys)


def request(*headers: tuple[str, str], method: str = "GET", path: str = "/") -> dict[str, Any]:
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "method": method, "path": path, "headers": encoded}


def basic(password: str) -> tuple[str, str]:
    return "authorization", "Basic " + b64encode(f"me:{password}".encode()).decode()


def test_a_known_key_gives_its_own_identity() -> None:
    """The audit record names the key, and its scopes bound what it may do."""
    found = Auth(lambda: state(KEY), True).identify(request(("authorization", f"Bearer {SECRET}")))
    assert found == Identity("key:ops", frozenset({"traffic", "view"}))
    assert isinstance(found, Identity)
    assert found.may("view")
    assert not found.may("feedback")
    assert not found.may("admin")


def test_admin_covers_every_scope() -> None:
    """One key can run an installation."""
    assert all(LOCAL.may(scope) for scope in ("traffic", "feedback", "view", "admin"))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer "),),
        (("authorization", f"Bearer {SECRET}x"),),
        (("authorization", f"Bearer {SECRET[:-1]}"),),
        (("authorization", SECRET),),
        (("authorization", f"Token {SECRET}"),),
        (("authorization", f"Bearer {KEY.hash}"),),
        (("authorization", "Bearer pk-gone"),),
        (("authorization", "Bearer ' OR 1=1 --"),),
        (("authorization", "Bearer \xff\xfe"),),
        (("authorization", f"Bearer {SECRET}"), ("authorization", "Bearer other")),
        (("x-api-key", SECRET),),
        (("authorization", "Basic !!!"),),
        (("authorization", "Basic " + b64encode(b"\xff\xff").decode()),),
        (basic("wrong"),),
        (basic(""),),
    ],
)
def test_every_failed_check_gets_the_same_answer(headers: tuple[tuple[str, str], ...]) -> None:
    """An answer that differs tells an attacker which part was right; none may fall back to an identity."""
    auth = Auth(lambda: state(KEY, REVOKED), True)
    assert auth.identify(request(*headers)) == auth.identify(request(("authorization", "Bearer unknown")))
    refused = auth.identify(request(*headers))
    assert isinstance(refused, Reply)
    assert refused.status == 401


def test_a_browser_may_send_the_key_as_password_for_reading_only() -> None:
    """A page can be opened by its address; what a browser adds by itself must change nothing."""
    auth = Auth(lambda: state(KEY), True)
    assert isinstance(auth.identify(request(basic(SECRET))), Identity)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert isinstance(auth.identify(request(basic(SECRET), method=method)), Reply)


def test_a_browser_is_asked_for_the_key() -> None:
    """Only the Basic challenge makes a browser show its dialogue; programs are told to send a bearer."""
    auth = Auth(lambda: state(KEY), True)
    page = auth.identify(request(("accept", "text/html,*/*;q=0.8")))
    program = auth.identify(request(("accept", "*/*")))
    assert isinstance(page, Reply)
    assert isinstance(program, Reply)
    assert dict(page.headers)[b"www-authenticate"].startswith(b"Basic")
    assert dict(program.headers)[b"www-authenticate"].startswith(b"Bearer")


def test_a_new_state_takes_effect_with_the_next_request() -> None:
    """A revoked key must end when the snapshot follows the store."""
    current = [state(KEY)]
    auth = Auth(lambda: current[0], True)
    asked = request(("authorization", f"Bearer {SECRET}"))
    assert isinstance(auth.identify(asked), Identity)
    current[0] = state(KeyRow("ops", KEY.hash, KEY.scopes, 1, revoked_at_ms=5))
    assert isinstance(auth.identify(asked), Reply)


def test_revoking_the_last_key_does_not_open_the_server() -> None:
    """A store that ever held a key stays closed."""
    found = Auth(lambda: state(REVOKED), True).identify(request(("host", "localhost")))
    assert isinstance(found, Reply)
    assert found.status == 401


def test_without_keys_only_a_loopback_server_is_open() -> None:
    """A reachable server without keys answers nobody, whatever the start-up check missed."""
    asked = request(("host", "localhost:8080"))
    assert Auth(lambda: state(), True).identify(asked) == LOCAL
    refused = Auth(lambda: state(), False).identify(asked)
    assert isinstance(refused, Reply)
    assert refused.status == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]", "[::1]:65535"])
def test_an_open_server_answers_to_local_names(host: str) -> None:
    """The names under which a user reaches the own machine, with any port; any key sent along is ignored."""
    auth = Auth(lambda: state(), True)
    assert auth.identify(request(("host", host))) == LOCAL
    assert auth.identify(request(("host", host), ("origin", f"http://{host}"))) == LOCAL
    assert auth.identify(request(("host", host), ("authorization", "Bearer unused"))) == LOCAL


@pytest.mark.parametrize(
    "headers",
    [
        (("host", "evil.example"),),
        (("host", "evil.example:8080"),),
        (("host", "localhost.evil.example"),),
        (("host", "evil.example/localhost"),),
        (("host", "localhost/#@evil"),),
        (("host", "localhost:80:80"),),
        (("host", "user@localhost"),),
        (("host", "127.0.0.1.evil.example"),),
        (("host", "2130706433"),),
        (("host", ""),),
        (),
        (("host", "localhost"), ("host", "evil.example")),
        (("host", "localhost:8080"), ("origin", "http://evil.example")),
        (("host", "localhost:8080"), ("origin", "null")),
        (("host", "localhost:8080"), ("origin", "http://localhost:9999")),
        (("host", "localhost:8080"), ("origin", "http://localhost:8080.evil.example")),
        (("host", "localhost:8080"), ("origin", "http://localhost:8080"), ("origin", "http://evil.example")),
    ],
)
def test_an_open_server_refuses_what_other_sites_send(headers: tuple[tuple[str, str], ...]) -> None:
    """A web page can make the user's browser call local addresses (rebinding, cross-site requests)."""
    found = Auth(lambda: state(), True).identify(request(*headers))
    assert isinstance(found, Reply)
    assert found.status == 403


def test_the_url_never_decides() -> None:
    """An identity that depends on the address line can be talked into another one."""
    auth = Auth(lambda: state(KEY), True)
    for path in ("/healthz", "//healthz", "/v1/../healthz", "/v1/route#/healthz", f"/?key={SECRET}"):
        assert isinstance(auth.identify(request(path=path)), Reply)
