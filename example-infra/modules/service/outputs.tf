output "name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "family" {
  description = "Task definition family of the service."
  value       = aws_ecs_task_definition.service.family
}

output "container_name" {
  description = "Name of the container in it."
  value       = local.container_name
}

output "container" {
  description = "The container definition of the first revision, for tasks that are like it."
  value       = local.container
}

output "url" {
  description = "Address of the service."
  value       = "${var.http_only ? "http" : "https"}://${aws_lb.this.dns_name}"
}

output "log_group_arn" {
  description = "Log group of the service."
  value       = aws_cloudwatch_log_group.service.arn
}

output "task_security_group_ids" {
  description = "Security group of the tasks with awsvpc, otherwise none."
  value       = aws_security_group.tasks[*].id
}

output "alarm_name" {
  description = "Alarm on 5xx, which rolls deployments back."
  value       = aws_cloudwatch_metric_alarm.server_errors.alarm_name
}

output "timing" {
  description = "The numbers that follow from model_load_seconds and spare_gpus."
  value = {
    grace_period_seconds     = local.grace_period_seconds
    container_start_period   = local.container_start_period
    container_check_interval = local.container_check_interval
    container_check_retries  = local.container_check_retries
    deregistration_delay     = local.deregistration_delay
    idle_timeout             = local.idle_timeout
    minimum_healthy_percent  = local.minimum_healthy_percent
    maximum_percent          = local.maximum_percent
    spare_tasks              = local.spare_tasks
    most_tasks               = local.most_tasks
    ready_seconds            = local.ready_seconds
    rollout_waves            = local.rollout_waves
    rollout_seconds          = local.rollout_seconds
    deploy_timeout_seconds   = local.deploy_timeout_seconds
    session_seconds          = local.session_seconds
    breaker_failures         = local.breaker_failures
  }
}
