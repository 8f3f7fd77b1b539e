"""Availability: deployments, pauses of what fails, retries, chains of fallbacks, quotas and budgets."""
