"""doctor: what is sound is called sound, and a fault is named with its remedy."""

import json
import os
from pathlib import Path

import pytest

from api.commands.doctor import examine
from storage.sqlite.health import remote_file_system
from tests.api.shell import Shell


def test_doctor_finds_a_sound_installation_sound(shell: Shell) -> None:
    """Missing provider keys are named, never shown, and warn only: a library user may not need them."""
    rows = {str(row["check"]): row for row in shell.json("doctor")}
    assert {name for name, row in rows.items() if row["state"] == "fault"} == set()
    assert rows["integrity"]["found"] == "sound"
    assert "not set: ANTHROPIC_API_KEY" in str(rows["provider keys"]["found"])


def test_doctor_before_the_first_start_makes_nothing(fresh: Shell) -> None:
    """Looking must not create the ledger it looks for."""
    assert "does not exist yet" in fresh.run("doctor").stdout
    assert not fresh.store.exists()


@pytest.mark.parametrize(
    ("harm", "check"),
    [
        (lambda path: path.chmod(0o644), "ledger's mode"),
        (lambda path: path.write_bytes(b"no ledger at all" * 100), "integrity"),
        (lambda path: _key_for_all(path), "signing key"),
        (lambda path: _tear(path), "integrity"),
    ],
    ids=["readable by all", "another file", "signing key readable by all", "torn page"],
)
def test_doctor_exits_with_4_on_a_fault(shell: Shell, harm: object, check: str) -> None:
    """A supervisor restarts or pages on this code."""
    assert callable(harm)
    harm(shell.store)
    rows = json.loads(shell.run("doctor", "--format", "json", code=4).stdout)
    assert check in [row["check"] for row in rows if row["state"] == "fault"]


def _key_for_all(path: Path) -> None:
    key = path.with_name(path.name + ".signing-key")
    key.write_text("k" * 64, encoding="utf-8")
    key.chmod(0o640)


def _tear(path: Path) -> None:
    """Overwrite a page in the middle of the file with noise."""
    raw = bytearray(path.read_bytes())
    raw[8192:12288] = os.urandom(4096)
    path.write_bytes(bytes(raw))


def test_doctor_knows_file_systems_on_which_locks_fail(tmp_path: Path) -> None:
    """WAL on a network share loses data without a word."""
    mounts = "disk / ext4 rw 0 0\nnas:/x /srv/share nfs4 rw 0 0\n"
    assert remote_file_system(Path("/srv/share/a/ledger.sqlite"), mounts) == "nfs4"
    assert remote_file_system(Path("/srv/shared/ledger.sqlite"), mounts) is None
    assert [finding.state for finding in examine(str(tmp_path / "none.sqlite"))] == ["warning"]
