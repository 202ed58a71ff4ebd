"""The Docker command line and its configuration."""
