"""What was seen of a rollout or a batch, and the verdict over it."""
