"""Training and judging of task classifiers on labelled texts."""
