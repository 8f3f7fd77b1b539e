"""Pages, text and charts of a report; read-only."""
