# Every number of health checks and rollouts that follows from another one, in one place. What the article got wrong
# is arithmetic.

locals {
  # How long the container may take to answer 200: half as much again as measured.
  load_allowance_seconds = ceil(1.5 * var.model_load_seconds)

  # ECS ignores unhealthy load balancer and container checks for so long after a task has started. Its default
  # is 0: the load balancer then ends the task while the model still loads. A target that turned unhealthy during
  # the load needs healthy_threshold good checks after it: ECS must not look before.
  grace_period_seconds = local.load_allowance_seconds + local.healthy_threshold * var.health_check_interval_seconds + local.health_check_timeout

  # The container check must survive the load by itself too: outside a service there is no grace period.
  # startPeriod is 300 s at most; the rest is bought with intervals (5 to 300 s) times retries (1 to 10).
  container_check_timeout  = 10
  container_start_period   = min(300, local.load_allowance_seconds)
  container_check_rest     = local.load_allowance_seconds + local.container_check_timeout - local.container_start_period
  container_check_interval = min(300, max(15, ceil(local.container_check_rest / 9)))
  container_check_retries  = min(10, max(3, ceil(local.container_check_rest / local.container_check_interval) + 1))

  # The load balancer decides about traffic only; the grace period covers the load.
  health_check_timeout      = max(2, min(10, var.health_check_interval_seconds - 1))
  health_check_path         = "/health"
  healthy_threshold         = 2
  unhealthy_threshold       = 3
  deregistration_delay      = var.request_timeout_seconds
  idle_timeout              = min(4000, var.request_timeout_seconds + 10)
  container_stop_timeout    = max(30, min(120, var.request_timeout_seconds))
  load_balancing_algorithm  = var.slow_start_seconds > 0 ? "round_robin" : "least_outstanding_requests"
  spare_tasks               = min(var.desired_count, floor(var.spare_gpus / var.gpus_per_task))
  derived_minimum_percent   = local.spare_tasks > 0 ? 100 : floor(100 * (var.desired_count - 1) / var.desired_count)
  derived_maximum_percent   = local.spare_tasks > 0 ? ceil(100 * (var.desired_count + local.spare_tasks) / var.desired_count) : 100
  minimum_healthy_percent   = coalesce(var.minimum_healthy_percent, local.derived_minimum_percent)
  maximum_percent           = coalesce(var.maximum_percent, local.derived_maximum_percent)
  most_tasks_during_rollout = floor(var.desired_count * local.maximum_percent / 100)
  least_tasks_in_rollout    = ceil(var.desired_count * local.minimum_healthy_percent / 100)

  # A rollout while autoscaling runs the most tasks takes the same percentage of those.
  most_tasks = max(var.max_count, floor(var.max_count * local.maximum_percent / 100))

  # One wave replaces this many tasks; a rollout takes as many waves as it needs.
  rollout_batch = max(1, local.most_tasks_during_rollout - local.least_tasks_in_rollout)
  rollout_waves = ceil(var.desired_count / local.rollout_batch)

  # Instance launch 300 s, pull at 100 MB/s with a factor of 2 for unpacking.
  start_seconds   = (var.keep_spare_warm || local.spare_tasks == 0 ? 0 : 300) + ceil(20 * var.image_gb)
  ready_seconds   = local.start_seconds + local.load_allowance_seconds
  rollout_seconds = local.rollout_waves * (local.start_seconds + local.grace_period_seconds + local.deregistration_delay + local.container_stop_timeout)

  # A failed rollout may use its breaker threshold up and then roll back: three times a good one. GitHub ends a
  # hosted job after 6 h; half an hour of it is left for the build.
  deploy_timeout_seconds = min(19800, max(1800, 3 * local.rollout_seconds))
  session_seconds        = min(43200, max(3600, ceil(local.deploy_timeout_seconds / 3600) * 3600))

  breaker_failures = coalesce(var.breaker_failures, min(200, max(3, ceil(var.desired_count / 2))))

  awsvpc         = var.network_mode == "awsvpc"
  blue_green     = var.deployment_strategy == "BLUE_GREEN"
  container_name = var.name
}
