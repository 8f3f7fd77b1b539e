"""The health of an SQLite ledger's file: integrity, and a file system that SQLite's locks work on."""

import sqlite3
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_REMOTE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "fuse.s3fs", "ceph", "glusterfs", "lustre", "afs")
_FAULTS_SHOWN = 3


def integrity_faults(path: Path) -> list[str]:
    """What SQLite's own check finds wrong with the file; empty if nothing is."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    try:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_FAULTS_SHOWN})")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        connection.close()
    return [] if found == ["ok"] else found


def remote_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Type of the network file system that holds `path`; None for a local one, or where nothing is known.

    >>> remote_file_system(Path("/data/ledger"), "tank:/x /data nfs4 rw 0 0")
    'nfs4'
    """
    if mounts is None:
        if not _MOUNTS.exists():
            return None
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    kinds = {fields[1]: fields[2] for line in mounts.splitlines() if len(fields := line.split()) > 2}
    for parent in (path, *path.parents):
        kind = kinds.get(str(parent))
        if kind is not None:
            return kind if kind.startswith(_REMOTE) else None
    return None
