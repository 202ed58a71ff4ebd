mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  github_repository = "octo-org/octo-repo"
  certificate_arn   = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
}

run "the_whole" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_vpc_endpoint.interface) == 8
    error_message = "Endpoints instead of NAT."
  }

  assert {
    condition     = output.timing.most_instances == 7 && output.timing.session_seconds == 7200 && output.timing.grace_period_seconds == 220
    error_message = "The parts get each other's numbers: seven instances, two hours, and the health checks' own."
  }
}

run "an_existing_vpc" {
  command = plan
  variables {
    vpc_id             = "vpc-1"
    public_subnet_ids  = ["subnet-1", "subnet-2"]
    private_subnet_ids = ["subnet-3"]
  }

  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_vpc_endpoint.interface) == 0 && local.private_subnet_ids == tolist(["subnet-3"])
    error_message = "Nothing of the network is created."
  }
}

run "a_key_of_ones_own" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    generator   = { url = "https://llm.example.internal/v1" }
  }

  assert {
    condition = alltrue([
      for statements in values(local.use_key_through) : one(statements).Resource == var.kms_key_arn
    ]) && contains(one(local.use_key_through.s3).Action, "kms:GenerateDataKey") && contains(one(local.use_key_through.secretsmanager).Action, "kms:Decrypt")
    error_message = "The tasks read and write through S3 with the key, ECS reads the secret, the schedule fills the queue."
  }

  assert {
    condition     = aws_ecr_repository.service.encryption_configuration[0].encryption_type == "KMS" && aws_secretsmanager_secret.openai[0].kms_key_id == var.kms_key_arn
    error_message = "Images, logs and the secret are encrypted with it."
  }
}

run "the_service_wants_a_key" {
  command = plan

  assert {
    condition     = contains(local.auth_environment, { name = "AUTH", value = "keys" }) && length(aws_secretsmanager_secret.api_keys) == 1
    error_message = "And the service wants a key."
  }
}

run "people_are_told_and_nobody_needs_a_key" {
  command = plan
  variables {
    alert_emails = ["team@example.com"]
    service_auth = "off"
  }

  assert {
    condition     = aws_sns_topic_subscription.email["team@example.com"].protocol == "email"
    error_message = "Who gave an address is told."
  }

  assert {
    condition     = length(aws_secretsmanager_secret.api_keys) == 0 && length(local.auth_secret) == 0
    error_message = "No secret that nobody reads."
  }
}

run "tokens_of_an_issuer" {
  command = plan
  variables {
    nat_gateway  = true
    service_auth = "oidc"
    service_oidc = { issuer = "https://id.example.com", audience = "rag" }
  }

  assert {
    condition     = contains(local.auth_environment, { name = "OIDC_AUDIENCE", value = "rag" })
    error_message = "The service knows whose tokens it takes."
  }
}

run "answers_that_quote_need_no_key" {
  command = plan
  variables { service_auth = "off" }

  assert {
    condition     = length(local.secret_arns) == 0 && length(local.openai_secret) == 0 && output.secret_arn == null && !contains([for entry in local.answer_environment : entry.name], "OPENAI_BASE_URL")
    error_message = "No generator, no secret."
  }
}

run "a_hosted_model_has_a_key_and_a_way_out" {
  command = plan
  variables {
    generator       = { url = "https://api.openai.com/v1", model = "gpt-4.1" }
    nat_gateway     = true
    embedding_model = "intfloat/multilingual-e5-small"
    environment     = { MAX_BATCH = "64" }
  }

  assert {
    condition     = length(aws_secretsmanager_secret.openai) == 1 && [for entry in local.openai_secret : entry.name] == ["OPENAI_API_KEY"] && length(aws_nat_gateway.this) == 1
    error_message = "A secret for the key, and a NAT gateway."
  }

  assert {
    condition     = contains(local.answer_environment, { name = "GENERATOR_MODEL", value = "gpt-4.1" }) && contains(local.answer_environment, { name = "OPENAI_BASE_URL", value = "https://api.openai.com/v1" })
    error_message = "The service knows the endpoint and the model."
  }

  assert {
    condition     = [for entry in local.container_environment : entry.name] == ["INDEX_URI", "EMBEDDING_MODEL", "MAX_BATCH"] && local.batch_container.environment == local.container_environment
    error_message = "Service and ingest embed with the same model."
  }
}

run "a_model_of_ones_own_needs_neither" {
  command = plan
  variables {
    generator       = { url = "http://10.42.4.7:9000/v1", model = "qwen", key = false }
    embedding_model = "/models/e5"
  }

  assert {
    condition     = length(aws_secretsmanager_secret.openai) == 0 && length(local.openai_secret) == 0 && length(aws_nat_gateway.this) == 0
    error_message = "Inside the VPC, without a key."
  }
}

run "a_shell_needs_its_endpoints" {
  command = plan

  variables {
    session_manager = true
  }

  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "ssm") && contains(keys(aws_vpc_endpoint.interface), "ssmmessages")
    error_message = "The agent reaches Systems Manager without the internet."
  }
}
