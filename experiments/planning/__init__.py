"""Units and days to a verdict, before it is there."""
