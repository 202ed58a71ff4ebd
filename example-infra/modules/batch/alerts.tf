# Who is told: the topic of everything that somebody should hear of.

# What could not be started lies here until somebody looks.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "An ingest could not be started: see the queue ${aws_sqs_queue.batch_failures.name}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alerts_topic_arn]
  dimensions          = { QueueName = aws_sqs_queue.batch_failures.name }
}

locals {
  stopped = {
    clusterArn = [var.cluster_arn]
    group      = ["family:${var.name}"]
    lastStatus = ["STOPPED"]
  }

  # What ECS says to EventBridge of a task that failed, and of one that never ran.
  told = {
    failed  = merge(local.stopped, { containers = { exitCode = [{ "anything-but" = [0] }] } })
    stopped = merge(local.stopped, { stopCode = [{ "anything-but" = ["EssentialContainerExited"] }] })
  }
}

resource "aws_cloudwatch_event_rule" "told" {
  for_each    = local.told
  name        = "${var.name}-${each.key}"
  description = "Somebody is told"
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    detail        = each.value
  })
}

resource "aws_cloudwatch_event_target" "told" {
  for_each  = local.told
  rule      = aws_cloudwatch_event_rule.told[each.key].name
  target_id = "alerts"
  arn       = var.alerts_topic_arn

  input_transformer {
    input_paths    = { what = "$.resources[0]", reason = "$.detail.stoppedReason" }
    input_template = "\"${var.name}, ${each.key}: <what>: <reason>\""
  }
}
