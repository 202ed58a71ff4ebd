"""What a rollout will do: the model of ECS, begun from what AWS shows, run ahead on its own clock."""
