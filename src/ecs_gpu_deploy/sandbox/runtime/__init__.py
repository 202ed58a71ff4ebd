"""Real containers for the sandbox's tasks: Docker runs them, and a small load balancer sends them traffic."""
