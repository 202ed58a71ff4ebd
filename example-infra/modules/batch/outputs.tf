output "family" {
  description = "Task definition family of the task that runs once."
  value       = aws_ecs_task_definition.batch.family
}

output "log_group_arn" {
  description = "Log group of the task."
  value       = aws_cloudwatch_log_group.batch.arn
}

output "service" {
  description = "Service that empties the queue; its family has the same name."
  value       = aws_ecs_service.queue.name
}

output "queue_arn" {
  description = "Queue that asks for ingests: the task's role must be able to empty it."
  value       = aws_sqs_queue.work.arn
}

output "queue_url" {
  description = "URL of that queue; a message {\"ingest\": \"by hand\"} asks for one."
  value       = aws_sqs_queue.work.url
}
