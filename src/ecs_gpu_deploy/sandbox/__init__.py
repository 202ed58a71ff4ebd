"""A local AWS: Amazon ECS on our own scheduler, moto behind it."""
