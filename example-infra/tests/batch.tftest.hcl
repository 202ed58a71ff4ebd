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

run "a_schedule_that_is_none" {
  command = plan

  module {
    source = "./modules/batch"
  }

  expect_failures = [var.schedule, var.log_retention_days]
  variables {
    schedule           = "0 2 * * *"
    log_retention_days = 31
  }
}
