"""What a task asks of an instance, what instances have, and why nothing finds a place."""
