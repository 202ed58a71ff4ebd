# What the topic hears of, and what rolls a deployment back.

# A new version that starts well and then answers 5xx is rolled back as well.
resource "aws_cloudwatch_metric_alarm" "server_errors" {
  alarm_name          = "${var.name}-server-errors"
  alarm_description   = "${var.name} answers 5xx: a deployment in progress is rolled back"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_Target_5XX_Count"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 2
  threshold           = var.server_error_alarm_count
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alerts_topic_arn]
  ok_actions          = [var.alerts_topic_arn]

  # Of the whole load balancer: with blue/green the new version's target group is now the one, now the other.
  dimensions = {
    LoadBalancer = aws_lb.this.arn_suffix
  }
}

# 5xx of the load balancer itself, which the service never saw: no healthy target, connections refused, timeouts.
resource "aws_cloudwatch_metric_alarm" "load_balancer_errors" {
  alarm_name          = "${var.name}-load-balancer-errors"
  alarm_description   = "The load balancer of ${var.name} answers 5xx itself: no healthy task, or none that answers in time"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_ELB_5XX_Count"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 2
  threshold           = var.server_error_alarm_count
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alerts_topic_arn]
  ok_actions          = [var.alerts_topic_arn]
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix }
}

# A deployment that ECS gave up.
resource "aws_cloudwatch_event_rule" "deployment_failed" {
  name        = "${var.name}-deployment-failed"
  description = "Somebody is told"
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Deployment State Change"]
    detail        = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
    resources     = [aws_ecs_service.this.id]
  })
}

resource "aws_cloudwatch_event_target" "deployment_failed" {
  rule      = aws_cloudwatch_event_rule.deployment_failed.name
  target_id = "alerts"
  arn       = var.alerts_topic_arn

  input_transformer {
    input_paths    = { what = "$.resources[0]", reason = "$.detail.reason" }
    input_template = "\"${var.name}, deployment-failed: <what>: <reason>\""
  }
}
