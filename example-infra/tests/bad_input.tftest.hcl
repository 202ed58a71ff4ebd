mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  github_repository = "octo-org/octo-repo"
  certificate_arn   = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
}

run "overlapping_networks" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables {
    vpc_cidr       = "10.42.0.0/20"
    reserved_cidrs = ["10.0.0.0/8"]
  }
}

run "overlap_the_other_way_round" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables {
    vpc_cidr       = "10.42.0.0/16"
    reserved_cidrs = ["10.42.128.0/24"]
  }
}

run "no_network" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables { vpc_cidr = "10.42.0.0" }
}

run "vpc_without_subnets" {
  command         = plan
  expect_failures = [var.public_subnet_ids, var.private_subnet_ids]
  variables { vpc_id = "vpc-1" }
}

run "networks_side_by_side" {
  command = plan
  variables { reserved_cidrs = ["10.42.16.0/20", "10.43.0.0/16"] }
}

run "the_whole_internet_and_nobody_asked" {
  command         = plan
  expect_failures = [var.ingress_cidrs]
  variables {
    ingress_cidrs = ["203.0.113.0/24", "0.0.0.0/0"]
    service_auth  = "off"
  }
}

run "the_whole_internet_in_halves" {
  command         = plan
  expect_failures = [var.ingress_cidrs]
  variables {
    ingress_cidrs = ["0.0.0.0/1", "128.0.0.0/01"]
    service_auth  = "off"
  }
}

run "half_of_the_internet_in_clear_text" {
  command         = plan
  expect_failures = [var.http_only]
  variables {
    ingress_cidrs   = ["128.0.0.0/1"]
    certificate_arn = null
    http_only       = true
  }
}

run "a_network_named_twice_is_one" {
  command = plan
  variables { ingress_cidrs = ["10.0.0.0/8", "10.0.0.0/8"] }
}

run "names_that_a_load_balancer_may_not_have" {
  command         = plan
  expect_failures = [var.name]
  variables { name = "internal-rag" }
}

run "a_name_that_twenty_resources_would_refuse" {
  command         = plan
  expect_failures = [var.name]
  variables { name = "Our RAG API" }
}

run "the_port_of_the_metrics_published" {
  command         = plan
  expect_failures = [var.container_port]
  variables { container_port = 9464 }
}

run "the_port_of_the_metrics_moved" {
  command         = plan
  expect_failures = [var.container_port]
  variables { environment = { METRICS_PORT = "8000" } }
}

run "tokens_of_nobody" {
  command         = plan
  expect_failures = [var.service_auth]
  variables { service_auth = "oidc" }
}

run "numbers_that_aws_does_not_take" {
  command         = plan
  expect_failures = [var.keep_images, var.keep_live_images, var.service_requests_per_minute]
  variables {
    keep_images                 = 0
    keep_live_images            = 10
    service_requests_per_minute = 0.5
  }
}

run "words_that_nobody_knows" {
  command         = plan
  expect_failures = [var.image_tag_mutability, var.reserved_cidrs, var.alert_emails, var.image_tag, var.kms_key_arn]
  variables {
    image_tag            = "live first"
    kms_key_arn          = "alias/ours"
    image_tag_mutability = "SOMETIMES"
    reserved_cidrs       = ["the office"]
    alert_emails         = ["the team"]
  }
}

run "a_hosted_model_and_no_way_out" {
  command         = plan
  expect_failures = [var.nat_gateway]
  variables { generator = { url = "https://api.openai.com/v1" } }
}

run "a_model_from_the_hub_and_no_way_out" {
  command         = plan
  expect_failures = [var.nat_gateway]
  variables { reranker_model = "cross-encoder/ms-marco-MiniLM-L6-v2" }
}

run "keys_of_an_issuer_and_no_way_out" {
  command         = plan
  expect_failures = [var.nat_gateway]
  variables {
    service_auth = "oidc"
    service_oidc = { issuer = "https://id.example.com", audience = "rag" }
  }
}

run "a_nat_gateway_in_somebody_elses_vpc" {
  command         = plan
  expect_failures = [var.nat_gateway]
  variables {
    vpc_id             = "vpc-1"
    public_subnet_ids  = ["subnet-1", "subnet-2"]
    private_subnet_ids = ["subnet-3"]
    nat_gateway        = true
  }
}

run "a_key_in_clear_text" {
  command         = plan
  expect_failures = [var.generator]
  variables {
    generator   = { url = "http://api.example.com/v1" }
    nat_gateway = true
  }
}

run "a_generator_without_a_scheme" {
  command         = plan
  expect_failures = [var.generator]
  variables {
    generator   = { url = "api.example.com/v1" }
    nat_gateway = true
  }
}

run "variables_that_the_stack_sets_itself" {
  command         = plan
  expect_failures = [var.environment]
  variables { environment = { AUTH = "off" } }
}

run "variables_that_no_shell_knows" {
  command         = plan
  expect_failures = [var.environment]
  variables { environment = { "MAX-BATCH" = "64" } }
}

run "the_whole_internet_in_clear_text" {
  command         = plan
  expect_failures = [var.http_only]
  variables {
    certificate_arn = null
    http_only       = true
    ingress_cidrs   = ["0.0.0.0/0"]
  }
}

run "a_name_that_ecr_refuses" {
  command         = plan
  expect_failures = [var.name]
  variables { name = "rag--api" }
}

run "tokens_that_the_service_would_not_take" {
  command         = plan
  expect_failures = [var.service_oidc]
  variables {
    nat_gateway  = true
    service_auth = "oidc"
    service_oidc = { issuer = "http://issuer.example.com", audience = "rag" }
  }
}

run "a_setting_of_the_stack_in_other_letters" {
  command         = plan
  expect_failures = [var.environment]
  variables { environment = { auth = "off" } }
}

run "an_ingest_without_a_program" {
  command         = plan
  expect_failures = [var.batch_command]
  variables { batch_command = [] }
}

run "a_key_of_another_region" {
  command         = plan
  expect_failures = [var.kms_key_arn]
  variables { kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
}

run "a_network_of_its_own_in_china" {
  command         = plan
  expect_failures = [var.vpc_id]
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-cn", dns_suffix = "amazonaws.com.cn" }
  }
}
