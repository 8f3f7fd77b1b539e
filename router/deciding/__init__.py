"""The hot path: task, unit, candidate, decision id."""
