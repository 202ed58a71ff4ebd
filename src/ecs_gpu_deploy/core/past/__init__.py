"""What a service ran before, and what of it can run again."""
