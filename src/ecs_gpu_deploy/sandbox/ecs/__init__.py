"""The ECS API over the scheduler's model: one module for each family of operations."""
