"""The spool: files and batches of overnight work, kept beside an SQLite ledger until they are deleted or expire."""
