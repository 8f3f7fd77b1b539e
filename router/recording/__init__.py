"""From decisions, calls and feedback to the ledger."""
