"""Task definitions as raw JSON: what is in them, what changes, what is set."""
