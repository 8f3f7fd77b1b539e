"""The Redis store: one state and one ledger that several machines share."""
