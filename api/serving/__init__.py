"""What a worker runs for each request: the hot path, authentication and bounds."""
