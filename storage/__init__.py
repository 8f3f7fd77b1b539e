"""The Store protocol and its stores: the only floor that knows SQLite and Redis."""
