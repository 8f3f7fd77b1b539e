"""Dialects by name: shipped, of other packages, and missing. The package of docs/dialects.md runs as it stands."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from api.serving.upstream_keys import UpstreamKeys
from router.applying.file import parse_config
from router.config import dialects
from router.config.dialects import Dialect, check_dialect, load_dialect
from router.errors import ConfigInvalid
from tests.servers.house import House, document, serving, upstreams
from tests.servers.upstream import event, status, stream

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")
HELLO: Any = [{"role": "user", "content": "hello"}]  # reason: the client's types are unions of typed dicts
NAMED = """
models:
  odd: {{base_url: "http://127.0.0.1:9", dialect: {name}}}
default: odd
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was loaded in one test is unknown to the next."""
    load_dialect.cache_clear()
    yield
    load_dialect.cache_clear()


def block(language: str, containing: str) -> str:
    """The one code block of docs/dialects.md in a language that contains a text."""
    found = re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    (code,) = [each for each in found if containing in each]
    return str(code)


def install(directory: Path, name: str, code: str, *points: str) -> None:
    """What pip leaves of a package: its module, and its metadata with the entry points."""
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.py").write_text(code)
    metadata = directory / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pointsman.dialects]\n" + "\n".join(points) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for packages."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    return directory


@pytest.mark.process
def test_a_dialect_of_another_package_serves_without_a_line_of_ours(site: Path) -> None:
    """The documented package: a whole answer, a stream, a refusal by name, costs and ledger as for every model."""
    points = tomllib.loads(block("toml", "pointsman.dialects"))["project"]["entry-points"][
        "pointsman.dialects"
    ]
    install(site, "pointsman_plain", block("python", "DIALECT ="), *(f"{k} = {v}" for k, v in points.items()))
    with upstreams("plain") as servers:
        config = document({"plain": servers["plain"].url}, default="plain")
        config["models"]["plain"] |= {"dialect": "plain", "price": {"input": 1.0, "output": 2.0}}
        house = House(config)
        try:
            with serving(house) as url, openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
                _plain(client, servers["plain"], house)
        finally:
            house.close()


def _plain(client: openai.OpenAI, server: Any, house: House) -> None:  # reason: an upstream server
    server.will(status(200, {"text": "four", "in": 100, "out": 20}))
    reply = client.chat.completions.create(model="plain", messages=HELLO)
    assert reply.choices[0].message.content == "four"
    assert server.requests[-1].body == {"model": "plain-upstream", "prompt": "user: hello", "stream": False}
    assert (server.requests[-1].path, house.calls()[-1]["cost_usd"]) == (
        "/v1/generate",
        pytest.approx(140e-6),
    )
    pieces = [{"text": "fo"}, {"text": "ur", "last": True, "in": 100, "out": 20}]
    server.will(stream(*map(event, pieces)))
    parts = list(client.chat.completions.create(model="plain", messages=HELLO, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "four"
    assert house.calls()[-1]["cost_usd"] == pytest.approx(140e-6)
    server.will(stream(event(pieces[0])))
    with pytest.raises(openai.APIError, match="ended before its answer was complete"):
        list(client.chat.completions.create(model="plain", messages=HELLO, stream=True))
    with pytest.raises(openai.BadRequestError, match="temperature has no counterpart in the plain API"):
        client.chat.completions.create(model="plain", messages=HELLO, temperature=1)
    with pytest.raises(openai.BadRequestError, match="no embeddings endpoint"):
        client.embeddings.create(model="plain", input="x")


def test_the_configuration_of_the_docs_is_valid() -> None:
    """People start from it."""
    assert parse_config(block("yaml", "dialect: bedrock"), "dialects.md").warnings == ()


def refused(name: str) -> str:
    """The words in which a configuration that names a dialect is refused."""
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(NAMED.format(name=name), "pointsman.yaml")
    return str(caught.value)


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(site: Path) -> None:
    """Also those of installed packages."""
    install(site, "other", "", "wordy = other:DIALECT")
    words = refused("wordi")
    assert "did you mean 'wordy'?" in words
    assert "known are anthropic, bedrock, gemini, openai, wordy" in words


@pytest.mark.parametrize(
    ("code", "says"),
    [("DIALECT = 5", "is a int, must be a Dialect"), ("import no_such_package_here", "ModuleNotFoundError"),
     ("", "AttributeError"), ("1 / 0", "ZeroDivisionError"),
     ("from router.config.dialects import Dialect\nDIALECT = Dialect({'speech': 1})", "'speech', which is no")],
)  # fmt: skip
def test_a_broken_package_is_named_in_the_refusal(site: Path, code: str, says: str) -> None:
    """The operator must know whom to tell; the server must not come up half."""
    install(site, "faulty", code, "faulty = faulty:DIALECT")
    sys.modules.pop("faulty", None)
    words = refused("faulty")
    assert "of the package faulty" in words
    assert says in words


def test_two_packages_may_not_bring_the_same_name(site: Path) -> None:
    """Which of them would speak with a provider, and see its keys, must not depend on an order of folders."""
    install(site, "one", "", "twice = one:DIALECT")
    install(site, "two", "", "twice = two:DIALECT")
    assert "several packages (one, two)" in refused("twice")


def test_no_package_takes_the_place_of_a_dialect_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installing something must not reroute keys."""
    foreign = EntryPoint("gemini", "no.such:DIALECT", dialects.GROUP)
    monkeypatch.setattr(dialects, "entry_points", lambda group: [foreign])
    assert load_dialect("gemini").exchanges["chat"].__class__.__module__ == "router.upstream.dialects.gemini"
    assert check_dialect("openai") == "openai"


WITHOUT = """
import sys
sys.modules["botocore"] = None
from router.applying.file import parse_config
from router.errors import ConfigInvalid
try:
    parse_config(sys.argv[1], "pointsman.yaml")
except ConfigInvalid as error:
    print(error)
"""


def run(code: str, name: str) -> str:
    """Run code in a process of its own with a configuration that names a dialect."""
    done = subprocess.run(
        [sys.executable, "-c", code, NAMED.format(name=name)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_missing_extra_is_told_with_what_to_install() -> None:
    """Whoever validates or starts reads it; nobody finds out by a failing request."""
    words = run(WITHOUT, "bedrock")
    assert "needs the package 'botocore', which is not installed" in words
    assert "pip install 'pointsman[bedrock]'" in words
    assert run(WITHOUT, "gemini") == ""


LOADED = """
import sys
from router.applying.file import parse_config
import router.upstream.dispatch
parse_config(sys.argv[1], "pointsman.yaml")
further = ("router.upstream.dialects.gemini", "router.upstream.dialects.bedrock", "botocore")
print(sorted(name for name in sys.modules if name in further))
"""


@pytest.mark.parametrize(
    ("name", "loaded"),
    [("openai", "[]"), ("anthropic", "[]"), ("gemini", "['router.upstream.dialects.gemini']"),
     ("bedrock", "['botocore', 'router.upstream.dialects.bedrock']")],
)  # fmt: skip
def test_only_the_dialect_that_is_named_is_imported(name: str, loaded: str) -> None:
    """What a worker does not use costs it no memory and no start-up time."""
    assert run(LOADED, name).strip() == loaded


def test_every_place_has_its_secrets_and_hides_them() -> None:
    """A deployment's own go before its model's; what the environment lacks is named."""
    config = document({"odd": "https://bedrock-runtime.eu-west-1.amazonaws.com"}, default="odd")
    own = {"access_key_id": "A", "secret_access_key": "B"}
    config["models"]["odd"] = {
        "base_url": "https://bedrock-runtime.eu-west-1.amazonaws.com", "dialect": "bedrock", "secrets_env": own,
        "deployments": [{"region": "eu-west-1"}, {"secrets_env": {"access_key_id": "C", "secret_access_key": "D"}},
                        {"api_key_env": "E"}],
    }  # fmt: skip
    house = House(config)
    keys = UpstreamKeys(house.engine, {"A": "a", "B": "b", "C": "c", "E": "e"})
    house.close()
    assert keys.secrets_of("odd#eu-west-1") == {"access_key_id": "a", "secret_access_key": "b"}
    assert keys.secrets_of("odd#2") == {"access_key_id": "c"}
    assert (keys.secrets_of("odd#3"), keys["odd#3"]) == ({}, "e")
    assert sorted(keys.secrets()) == ["a", "b", "c", "e"]
    assert keys.missing() == ["D"]


def test_a_dialect_says_what_its_models_must_have(site: Path) -> None:
    """Words of secrets, a length, and a check of its own."""
    code = (
        "from router.config.dialects import Dialect\n"
        "def check(model):\n"
        "    if model.region is None:\n"
        "        raise ValueError('region is missing; name one')\n"
        "DIALECT = Dialect({}, frozenset({'token'}), needs_length=True, check=check)\n"
    )
    install(site, "strict_one", code, "strict = strict_one:DIALECT")
    assert isinstance(load_dialect("strict"), Dialect)
    assert "region is missing; name one" in refused("strict")
    assert "it takes token" in refused("strict, region: eu, secrets_env: {other: X}")
    good = "strict, region: eu, secrets_env: {token: X}, default_max_tokens: 5"
    assert parse_config(NAMED.format(name=good), "pointsman.yaml").document.models["odd"].dialect == "strict"
    assert orjson.loads(parse_config(NAMED.format(name=good), "x").document.model_dump_json())
