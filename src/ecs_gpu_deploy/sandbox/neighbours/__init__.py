"""The AWS services beside ECS: moto, corrected, a registry, GitHub's issuer."""
