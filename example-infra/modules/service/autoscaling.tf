# Scaling on requests in flight: a GPU's queue, not its CPU, is what grows. A load balancer does not count them, but
# by Little's law they are the requests per second times the seconds that one takes.

locals {
  in_flight_expression = join(" + ", [
    for color, _ in aws_lb_target_group.service : "FILL(requests_${color}, 0) / 60 * FILL(seconds_${color}, 0)"
  ])
}

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
    scale_out_cooldown = local.start_seconds + local.load_allowance_seconds
    scale_in_cooldown  = 2 * (local.start_seconds + local.load_allowance_seconds)

    # With blue/green the service is now behind the one target group, now behind the other: both are counted.
    customized_metric_specification {
      dynamic "metrics" {
        for_each = aws_lb_target_group.service

        content {
          id          = "requests_${metrics.key}"
          return_data = false

          metric_stat {
            stat = "Sum"

            metric {
              namespace   = "AWS/ApplicationELB"
              metric_name = "RequestCountPerTarget"

              dimensions {
                name  = "TargetGroup"
                value = metrics.value.arn_suffix
              }
            }
          }
        }
      }

      dynamic "metrics" {
        for_each = aws_lb_target_group.service

        content {
          id          = "seconds_${metrics.key}"
          return_data = false

          metric_stat {
            stat = "Average"

            metric {
              namespace   = "AWS/ApplicationELB"
              metric_name = "TargetResponseTime"

              dimensions {
                name  = "LoadBalancer"
                value = aws_lb.this.arn_suffix
              }

              dimensions {
                name  = "TargetGroup"
                value = metrics.value.arn_suffix
              }
            }
          }
        }
      }

      metrics {
        id          = "in_flight"
        label       = "Requests in flight per task"
        expression  = local.in_flight_expression
        return_data = true
      }
    }
  }
}
