"""What is checked before a server starts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.processes.preparation import Prepared, prepare
from api.settings import Settings, missing_keys, provider_keys
from router.applying.file import read_document
from router.clock import machine_clock
from router.config.dialects import load_dialect
from router.errors import ConfigInvalid
from router.steering.control import Control
from storage.open import open_store
from storage.redis.store import RedisStore
from tests.servers.whole import CONFIG
from tests.storage.redis_server import Server


class Desk:
    """A directory with a configuration and a ledger, and what was said about them."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "pointsman.yaml"
        self.file.write_text(CONFIG)
        self.ledger = str(directory / "ledger.sqlite")
        self.said = ""
        self.opened: list[Prepared] = []

    def prepare(self, config: Path | None = None, **given: object) -> Prepared:
        """Prepare with the ledger; settings as given."""
        settings = Settings.model_validate({"store": self.ledger, "port": 0, **given})
        prepared = prepare(settings, config, self._say)
        self.opened.append(prepared)
        return prepared

    def _say(self, line: str) -> None:
        self.said += line + "\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.delenv("BIG_KEY", raising=False)
    made = Desk(tmp_path)
    yield made
    for prepared in made.opened:
        prepared.listener.close()


def test_the_file_seeds_an_empty_ledger_once(desk: Desk) -> None:
    """Afterwards the store owns champions and experiments; a changed file is mentioned and changes nothing."""
    desk.prepare(desk.file)
    assert "champion of default: big" in desk.said
    desk.said = ""
    desk.prepare(desk.file)
    assert "differs" not in desk.said
    desk.file.write_text(CONFIG.replace("default: big", "default: small"))
    desk.prepare(desk.file)
    assert f"pointsman plan {desk.file}" in desk.said
    store = open_store(desk.ledger)
    assert [row.model for row in store.state().routes] == ["big"]
    store.close()


def test_the_signing_key_is_made_before_the_workers_start(desk: Desk) -> None:
    """Workers that each made their own would call one another's decision ids forged."""
    desk.prepare(desk.file)
    assert Path(desk.ledger + ".signing-key").stat().st_mode & 0o777 == 0o600


def test_missing_provider_keys_are_named_and_their_values_never(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typo in a variable's name shows up as refused calls hours later; a value has no place in any output."""
    desk.prepare(desk.file)
    assert "BIG_KEY is not set" in desk.said
    desk.said = ""
    monkeypatch.setenv("BIG_KEY", "sk-canary")
    desk.prepare()
    assert desk.said == ""


def test_provider_keys_come_by_the_names_of_the_configuration(desk: Desk) -> None:
    """Nothing else of the environment is picked up."""
    document = read_document(desk.file)
    environ = {"BIG_KEY": "sk-1", "OTHER_KEY": "sk-2"}
    assert provider_keys(document, environ) == {"BIG_KEY": "sk-1"}
    assert missing_keys(document, {"BIG_KEY": ""}) == ["BIG_KEY"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"host": "0.0.0.0"}, "pointsman keys add"),
        ({"host": "::"}, "pointsman keys add"),
        ({"host": "no.such.host.invalid"}, "no address of this machine"),
        ({"host": "192.0.2.1"}, "pointsman keys add"),
        ({"store": "memory:"}, "name a file"),
        ({"store": "redis://127.0.0.1:1"}, "cannot be reached"),
        ({"signing_key": "short"}, "at least 32"),
        ({"batch_spool": "absent/spool"}, "whose parent exists"),
    ],
)
def test_what_cannot_work_is_refused_with_its_remedy(
    desk: Desk, given: dict[str, object], words: str
) -> None:
    """A server that is open to the network, or that could not serve, must not come up at all."""
    with pytest.raises(ConfigInvalid, match=words):
        desk.prepare(desk.file, **given)


def test_a_ledger_that_names_a_dialect_without_its_package_is_not_served(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been written where the extra is installed; here the remedy is told, not a traceback."""
    desk.file.write_text(CONFIG.replace("api_key_env: BIG_KEY", "dialect: bedrock"))
    desk.prepare(desk.file)
    load_dialect.cache_clear()
    for name in [name for name in sys.modules if name.startswith("router.upstream.dialects.bedrock")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("botocore", "botocore.auth", "botocore.awsrequest", "botocore.eventstream"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigInvalid, match=r"models.big.dialect: .*pip install 'pointsman\[bedrock\]'"):
        desk.prepare()
    load_dialect.cache_clear()


def test_an_empty_ledger_needs_a_file(desk: Desk) -> None:
    """Without models there is nothing to route to."""
    with pytest.raises(ConfigInvalid, match="pointsman serve --config FILE"):
        desk.prepare()


def test_a_broken_file_leaves_the_ledger_empty(desk: Desk) -> None:
    """Nothing half-applied."""
    desk.file.write_text("models: {}")
    with pytest.raises(ConfigInvalid, match="models"):
        desk.prepare(desk.file)
    store = open_store(desk.ledger)
    assert store.state().config is None
    store.close()


def test_a_taken_port_is_named(desk: Desk) -> None:
    """The most common failure of a second start."""
    port = desk.prepare(desk.file).listener.getsockname()[1]
    with pytest.raises(ConfigInvalid, match=f"port {port}: .*choose another --port"):
        desk.prepare(port=port)


def test_any_address_may_be_served_once_there_is_a_key(desk: Desk) -> None:
    """The operator's choice; a server that others reach is never open."""
    desk.prepare(desk.file)
    store = open_store(desk.ledger)
    Control(store, machine_clock).add_key("ops", ("admin",), "test")
    store.close()
    prepared = desk.prepare(host="0.0.0.0")
    assert (prepared.loopback, prepared.open) == (False, False)
    assert prepared.url.startswith("http://127.0.0.1:")


def test_loopback_addresses_are_recognised(desk: Desk) -> None:
    """Open without keys is allowed on these alone."""
    for host in ("127.0.0.1", "localhost", "127.0.0.2"):
        prepared = desk.prepare(desk.file, host=host)
        assert (prepared.loopback, prepared.open) == (True, True)


def test_a_setting_out_of_range_is_refused() -> None:
    """Each setting has its bounds, from the environment as from the command line."""
    for broken in (
        {"workers": 0},
        {"port": 70_000},
        {"shutdown_s": 0},
        {"planner_interval_s": float("inf")},
        {"x": 1},
    ):
        with pytest.raises(ValidationError):
            Settings.model_validate(broken)


def test_settings_come_from_options_then_the_environment_then_the_defaults() -> None:
    """Names are the variables' after POINTSMAN_, in capitals or not; other variables of that prefix are no settings."""
    environ = {
        "POINTSMAN_PORT": "81",
        "pointsman_workers": "3",
        "POINTSMAN_KEY": "x",
        "PORT": "9",
        "HOST": "h",
    }
    found = Settings.read(environ, port=82)
    assert (found.port, found.workers, found.host) == (82, 3, Settings().host)
    assert Settings.read(environ).port == 81
    with pytest.raises(ValidationError, match="port"):
        Settings.read({"POINTSMAN_PORT": ""})


def test_the_signing_key_is_not_in_the_text_of_the_settings() -> None:
    """Settings end up in error messages."""
    settings = Settings.model_validate({"signing_key": "k" * 40})
    assert "kkk" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    assert settings.signing_key_text == "k" * 40


def test_a_shared_ledger_is_named_without_its_password(desk: Desk) -> None:
    """What a server says at its start is the first thing that people paste into a ticket."""
    server = Server("--requirepass", "hunter2")
    try:
        for place in (f"redis://:hunter2@127.0.0.1:{server.port}/0", f"{server.socket_url}?password=hunter2"):
            with pytest.raises(ConfigInvalid, match="holds no configuration") as refused:
                desk.prepare(store=f"{place}{'&' if '?' in place else '?'}prefix=empty")
            assert "hunter2" not in str(refused.value)
            with pytest.raises(ConfigInvalid, match="set POINTSMAN_SIGNING_KEY"):
                desk.prepare(desk.file, store=place)
        assert f"The ledger redis://127.0.0.1:{server.port}/0 was empty" in desk.said
        assert "hunter2" not in desk.said
        store = RedisStore(f"{server.socket_url}?password=hunter2")
        assert store.state().config is not None
        store.close()
    finally:
        server.stop()
