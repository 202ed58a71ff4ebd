output "family" {
  description = "Task definition family of the task."
  value       = aws_ecs_task_definition.batch.family
}

output "log_group_arn" {
  description = "Log group of the task."
  value       = aws_cloudwatch_log_group.batch.arn
}
