"""Deploys GPU and ML containers to Amazon ECS and tells the truth about it."""
