"""Commands of `pointsman`, one module for each group; heavy imports wait inside the commands."""
