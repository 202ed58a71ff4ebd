output "name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "capacity_provider" {
  description = "Name of the capacity provider, for services, tasks and schedules; known when it is there."
  value       = local.capacity_provider

  depends_on = [aws_ecs_cluster_capacity_providers.this, aws_cloudcontrolapi_resource.managed_instances]
}

output "sizes" {
  description = "How many instances, and how large their disks."
  value = {
    tasks_per_instance    = local.tasks_per_instance
    instances             = local.instances_for_desired
    instances_for_rollout = local.instances_for_rollout
    most_instances        = local.most_instances
    target_capacity       = local.target_capacity
    root_volume_gb        = local.root_volume_gb
  }
}

output "sessions_policy_arn" {
  description = "Policy for whoever may open a shell on the instances; null without session_manager."
  value       = one(aws_iam_policy.sessions[*].arn)
}
