variable "name" {
  description = "Name of the service; everything else is named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,21}[a-z0-9]$", var.name)) && !startswith(var.name, "internal-")
    error_message = "name must be 3 to 23 lower-case letters, digits and hyphens, and not begin with internal-: the load balancer's names add up to 9 characters and AWS allows 32."
  }
}

variable "cluster_arn" {
  description = "Cluster that the service runs in."
  type        = string
}

variable "capacity_provider" {
  description = "Capacity provider that gives the tasks their instances."
  type        = string
}

variable "managed_instances" {
  description = "Whether the capacity provider is one of ECS Managed Instances."
  type        = bool
  default     = false
}

variable "vpc_id" {
  description = "VPC of load balancer and tasks."
  type        = string
}

variable "public_subnet_ids" {
  description = "Subnets of the load balancer, in two zones at least."
  type        = list(string)
}

variable "subnet_ids" {
  description = "Subnets of the tasks with awsvpc."
  type        = list(string)
  default     = []
}

variable "instances_security_group_id" {
  description = "Security group of the instances, which lets the load balancer in with bridge."
  type        = string
}

variable "ingress_cidrs" {
  description = "Networks that may reach the load balancer. Empty: nobody, or everybody who signs in where login is given."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.ingress_cidrs : try(cidrsubnet(cidr, 0, 0) == cidr && cidrnetmask(cidr) != "", false)])
    error_message = "ingress_cidrs must be IPv4 networks such as 203.0.113.0/24: the first address of each, and how many bits all have in common."
  }
}

variable "login" {
  description = "OpenID Connect at the load balancer, for people with a browser: its identity provider's endpoints and client. Needs certificate_arn. Terraform's state holds the client's secret: encrypt it."
  type = object({
    issuer                 = string
    authorization_endpoint = string
    token_endpoint         = string
    user_info_endpoint     = string
    client_id              = string
    client_secret          = string
    scope                  = optional(string, "openid")
  })
  default = null

  validation {
    condition     = var.login == null || var.certificate_arn != null
    error_message = "login needs certificate_arn: a load balancer signs people in over HTTPS only."
  }

  validation {
    condition     = var.login == null || var.deployment_strategy == "ROLLING"
    error_message = "login goes with deployment_strategy = \"ROLLING\": BLUE_GREEN moves the rule that would ask people to sign in, and that is not tested. Use service_auth = \"oidc\" there."
  }
}

variable "firewall_requests_per_minute" {
  description = "Requests a minute of one address at which AWS WAF blocks it; null for no firewall (it costs some 6 USD a month and 0.60 a million requests)."
  type        = number
  default     = null

  validation {
    condition     = var.firewall_requests_per_minute == null ? true : var.firewall_requests_per_minute >= 10 && var.firewall_requests_per_minute <= 2000000000
    error_message = "firewall_requests_per_minute must be 10 or more, what a rate rule of AWS WAF allows."
  }
}

variable "certificate_arn" {
  description = "ACM certificate of the load balancer; HTTP is then redirected to HTTPS."
  type        = string
  default     = null

  validation {
    condition     = (var.certificate_arn != null) != var.http_only
    error_message = "Give either certificate_arn, an ACM certificate of this Region, or http_only = true for a trial: without a certificate questions, answers and keys cross the internet in clear text."
  }

  validation {
    condition     = var.certificate_arn == null ? true : can(regex("^arn:[a-z-]+:(acm|iam):", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate, arn:aws:acm:REGION:ACCOUNT:certificate/ID."
  }

  validation {
    condition     = var.certificate_arn == null ? true : !can(regex("^arn:[a-z-]+:acm:", var.certificate_arn)) || try(split(":", var.certificate_arn)[3], "") == data.aws_region.current.name
    error_message = "certificate_arn is of another Region: a load balancer takes certificates of its own, ${data.aws_region.current.name}."
  }
}

variable "http_only" {
  description = "Serve plain HTTP, without a certificate: for a trial."
  type        = bool
  default     = false
}

variable "image" {
  description = "Image of the first revision; later ones are the deployer's."
  type        = string
}

variable "environment" {
  description = "Environment of the container, as in a container definition."
  type        = list(object({ name = string, value = string }))
  default     = []
}

variable "secrets" {
  description = "Secrets of the container, as in a container definition."
  type        = list(object({ name = string, valueFrom = string }))
  default     = []
}

variable "execution_role_arn" {
  description = "Role with which ECS starts the tasks."
  type        = string
}

variable "task_role_arn" {
  description = "The tasks' own role."
  type        = string
}

variable "network_mode" {
  description = "Network of the tasks: bridge (dynamic host ports) or awsvpc (an address of its own; as many tasks on an instance as it has network interfaces)."
  type        = string
  default     = "bridge"

  validation {
    condition     = contains(["bridge", "awsvpc"], var.network_mode) && !(var.network_mode == "bridge" && var.managed_instances)
    error_message = "network_mode must be bridge or awsvpc; with managed-instances awsvpc, as dynamic host ports belong to instances of one's own."
  }
}

variable "desired_count" {
  description = "Tasks of the service when it is created, and the least that autoscaling leaves."
  type        = number
  default     = 2

  validation {
    condition     = var.desired_count >= 1 && floor(var.desired_count) == var.desired_count
    error_message = "desired_count must be 1 or more: with 0 no task runs, every deployment \"succeeds\" and nothing is verified."
  }
}

variable "max_count" {
  description = "Most tasks that autoscaling may run."
  type        = number
  default     = 4

  validation {
    condition     = var.max_count >= var.desired_count
    error_message = "max_count must not be less than desired_count."
  }
}

variable "spare_gpus" {
  description = "GPUs beyond those of desired_count that a rollout may use. 0: old tasks are stopped before new ones start."
  type        = number
  default     = 1

  validation {
    condition     = var.spare_gpus >= 0 && floor(var.spare_gpus) == var.spare_gpus
    error_message = "spare_gpus must be a whole number from 0 on."
  }
}

variable "gpus_per_task" {
  description = "GPUs of one task; all of them must be on one instance."
  type        = number
  default     = 1

  validation {
    condition     = var.gpus_per_task >= 1 && floor(var.gpus_per_task) == var.gpus_per_task
    error_message = "gpus_per_task must be a whole number from 1 on: a task without a GPU needs no GPU instance."
  }
}

variable "minimum_healthy_percent" {
  description = "Overrides the percentage derived from spare_gpus."
  type        = number
  default     = null

  validation {
    condition = (
      ceil(var.desired_count * coalesce(var.minimum_healthy_percent, local.derived_minimum_percent) / 100) < var.desired_count ||
      floor(var.desired_count * coalesce(var.maximum_percent, local.derived_maximum_percent) / 100) > var.desired_count
    )
    error_message = "The percentages deadlock: of ${var.desired_count} tasks at least ${ceil(var.desired_count * coalesce(var.minimum_healthy_percent, local.derived_minimum_percent) / 100)} must stay and at most ${floor(var.desired_count * coalesce(var.maximum_percent, local.derived_maximum_percent) / 100)} may run, so no task can be stopped or started. Lower minimum_healthy_percent or raise maximum_percent."
  }

  validation {
    condition = (
      var.maximum_percent == null ||
      floor((floor(var.desired_count * coalesce(var.maximum_percent, 100) / 100) - var.desired_count) * var.gpus_per_task) <= var.spare_gpus ||
      ceil(var.desired_count * coalesce(var.minimum_healthy_percent, local.derived_minimum_percent) / 100) < var.desired_count
    )
    error_message = "maximum_percent lets a rollout start ${floor(var.desired_count * coalesce(var.maximum_percent, 100) / 100) - var.desired_count} tasks beyond desired_count before any old one may stop, but spare_gpus is ${var.spare_gpus}: tasks would wait for GPUs that nobody keeps. Raise spare_gpus, or lower minimum_healthy_percent or maximum_percent."
  }

  validation {
    condition     = var.minimum_healthy_percent == null ? true : var.minimum_healthy_percent >= 0 && var.minimum_healthy_percent <= 100
    error_message = "minimum_healthy_percent must be 0 to 100."
  }
}

variable "maximum_percent" {
  description = "Overrides the percentage derived from spare_gpus."
  type        = number
  default     = null

  validation {
    condition     = var.maximum_percent == null ? true : var.maximum_percent >= 100 && var.maximum_percent <= 200
    error_message = "maximum_percent must be 100 to 200."
  }
}

variable "image_gb" {
  description = "Compressed size of the service's image in GB, as ECR shows it; the root volume is sized for it."
  type        = number
  default     = 4

  validation {
    condition     = var.image_gb > 0 && var.image_gb <= 100
    error_message = "image_gb must be more than 0 and at most 100."
  }
}

variable "keep_spare_warm" {
  description = "Keep the instances of spare_gpus running between rollouts. false: each rollout first waits some minutes for its instance."
  type        = bool
  default     = false
}

variable "model_load_seconds" {
  description = "Longest time from the start of the container to its first healthy answer, measured. All health checks are derived from it."
  type        = number
  default     = 120

  validation {
    condition     = var.model_load_seconds >= 1 && var.model_load_seconds <= 1990
    error_message = "model_load_seconds must be 1 to 1990: a container health check allows 300 s of startPeriod and nine more intervals of 300 s, 3000 s in all, and half of the load time is kept as a margin. Load less at the start, or bake the model into the image."
  }
}

variable "request_timeout_seconds" {
  description = "Longest answer of the service. The load balancer waits as long for a silent answer, and old tasks keep their GPU as long to finish theirs."
  type        = number
  default     = 120

  validation {
    condition     = var.request_timeout_seconds >= 1 && var.request_timeout_seconds <= 3600
    error_message = "request_timeout_seconds must be 1 to 3600, what a target group's deregistration delay can express."
  }
}

variable "health_check_interval_seconds" {
  description = "Seconds between two health checks of the load balancer."
  type        = number
  default     = 15

  validation {
    condition     = var.health_check_interval_seconds >= 5 && var.health_check_interval_seconds <= 300
    error_message = "health_check_interval_seconds must be 5 to 300, what a load balancer allows."
  }
}

variable "slow_start_seconds" {
  description = "Seconds in which a new target's share of requests grows; 0 sends requests to the least busy target instead."
  type        = number
  default     = 60

  validation {
    condition     = var.slow_start_seconds == 0 || (var.slow_start_seconds >= 30 && var.slow_start_seconds <= 900)
    error_message = "slow_start_seconds must be 0 or 30 to 900, what a target group allows."
  }
}

variable "in_flight_per_task" {
  description = "Requests at work in one task at a time that autoscaling aims at."
  type        = number
  default     = 4

  validation {
    condition     = var.in_flight_per_task > 0
    error_message = "in_flight_per_task must be more than 0."
  }
}

variable "in_flight_metric" {
  description = "Metric in CloudWatch of the requests that a task answers, with the dimensions ClusterName and ServiceName: what autoscaling looks at."
  type        = object({ namespace = string, name = string })
  default     = { namespace = "RagService", name = "rag_requests_in_flight" }
}

variable "server_error_alarm_count" {
  description = "Answers 5xx a minute, twice in a row, at which a deployment is rolled back."
  type        = number
  default     = 20

  validation {
    condition     = var.server_error_alarm_count >= 1
    error_message = "server_error_alarm_count must be 1 or more: with 0 a service without errors would be rolled back."
  }
}

variable "roll_back_on_alarm" {
  description = "Have that alarm roll deployments back. AWS then watches each one for some minutes after its tasks are up; false for a trial that cannot wait."
  type        = bool
  default     = true
}

variable "deployment_strategy" {
  description = "ROLLING or BLUE_GREEN. BLUE_GREEN needs desired_count × gpus_per_task spare GPUs and the AWS CLI (2.31 or newer) where Terraform runs."
  type        = string
  default     = "ROLLING"

  validation {
    condition     = contains(["ROLLING", "BLUE_GREEN"], var.deployment_strategy)
    error_message = "deployment_strategy must be ROLLING or BLUE_GREEN."
  }

  validation {
    condition     = var.deployment_strategy == "ROLLING" || var.spare_gpus >= var.desired_count * var.gpus_per_task
    error_message = "BLUE_GREEN runs both versions in full: spare_gpus must be at least desired_count × gpus_per_task, which is ${var.desired_count * var.gpus_per_task}."
  }
}

variable "bake_time_minutes" {
  description = "How long BLUE_GREEN keeps the old version after the switch."
  type        = number
  default     = 10

  validation {
    condition     = var.bake_time_minutes >= 0 && var.bake_time_minutes <= 1440
    error_message = "bake_time_minutes must be 0 to 1440."
  }
}

variable "breaker_failures" {
  description = "Failed tasks at which the circuit breaker rolls back. Default: AWS's own, half of desired_count but 3 at least. Setting it needs the AWS CLI where Terraform runs."
  type        = number
  default     = null

  validation {
    condition     = var.breaker_failures == null ? true : var.breaker_failures >= 1 && floor(var.breaker_failures) == var.breaker_failures
    error_message = "breaker_failures must be a whole number from 1 on."
  }
}

variable "container_port" {
  description = "Port that the container listens on."
  type        = number
  default     = 8000

  validation {
    condition     = var.container_port >= 1 && var.container_port <= 65535
    error_message = "container_port must be 1 to 65535."
  }
}

variable "task_cpu" {
  description = "CPU units of a task (1024 = one vCPU)."
  type        = number
  default     = 2048

  validation {
    condition     = var.task_cpu >= 128 && floor(var.task_cpu) == var.task_cpu
    error_message = "task_cpu must be a whole number from 128 on: ECS takes no smaller task on an instance."
  }
}

variable "task_memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 8192

  validation {
    condition     = var.task_memory >= 4 && floor(var.task_memory) == var.task_memory
    error_message = "task_memory must be a whole number of MiB from 4 on, the least that ECS takes."
  }
}

variable "alerts_topic_arn" {
  description = "SNS topic that hears of 5xx and of deployments that were given up."
  type        = string
}

variable "kms_key_arn" {
  description = "Customer KMS key of the log. Default: a key of AWS."
  type        = string
  default     = null

  # CloudWatch Logs takes the ARN of a key, and neither an alias nor a bare id.
  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias: aws kms describe-key --key-id alias/NAME shows it as Arn."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods of CloudWatch Logs: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 …"
  }
}

variable "deletion_protection" {
  description = "Protect the load balancer, and keep a deleted secret for 30 days and buckets and repositories that hold something. false for a trial that is destroyed again."
  type        = bool
  default     = true
}
