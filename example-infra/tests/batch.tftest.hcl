mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "ki-rag-api-batch"
  cluster_arn        = "arn:aws:ecs:eu-central-1:123456789012:cluster/ki-cluster"
  capacity_provider  = "ki-cluster-gpu"
  execution_role_arn = "arn:aws:iam::123456789012:role/ki-rag-api-execution"
  task_role_arn      = "arn:aws:iam::123456789012:role/ki-rag-api-batch-task"
  container          = { image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:live-first" }
  command            = ["python", "-m", "rag_service.ingest"]
  bucket             = "ki-rag-api-documents-123456789012"
  alerts_topic_arn   = "arn:aws:sns:eu-central-1:123456789012:ki-rag-api-alerts"
}

run "every_night" {
  command = plan

  module {
    source = "./modules/batch"
  }

  assert {
    condition     = aws_scheduler_schedule.batch.schedule_expression == "cron(0 2 * * ? *)" && aws_scheduler_schedule.batch.schedule_expression_timezone == "UTC"
    error_message = "The ingest runs at 02:00."
  }
}

run "one_consumer_at_most" {
  command = plan

  module {
    source = "./modules/batch"
  }

  assert {
    condition     = aws_appautoscaling_target.queue.min_capacity == 0 && aws_appautoscaling_target.queue.max_capacity == 1 && aws_ecs_service.queue.deployment_minimum_healthy_percent == 0 && aws_ecs_service.queue.deployment_maximum_percent == 100
    error_message = "None without work, one with it, and never two: a deployment stops the old one first."
  }

  assert {
    condition     = aws_appautoscaling_policy.queue["start"].step_scaling_policy_configuration[0].adjustment_type == "ExactCapacity" && one(aws_appautoscaling_policy.queue["start"].step_scaling_policy_configuration[0].step_adjustment).scaling_adjustment == 1 && one(aws_appautoscaling_policy.queue["end"].step_scaling_policy_configuration[0].step_adjustment).scaling_adjustment == 0
    error_message = "However many messages wait, one task."
  }

  assert {
    condition     = aws_sqs_queue.work.message_retention_seconds < aws_sqs_queue.failures.message_retention_seconds && aws_sqs_queue.work.sqs_managed_sse_enabled && aws_sqs_queue.failures.sqs_managed_sse_enabled
    error_message = "What is put aside keeps its age, and must not be gone before somebody has looked."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.drained.evaluation_periods * 60 > aws_sqs_queue.work.visibility_timeout_seconds
    error_message = "A message that is tried again is still waited for."
  }

  assert {
    condition     = jsondecode(aws_scheduler_schedule.batch.target[0].input) == { ingest = "schedule" } && toset(jsondecode(aws_cloudwatch_event_rule.document.event_pattern)["detail-type"]) == toset(["Object Created", "Object Deleted"])
    error_message = "The schedule and the uploads come through the same door."
  }
}

run "a_schedule_that_is_none" {
  command = plan

  module {
    source = "./modules/batch"
  }

  expect_failures = [var.schedule, var.log_retention_days, var.idle_minutes, var.kms_key_arn]
  variables {
    kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:alias/ours"
    idle_minutes       = 2
    schedule           = "0 2 * * *"
    log_retention_days = 31
  }
}

run "the_first_image_is_the_one_that_was_named" {
  command = plan

  module {
    source = "./modules/batch"
  }

  assert {
    condition     = local.image == var.container.image
    error_message = "Before the deployer has registered a revision."
  }
}

run "later_ones_are_the_deployers" {
  command = plan

  module {
    source = "./modules/batch"
  }

  override_data {
    target = data.aws_resourcegroupstaggingapi_resources.revisions
    values = { resource_tag_mapping_list = [{ resource_arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/ki-rag-api-batch:7" }] }
  }

  override_data {
    target = data.aws_ecs_task_definition.newest[0]
    values = { container_definitions = "[{\"image\": \"registry/ki-rag-api:7\"}]" }
  }

  assert {
    condition     = local.image == "registry/ki-rag-api:7"
    error_message = "What is changed here becomes a revision with the image that was deployed."
  }
}
