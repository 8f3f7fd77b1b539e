"""What people and the planner change: experiments, champions, epochs."""
