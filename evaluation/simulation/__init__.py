"""A declared environment and experiment through the real router, at the speed of the machine."""
