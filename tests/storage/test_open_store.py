"""Which store a URL names."""

import os
from pathlib import Path

import pytest

from storage.errors import StoreIncompatible, StoreUnavailable
from storage.memory.store import MemoryStore
from storage.open import open_store
from storage.records import PutConfig
from storage.redis.store import RedisStore
from storage.sqlite.store import SqliteStore
from tests.storage.redis_server import shared_server


def test_memory_is_named_by_its_word() -> None:
    """Simulations and tests ask for it by URL too."""
    store = open_store("memory:")
    assert isinstance(store, MemoryStore)
    store.close()


def test_a_path_and_a_sqlite_url_name_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes before a relative path, four before an absolute one, as other tools read such URLs."""
    monkeypatch.chdir(tmp_path)
    first = open_store("ledger.db")
    assert isinstance(first, SqliteStore)
    first.commit([PutConfig("{}", 0)])
    first.close()
    for url in ("sqlite:///ledger.db", f"sqlite:///{tmp_path}/ledger.db", str(tmp_path / "ledger.db")):
        store = open_store(url)
        assert store.state_version() == 1
        store.close()
    assert os.listdir(tmp_path) == ["ledger.db"]


def test_a_redis_url_names_a_server_over_tcp_or_its_socket() -> None:
    """Nodes share the store by its address, processes of one machine also by the socket."""
    server = shared_server()
    for url in (server.url, server.socket_url):
        store = open_store(f"{url}?prefix=opened")
        assert isinstance(store, RedisStore)
        store.commit([])
        store.close()
    store = open_store(f"{server.url}?prefix=opened")
    assert store.state_version() == 2
    store.close()


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_redis_server_that_does_not_answer_is_named_without_its_password(scheme: str) -> None:
    """The error is read by more people than the URL is meant for."""
    with pytest.raises(StoreUnavailable, match=rf"{scheme}://127\.0\.0\.1:1/0 cannot be reached") as caught:
        open_store(f"{scheme}://:hunter2@127.0.0.1:1/0")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "postgres://a:hunter2@b/c", "sqlite://", "sqlite:///", "sqlite://host/x"]
)
def test_an_unknown_url_is_refused_with_the_forms_that_work(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typo may not create a file of a strange name."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreIncompatible, match="use a path, sqlite:///path or memory:") as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)
    assert os.listdir(tmp_path) == []
