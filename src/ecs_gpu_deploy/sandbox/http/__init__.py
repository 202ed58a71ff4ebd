"""The HTTP server of the local AWS."""
