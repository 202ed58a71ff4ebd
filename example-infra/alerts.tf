# Who is told: everybody who subscribes to one topic. An alarm that nobody hears of is none.

resource "aws_sns_topic" "alerts" {
  # checkov:skip=CKV_AWS_26: neither alarms nor events may use AWS's own key; kms_key_arn chooses a key of one's own
  name              = "${var.name}-alerts"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "alerts" {
  arn = aws_sns_topic.alerts.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndEvents"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alerts.arn
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = toset(var.alert_emails)
  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = each.key
}

# What could not be started lies here until somebody looks.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${local.batch_name}-dead-letters"
  alarm_description   = "An ingest could not be started: see the queue ${aws_sqs_queue.batch_failures.name}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  dimensions          = { QueueName = aws_sqs_queue.batch_failures.name }
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
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix }
}

locals {
  ingest_stopped = {
    clusterArn = [aws_ecs_cluster.this.arn]
    group      = ["family:${local.batch_name}"]
    lastStatus = ["STOPPED"]
  }

  # What ECS says to EventBridge, and where in it the reason is.
  told = {
    ingest-failed = {
      type   = "ECS Task State Change"
      detail = merge(local.ingest_stopped, { containers = { exitCode = [{ "anything-but" = [0] }] } })
      reason = "$.detail.stoppedReason"
    }
    ingest-stopped = {
      type   = "ECS Task State Change"
      detail = merge(local.ingest_stopped, { stopCode = [{ "anything-but" = ["EssentialContainerExited"] }] })
      reason = "$.detail.stoppedReason"
    }
    deployment-failed = {
      type   = "ECS Deployment State Change"
      detail = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
      reason = "$.detail.reason"
    }
  }
}

resource "aws_cloudwatch_event_rule" "told" {
  for_each    = local.told
  name        = "${var.name}-${each.key}"
  description = "Somebody is told"
  event_pattern = jsonencode(merge(
    { source = ["aws.ecs"], "detail-type" = [each.value.type], detail = each.value.detail },
    each.key == "deployment-failed" ? { resources = [aws_ecs_service.this.id] } : {},
  ))
}

resource "aws_cloudwatch_event_target" "told" {
  for_each  = local.told
  rule      = aws_cloudwatch_event_rule.told[each.key].name
  target_id = "alerts"
  arn       = aws_sns_topic.alerts.arn

  input_transformer {
    input_paths    = { what = "$.resources[0]", reason = each.value.reason }
    input_template = "\"${var.name}, ${each.key}: <what>: <reason>\""
  }
}
