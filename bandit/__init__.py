"""Cells, posteriors, objectives and shares: what to serve next, as pure functions of aggregated counts."""
