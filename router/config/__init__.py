"""Configuration: what a file declares, as checked values."""
