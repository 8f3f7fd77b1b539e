"""Tables of the spool.

Queries by state name their index: by its own judgement SQLite would walk all lines, with their results.
"""

VERSION = 2
TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), version INTEGER NOT NULL, "
    "fence INTEGER NOT NULL, holder TEXT NOT NULL, held_until_ms INTEGER NOT NULL)",
    f"INSERT OR IGNORE INTO meta VALUES (1, {VERSION}, 0, '', 0)",
    """
    CREATE TABLE IF NOT EXISTS files (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        purpose TEXT NOT NULL,
        filename TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS batches (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        input_file_id TEXT NOT NULL,
        metadata TEXT NOT NULL,
        status TEXT NOT NULL,
        ends_as TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        changes TEXT NOT NULL,
        errors TEXT NOT NULL,
        output_file_id TEXT,
        error_file_id TEXT,
        total INTEGER NOT NULL,
        completed INTEGER NOT NULL,
        failed INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS lines (
        batch_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        custom_id TEXT NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL,
        state TEXT NOT NULL,
        decision TEXT NOT NULL DEFAULT '',
        site TEXT NOT NULL DEFAULT '',
        group_id TEXT,
        tries INTEGER NOT NULL DEFAULT 0,
        not_before_ms INTEGER NOT NULL DEFAULT 0,
        call TEXT NOT NULL DEFAULT '',
        owed INTEGER NOT NULL DEFAULT 0,
        result BLOB,
        PRIMARY KEY (batch_id, number)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS lines_by_state ON lines (batch_id, state, number)",
    "CREATE INDEX IF NOT EXISTS lines_owed ON lines (owed) WHERE owed > 0",
    "CREATE INDEX IF NOT EXISTS lines_by_group ON lines (group_id, number) WHERE group_id IS NOT NULL",
    """
    CREATE TABLE IF NOT EXISTS groups (
        id TEXT PRIMARY KEY,
        batch_id TEXT NOT NULL,
        model TEXT NOT NULL,
        site TEXT NOT NULL,
        base_url TEXT NOT NULL,
        state TEXT NOT NULL,
        lines INTEGER NOT NULL,
        upstream_id TEXT NOT NULL,
        asked_at_ms INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        cancelled INTEGER NOT NULL
    )
    """,
)
