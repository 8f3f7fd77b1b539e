"""What a user declares: task, candidates, reward, objective, guardrails, decision rule; and who is assigned to whom."""
