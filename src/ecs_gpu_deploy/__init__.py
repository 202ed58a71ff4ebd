"""Deploys GPU and ML containers to Amazon ECS and tells the truth about it."""

__version__ = "0.1.0"
