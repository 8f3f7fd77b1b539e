"""The report of one look, as a document."""
