"""Which task a text belongs to: what a trained classifier or a model over HTTP says, ready for workers."""
