"""Read documents, cut and embed them, and publish a new version of the index (the batch job)."""
