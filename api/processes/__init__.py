"""The processes of `pointsman serve`: supervisor, workers and planner."""
