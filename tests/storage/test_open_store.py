"""Which store a URL names."""

import os
from pathlib import Path

import pytest

from storage.errors import StoreIncompatible
from storage.memory.store import MemoryStore
from storage.open import open_store
from storage.records import PutConfig
from storage.sqlite.store import SqliteStore


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


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "unix"])
def test_redis_is_not_yet_supported_and_its_password_not_repeated(scheme: str) -> None:
    """A store that does not work yet says so, instead of failing at the first request."""
    with pytest.raises(StoreIncompatible, match="not yet supported; use a path") as caught:
        open_store(f"{scheme}://:hunter2@localhost/0")
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
