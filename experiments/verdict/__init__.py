"""From evidence to a verdict and the next shares: the tick."""
