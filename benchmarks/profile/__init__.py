"""Where the microseconds of a request go: steps alone, a sampled worker, and the same server without a feature."""
