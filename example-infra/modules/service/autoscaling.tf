# Scaling on requests in flight: a GPU's queue, not its CPU, is what grows. The service itself counts them, a streamed
# answer until its last word; a load balancer sees the first byte only. Each task tells its own number as often as the
# others, so the average over all of them is that of one task.

resource "aws_appautoscaling_target" "service" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${local.cluster}/${aws_ecs_service.this.name}"
  min_capacity       = var.desired_count
  max_capacity       = var.max_count
}

resource "aws_appautoscaling_policy" "in_flight" {
  name               = "${var.name}-in-flight"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.service.service_namespace
  scalable_dimension = aws_appautoscaling_target.service.scalable_dimension
  resource_id        = aws_appautoscaling_target.service.resource_id

  target_tracking_scaling_policy_configuration {
    target_value = var.in_flight_per_task
    # A new task is no help before its model is loaded; scaling in again costs the next one that load.
    scale_out_cooldown = local.ready_seconds
    scale_in_cooldown  = 2 * local.ready_seconds

    customized_metric_specification {
      namespace   = var.in_flight_metric.namespace
      metric_name = var.in_flight_metric.name
      statistic   = "Average"
      unit        = "Count"

      dimensions {
        name  = "ClusterName"
        value = local.cluster
      }

      dimensions {
        name  = "ServiceName"
        value = aws_ecs_service.this.name
      }
    }
  }
}
