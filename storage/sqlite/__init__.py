"""The SQLite store: the default, one file for one machine."""
