"""The tables of the SQLite ledger, their version, and how a file is recognised (docs/ledger.md describes them)."""

import sqlite3

from storage.errors import StoreIncompatible

VERSION = 3
APPLICATION_ID = 1_347_240_270  # "PMAN", in the file's header

TABLES = (
    """
    CREATE TABLE meta (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        schema_version INTEGER NOT NULL,
        state_version INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE config (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        body TEXT NOT NULL,
        version INTEGER NOT NULL,
        applied_at_ms INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE routes (
        task TEXT PRIMARY KEY,
        model TEXT NOT NULL,
        version INTEGER NOT NULL,
        source TEXT NOT NULL,
        changed_at_ms INTEGER NOT NULL,
        changed_by TEXT NOT NULL,
        previous TEXT,
        file_model TEXT
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE experiments (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        definition TEXT NOT NULL,
        state TEXT NOT NULL,
        version INTEGER NOT NULL,
        salt TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        started_at_ms INTEGER,
        ended_at_ms INTEGER,
        dropped TEXT NOT NULL,
        predecessor TEXT,
        ended_because TEXT NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX experiments_live ON experiments (task) WHERE state IN ('running', 'paused')",
    """
    CREATE TABLE epochs (
        experiment_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        opened_at_ms INTEGER NOT NULL,
        shares TEXT NOT NULL,
        cost_series INTEGER NOT NULL,
        price_version TEXT NOT NULL,
        closed_at_ms INTEGER,
        model_series INTEGER NOT NULL,
        model_version TEXT NOT NULL,
        PRIMARY KEY (experiment_id, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        hash TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        revoked_at_ms INTEGER
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE audit (
        entry INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        why TEXT NOT NULL,
        digest TEXT NOT NULL,
        forced INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        token INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE workers (
        number INTEGER PRIMARY KEY,
        holder TEXT NOT NULL,
        expires_at_ms INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE progress (
        experiment_id INTEGER PRIMARY KEY,
        body TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE reports (
        experiment_id INTEGER PRIMARY KEY,
        body TEXT NOT NULL,
        rendered_at_ms INTEGER NOT NULL,
        frozen INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE decisions (
        number INTEGER PRIMARY KEY,
        experiment_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        unit BLOB NOT NULL,
        task TEXT NOT NULL,
        model TEXT NOT NULL,
        reason TEXT NOT NULL,
        propensity REAL NOT NULL,
        degraded INTEGER NOT NULL,
        covariate REAL,
        found TEXT NOT NULL,
        predicted REAL
    )
    """,
    """
    CREATE TABLE calls (
        number INTEGER PRIMARY KEY,
        experiment_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        unit BLOB NOT NULL,
        served_model TEXT NOT NULL,
        diverted INTEGER NOT NULL,
        error TEXT,
        cost_usd REAL,
        cost_estimated INTEGER NOT NULL,
        price_version TEXT NOT NULL,
        input_tokens INTEGER,
        output_tokens INTEGER,
        latency_ms REAL NOT NULL,
        first_token_ms REAL,
        attempts INTEGER NOT NULL,
        finished_at_ms INTEGER NOT NULL,
        trail TEXT NOT NULL,
        counted INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE feedback (
        entry INTEGER PRIMARY KEY,
        number INTEGER NOT NULL,
        experiment_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        unit BLOB NOT NULL,
        metric TEXT NOT NULL,
        value REAL NOT NULL,
        state TEXT NOT NULL,
        received_at_ms INTEGER NOT NULL,
        occurred_at_ms INTEGER,
        idempotency_key TEXT,
        comment TEXT NOT NULL
    )
    """,
    "CREATE INDEX feedback_number ON feedback (number)",
    """
    CREATE TABLE effects (
        number INTEGER NOT NULL,
        metric TEXT NOT NULL,
        value REAL NOT NULL,
        order_at_ms INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (number, metric)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE units (
        experiment_id INTEGER NOT NULL,
        unit BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        assigned_at_ms INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        diverted INTEGER NOT NULL,
        costed INTEGER NOT NULL,
        cost_usd REAL NOT NULL,
        feedback INTEGER NOT NULL,
        rated INTEGER NOT NULL,
        reward REAL NOT NULL,
        first_number INTEGER NOT NULL,
        covariate REAL NOT NULL,
        metrics TEXT NOT NULL,
        PRIMARY KEY (experiment_id, unit)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE cells (
        experiment_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        assigned INTEGER NOT NULL,
        called INTEGER NOT NULL,
        served INTEGER NOT NULL,
        errored INTEGER NOT NULL,
        feedback INTEGER NOT NULL,
        recovered INTEGER NOT NULL,
        degraded INTEGER NOT NULL,
        PRIMARY KEY (experiment_id, epoch, arm)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE moments (
        experiment_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        metric TEXT NOT NULL,
        m_11 REAL NOT NULL,
        m_1n REAL NOT NULL,
        m_1r REAL NOT NULL,
        m_1c REAL NOT NULL,
        m_1x REAL NOT NULL,
        m_nn REAL NOT NULL,
        m_nr REAL NOT NULL,
        m_nc REAL NOT NULL,
        m_nx REAL NOT NULL,
        m_rr REAL NOT NULL,
        m_rc REAL NOT NULL,
        m_rx REAL NOT NULL,
        m_cc REAL NOT NULL,
        m_cx REAL NOT NULL,
        m_xx REAL NOT NULL,
        PRIMARY KEY (experiment_id, epoch, arm, metric)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE latency (
        experiment_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        arm INTEGER NOT NULL,
        bucket INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        PRIMARY KEY (experiment_id, epoch, arm, bucket)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE allowances (
        name TEXT PRIMARY KEY,
        period INTEGER NOT NULL,
        given REAL NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE traffic (
        task TEXT NOT NULL,
        experiment_id INTEGER NOT NULL,
        reason TEXT NOT NULL,
        decisions INTEGER NOT NULL,
        PRIMARY KEY (task, experiment_id, reason)
    ) WITHOUT ROWID
    """,
)


def is_new(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file is still empty; raises StoreIncompatible unless it is empty or of this schema."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables and not application_id:
        return True
    if application_id != APPLICATION_ID or not tables:
        raise StoreIncompatible(f"{path} is a database of another program; name another file")
    (version,) = connection.execute("SELECT schema_version FROM meta").fetchone()
    if version > VERSION:
        raise StoreIncompatible(
            f"{path} has schema {version}, this release reads schema {VERSION}; install a newer release"
        )
    if version < VERSION:
        raise StoreIncompatible(
            f"{path} has schema {version}, this release reads schema {VERSION}; open it with an older release"
        )
    return False


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file, inside the caller's transaction."""
    connection.execute("PRAGMA application_id = 1347240270")
    for statement in TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES (1, ?, 0)", (VERSION,))
