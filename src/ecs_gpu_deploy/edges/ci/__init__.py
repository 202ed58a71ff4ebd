"""The CI system around the run: GitHub, its OIDC tokens, its API and command line, the commit."""
