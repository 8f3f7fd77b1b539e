"""Evidence without live traffic: recorded outcomes replayed through the engine."""
