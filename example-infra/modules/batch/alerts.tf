# Who is told: the topic of everything that somebody should hear of.

# What could not be ingested lies there until somebody looks.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "What asked for an ingest was put aside: see the queue ${aws_sqs_queue.failures.name}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alerts_topic_arn]
  dimensions          = { QueueName = aws_sqs_queue.failures.name }
}

# The service goes on after a document that cannot be read, and after an ingest that could not be done: its log says it.
resource "aws_cloudwatch_log_metric_filter" "errors" {
  name           = "${var.name}-errors"
  log_group_name = aws_cloudwatch_log_group.batch.name
  pattern        = "\"ERROR:\""

  metric_transformation {
    name      = "${var.name}-errors"
    namespace = "Batch"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "An ingest says ERROR in ${aws_cloudwatch_log_group.batch.name}: a document or a whole run failed"
  namespace           = aws_cloudwatch_log_metric_filter.errors.metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.errors.metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alerts_topic_arn]
}

locals {
  stopped = {
    clusterArn = [var.cluster_arn]
    group      = ["family:${var.name}", "service:${local.service}"]
    lastStatus = ["STOPPED"]
  }

  # What ECS says to EventBridge of a task that failed, of one that never ran or was ended from outside (a service that
  # is scaled in is not that), and of a deployment that was given up.
  told = {
    failed = {
      type   = "ECS Task State Change"
      detail = merge(local.stopped, { containers = { exitCode = [{ "anything-but" = [0] }] } })
    }
    stopped = {
      type   = "ECS Task State Change"
      detail = merge(local.stopped, { stopCode = [{ "anything-but" = ["EssentialContainerExited", "ServiceSchedulerInitiated"] }] })
    }
    rolled-back = {
      type   = "ECS Deployment State Change"
      detail = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
    }
  }
}

resource "aws_cloudwatch_event_rule" "told" {
  for_each    = local.told
  name        = "${var.name}-${each.key}"
  description = "Somebody is told"
  event_pattern = jsonencode(merge(
    { source = ["aws.ecs"], "detail-type" = [each.value.type], detail = each.value.detail },
    each.key == "rolled-back" ? { resources = [aws_ecs_service.queue.id] } : {},
  ))
}

resource "aws_cloudwatch_event_target" "told" {
  for_each  = local.told
  rule      = aws_cloudwatch_event_rule.told[each.key].name
  target_id = "alerts"
  arn       = var.alerts_topic_arn

  input_transformer {
    input_paths    = { what = "$.resources[0]", reason = each.key == "rolled-back" ? "$.detail.reason" : "$.detail.stoppedReason" }
    input_template = "\"${var.name}, ${each.key}: <what>: <reason>\""
  }
}
