"""Image references, tags, digests and layers."""
