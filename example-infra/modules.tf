# The four parts that others reuse, filled in for this service.

module "cluster" {
  source = "./modules/gpu-cluster"

  name               = var.name
  cluster_name       = var.cluster_name
  subnet_ids         = local.private_subnet_ids
  security_group_ids = [aws_security_group.instances.id]
  capacity           = var.capacity
  instance_type      = var.instance_type
  gpus_per_task      = var.gpus_per_task
  ami_id             = var.ami_id
  image_gb           = var.image_gb
  task_cpu           = var.task_cpu
  task_memory        = var.task_memory
  tasks              = var.desired_count
  most_tasks         = module.service.timing.most_tasks
  spare_tasks        = module.service.timing.spare_tasks
  other_tasks        = local.ingest_tasks
  keep_spare_warm    = var.keep_spare_warm
  ready_seconds      = module.service.timing.ready_seconds
  refresh_alarms     = var.roll_back_on_alarm ? [module.service.alarm_name] : []
  session_manager    = var.session_manager
  spot               = var.spot
  warm_pool_size     = var.warm_pool_size
  container_insights = var.container_insights
}

module "service" {
  source = "./modules/service"

  name                          = var.name
  cluster_arn                   = module.cluster.arn
  capacity_provider             = module.cluster.capacity_provider
  managed_instances             = local.managed_instances
  vpc_id                        = local.vpc_id
  public_subnet_ids             = local.public_subnet_ids
  subnet_ids                    = local.private_subnet_ids
  instances_security_group_id   = aws_security_group.instances.id
  ingress_cidrs                 = var.ingress_cidrs
  login                         = var.login
  firewall_requests_per_minute  = var.firewall_requests_per_minute
  certificate_arn               = var.certificate_arn
  http_only                     = var.http_only
  image                         = "${aws_ecr_repository.service.repository_url}:${var.image_tag}"
  environment                   = concat(local.container_environment, local.auth_environment, local.answer_environment)
  secrets                       = concat(local.openai_secret, local.auth_secret)
  execution_role_arn            = local.execution_role_arn
  task_role_arn                 = aws_iam_role.task.arn
  network_mode                  = var.network_mode
  desired_count                 = var.desired_count
  max_count                     = var.max_count
  spare_gpus                    = var.spare_gpus
  gpus_per_task                 = var.gpus_per_task
  minimum_healthy_percent       = var.minimum_healthy_percent
  maximum_percent               = var.maximum_percent
  image_gb                      = var.image_gb
  keep_spare_warm               = var.keep_spare_warm
  model_load_seconds            = var.model_load_seconds
  request_timeout_seconds       = var.request_timeout_seconds
  health_check_interval_seconds = var.health_check_interval_seconds
  slow_start_seconds            = var.slow_start_seconds
  in_flight_per_task            = var.in_flight_per_task
  server_error_alarm_count      = var.server_error_alarm_count
  roll_back_on_alarm            = var.roll_back_on_alarm
  deployment_strategy           = var.deployment_strategy
  bake_time_minutes             = var.bake_time_minutes
  breaker_failures              = var.breaker_failures
  container_port                = var.container_port
  task_cpu                      = var.task_cpu
  task_memory                   = var.task_memory
  alerts_topic_arn              = aws_sns_topic.alerts.arn
  kms_key_arn                   = var.kms_key_arn
  log_retention_days            = var.log_retention_days
  deletion_protection           = var.deletion_protection
}

module "batch" {
  source = "./modules/batch"

  name                     = local.batch_name
  cluster_arn              = module.cluster.arn
  capacity_provider        = module.cluster.capacity_provider
  requires_compatibilities = local.requires_compatibilities
  network_mode             = var.network_mode
  subnet_ids               = local.private_subnet_ids
  security_group_ids       = module.service.task_security_group_ids
  execution_role_arn       = local.execution_role_arn
  task_role_arn            = aws_iam_role.batch_task.arn
  container                = local.batch_container
  command                  = concat(var.batch_command, ["s3://${aws_s3_bucket.documents.bucket}/documents"])
  bucket                   = aws_s3_bucket.documents.bucket
  schedule                 = var.batch_schedule
  schedule_timezone        = var.batch_schedule_timezone
  alerts_topic_arn         = aws_sns_topic.alerts.arn
  kms_key_arn              = var.kms_key_arn
  log_retention_days       = var.log_retention_days
}

module "roles" {
  source = "./modules/oidc-roles"

  name                     = var.name
  github_repository        = var.github_repository
  github_branch            = var.github_branch
  github_environment       = var.github_environment
  github_reusable_workflow = var.github_reusable_workflow
  github_owner_id          = var.github_owner_id
  github_repository_id     = var.github_repository_id
  create_oidc_provider     = var.create_oidc_provider
  cluster_name             = module.cluster.name
  service_name             = module.service.name
  service_family           = module.service.family
  task_families            = [module.batch.family]
  background_services      = [module.batch.service]
  repository_arn           = aws_ecr_repository.service.arn
  cache_repository_arns    = [aws_ecr_repository.cache.arn]
  log_group_arns           = [module.service.log_group_arn, module.batch.log_group_arn]
  service_role_arns        = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
  task_role_arns           = [aws_iam_role.batch_task.arn]
  secret_arns              = local.secret_arns
  session_seconds          = module.service.timing.session_seconds
  deregister_revisions     = var.deregister_revisions
}
