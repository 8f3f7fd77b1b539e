"""The demo, its simulated models, and example configurations."""
