"""The CI system around the run: GitHub, its OIDC tokens, the commit."""
