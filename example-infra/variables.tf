variable "name" {
  description = "Name of the service; everything else is named after it."
  type        = string
  default     = "ki-rag-api"

  # Said here as well: else each of some twenty resources has its own words about it.
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,21}[a-z0-9]$", var.name)) && !startswith(var.name, "internal-") && !strcontains(var.name, "--")
    error_message = "name must be 3 to 23 lower-case letters, digits and single hyphens, and not begin with internal-: the load balancer's names add up to 9 characters and AWS allows 32; ECR takes no double hyphen."
  }
}

variable "cluster_name" {
  description = "Name of the ECS cluster, another one for each environment of an account: where there is one of this name, AWS gives that one, and this stack would take its capacity providers over."
  type        = string
  default     = "ki-cluster"
}

# GitHub

variable "github_repository" {
  description = "Repository whose workflows deploy, as OWNER/NAME."
  type        = string
}

variable "github_branch" {
  description = "Branch whose workflows may deploy."
  type        = string
  default     = "main"
}

variable "github_environment" {
  description = "GitHub environment of the deploy job. A job with an environment has it in the token's subject instead of the branch, so then only the environment is trusted: restrict its branches on GitHub."
  type        = string
  default     = null
}

variable "github_reusable_workflow" {
  description = "Reusable workflow that alone may deploy, as OWNER/NAME/.github/workflows/FILE@REF. Needs the subject claim customised on GitHub to repo, context, job_workflow_ref."
  type        = string
  default     = null
}

variable "github_owner_id" {
  description = "Number of the repository's owner. With github_repository_id, the immutable form of the subject is trusted as well; repositories created, renamed or transferred after 15 July 2026 send only that one."
  type        = number
  default     = null
}

variable "github_repository_id" {
  description = "Number of the repository, see github_owner_id."
  type        = number
  default     = null
}

variable "create_oidc_provider" {
  description = "Create the account's identity provider for GitHub. false where the account has one: there can be only one."
  type        = bool
  default     = true
}

variable "action" {
  description = "The action as the printed workflow uses it; pin it to a commit."
  type        = string
  default     = "org/ecs-gpu-deploy@v1"
}

# Network

variable "vpc_id" {
  description = "Existing VPC; with it give the subnets. Default: a small VPC of its own, with endpoints and without NAT."
  type        = string
  default     = null

  validation {
    condition     = var.vpc_id != null || data.aws_partition.current.partition != "aws-cn"
    error_message = "vpc_id is needed in China: there the names of AWS's endpoints differ from service to service, and the VPC of the stack's own would have none."
  }
}

variable "public_subnet_ids" {
  description = "Subnets of the load balancer in the existing VPC, in two zones at least."
  type        = list(string)
  default     = []

  validation {
    condition     = var.vpc_id == null ? length(var.public_subnet_ids) == 0 : length(var.public_subnet_ids) >= 2
    error_message = "public_subnet_ids needs two subnets or more in different zones with vpc_id, and none without it: a load balancer spans two zones."
  }
}

variable "private_subnet_ids" {
  description = "Subnets of the GPU instances in the existing VPC; they must reach ECR, S3, CloudWatch Logs, ECS and Secrets Manager."
  type        = list(string)
  default     = []

  validation {
    condition     = var.vpc_id == null ? length(var.private_subnet_ids) == 0 : length(var.private_subnet_ids) >= 1
    error_message = "private_subnet_ids needs a subnet or more with vpc_id, and none without it."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC."
  type        = string
  default     = "10.42.0.0/20"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 24, false)
    error_message = "vpc_cidr must be an IPv4 network from /16 to /24, such as 10.42.0.0/20."
  }

  # Two networks overlap exactly where they are the same one at the shorter of their prefixes.
  validation {
    condition = alltrue([
      for other in var.reserved_cidrs :
      try(
        cidrsubnet(format("%s/%d", split("/", var.vpc_cidr)[0], min(split("/", var.vpc_cidr)[1], split("/", other)[1])), 0, 0) !=
        cidrsubnet(format("%s/%d", split("/", other)[0], min(split("/", var.vpc_cidr)[1], split("/", other)[1])), 0, 0),
        true
      )
    ])
    error_message = "vpc_cidr overlaps one of reserved_cidrs (${join(", ", var.reserved_cidrs)}): the two networks could never be connected. Choose another vpc_cidr."
  }
}

variable "reserved_cidrs" {
  description = "Networks that the VPC may be connected to one day (other VPCs, the office); vpc_cidr must not overlap them."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for other in var.reserved_cidrs : can(cidrnetmask(other))])
    error_message = "reserved_cidrs must be IPv4 networks such as 10.0.0.0/16."
  }
}

variable "nat_gateway" {
  description = "Add a NAT gateway, for a service that calls the internet (a hosted language model). AWS itself is reached through endpoints."
  type        = bool
  default     = false

  validation {
    condition     = !(var.nat_gateway && var.vpc_id != null)
    error_message = "nat_gateway goes with a VPC of the stack's own: with vpc_id your routes decide what the private subnets reach. Leave nat_gateway out."
  }

  validation {
    condition     = var.nat_gateway || var.vpc_id != null || length(local.on_the_internet) == 0
    error_message = "Without nat_gateway the VPC has no way to the internet, but the service needs it for ${join(", ", local.on_the_internet)}. Set nat_gateway = true, or name something inside the VPC or the image."
  }
}

variable "ingress_cidrs" {
  description = "Networks that may reach the load balancer. Empty: nobody, or everybody who signs in where login is given."
  type        = list(string)
  default     = []

  validation {
    condition     = var.login != null || var.service_auth != "off" || !anytrue([for cidr in var.ingress_cidrs : can(regex("/0*[0-7]$", cidr))])
    error_message = "ingress_cidrs holds the whole internet, or a part of it (a network wider than /8), and nobody is asked who they are: everybody could spend the paid key of the language model. Name the networks of your clients, or set login, or service_auth = \"keys\" or \"oidc\"."
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
}

variable "service_auth" {
  description = "Whom the service itself answers: `keys` (API keys, hashed, in the secret NAME/api-key-hashes), `oidc` (bearer tokens of service_oidc) or `off`."
  type        = string
  default     = "keys"

  validation {
    condition     = contains(["keys", "oidc", "off"], var.service_auth)
    error_message = "service_auth must be keys, oidc or off."
  }

  validation {
    condition     = (var.service_auth == "oidc") == (var.service_oidc != null)
    error_message = "service_auth = \"oidc\" and service_oidc belong together: whose tokens, and for which audience."
  }
}

variable "service_oidc" {
  description = "Issuer and audience of the bearer tokens that the service takes. It fetches the issuer's keys."
  type        = object({ issuer = string, audience = string })
  default     = null

  validation {
    condition     = var.service_oidc == null ? true : startswith(var.service_oidc.issuer, "https://") && var.service_oidc.audience != ""
    error_message = "service_oidc needs an issuer with https:// and an audience: without them the service does not start."
  }
}

variable "service_requests_per_minute" {
  description = "Requests a minute that each task answers for one key or one subject; 0 for no limit."
  type        = number
  default     = 600

  validation {
    condition     = var.service_requests_per_minute >= 0 && floor(var.service_requests_per_minute) == var.service_requests_per_minute
    error_message = "service_requests_per_minute must be a whole number, 0 for no limit."
  }
}

variable "firewall_requests_per_minute" {
  description = "Requests a minute of one address at which AWS WAF blocks it; null for no firewall (it costs some 6 USD a month and 0.60 a million requests)."
  type        = number
  default     = null
}

variable "certificate_arn" {
  description = "ACM certificate of the load balancer; HTTP is then redirected to HTTPS."
  type        = string
  default     = null
}

variable "http_only" {
  description = "Serve plain HTTP, without a certificate: for a trial."
  type        = bool
  default     = false

  validation {
    condition     = !(var.http_only && anytrue([for cidr in var.ingress_cidrs : can(regex("/0*[0-7]$", cidr))]))
    error_message = "http_only and the whole internet in ingress_cidrs, or a part of it (a network wider than /8), contradict each other: questions and keys of everybody would cross it in clear text. Give certificate_arn, or name the networks of your trial."
  }
}

# Capacity

variable "capacity" {
  description = "Where tasks run: `ec2` (Auto Scaling group with a capacity provider) or `managed-instances` (ECS Managed Instances)."
  type        = string
  default     = "ec2"
}

variable "instance_type" {
  description = "GPU instance type."
  type        = string
  default     = "g5.xlarge"
}

variable "gpus_per_task" {
  description = "GPUs of one task; all of them must be on one instance."
  type        = number
  default     = 1
}

variable "ami_id" {
  description = "AMI of the instances. Default: the newest ECS-optimized GPU AMI of Amazon Linux 2023."
  type        = string
  default     = null
}

variable "image_gb" {
  description = "Compressed size of the service's image in GB, as ECR shows it; the root volume is sized for it."
  type        = number
  default     = 4
}

variable "spot" {
  description = "Use Spot Instances: about 60 % cheaper, ended with two minutes' notice."
  type        = bool
  default     = false
}

variable "warm_pool_size" {
  description = "Stopped instances kept ready (they cost their volumes only); 0 for none. Not with spot."
  type        = number
  default     = 0
}

variable "keep_spare_warm" {
  description = "Keep the instances of spare_gpus running between rollouts. false: each rollout first waits some minutes for its instance."
  type        = bool
  default     = false
}

variable "session_manager" {
  description = "Let people open a shell on the instances with Session Manager: no key, no open port. Who may is whom you give the policy sessions_policy_arn."
  type        = bool
  default     = false
}

variable "container_insights" {
  description = "Container Insights of the cluster: enhanced, enabled or disabled."
  type        = string
  default     = "enhanced"
}

# Service

variable "desired_count" {
  description = "Tasks of the service when it is created, and the least that autoscaling leaves."
  type        = number
  default     = 2
}

variable "max_count" {
  description = "Most tasks that autoscaling may run."
  type        = number
  default     = 4
}

variable "spare_gpus" {
  description = "GPUs beyond those of desired_count that a rollout may use. 0: old tasks are stopped before new ones start."
  type        = number
  default     = 1
}

variable "minimum_healthy_percent" {
  description = "Overrides the percentage derived from spare_gpus."
  type        = number
  default     = null
}

variable "maximum_percent" {
  description = "Overrides the percentage derived from spare_gpus."
  type        = number
  default     = null
}

variable "model_load_seconds" {
  description = "Longest time from the start of the container to its first healthy answer, measured. All health checks are derived from it."
  type        = number
  default     = 120
}

variable "request_timeout_seconds" {
  description = "Longest answer of the service. The load balancer waits as long for a silent answer, and old tasks keep their GPU as long to finish theirs."
  type        = number
  default     = 120
}

variable "health_check_interval_seconds" {
  description = "Seconds between two health checks of the load balancer."
  type        = number
  default     = 15
}

variable "slow_start_seconds" {
  description = "Seconds in which a new target's share of requests grows; 0 sends requests to the least busy target instead."
  type        = number
  default     = 60
}

variable "in_flight_per_task" {
  description = "Requests at work in one task at a time that autoscaling aims at."
  type        = number
  default     = 4
}

variable "server_error_alarm_count" {
  description = "Answers 5xx a minute, twice in a row, at which a deployment is rolled back."
  type        = number
  default     = 20
}

variable "roll_back_on_alarm" {
  description = "Have that alarm roll deployments back. AWS then watches each one for some minutes after its tasks are up; false for a trial that cannot wait."
  type        = bool
  default     = true
}

variable "network_mode" {
  description = "Network of the tasks: bridge (dynamic host ports) or awsvpc (an address of its own; as many tasks on an instance as it has network interfaces)."
  type        = string
  default     = "bridge"
}

variable "deployment_strategy" {
  description = "ROLLING or BLUE_GREEN. BLUE_GREEN needs desired_count × gpus_per_task spare GPUs and the AWS CLI (2.31 or newer) where Terraform runs."
  type        = string
  default     = "ROLLING"
}

variable "bake_time_minutes" {
  description = "How long BLUE_GREEN keeps the old version after the switch."
  type        = number
  default     = 10
}

variable "breaker_failures" {
  description = "Failed tasks at which the circuit breaker rolls back. Default: AWS's own, half of desired_count but 3 at least. Setting it needs the AWS CLI where Terraform runs."
  type        = number
  default     = null
}

variable "container_port" {
  description = "Port that the container listens on; it is told by PORT."
  type        = number
  default     = 8000

  validation {
    condition     = tostring(var.container_port) != lookup(var.environment, "METRICS_PORT", "9464")
    error_message = "container_port is the port of the metrics, which no load balancer may publish: take another one, or give environment = { METRICS_PORT = … }."
  }
}

variable "task_cpu" {
  description = "CPU units of a task (1024 = one vCPU)."
  type        = number
  default     = 2048
}

variable "task_memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 8192
}

# Models

variable "embedding_model" {
  description = "Model that turns documents and questions into vectors, of the service and of the ingest: `minilm`, a folder of the image, or a hub id, which is fetched at each start. Default: what the image says. Another one needs another index."
  type        = string
  default     = null
}

variable "reranker_model" {
  description = "Cross-encoder that orders what was found: a folder of the image or a hub id. Default: what the image says."
  type        = string
  default     = null
}

variable "generator" {
  description = "Language model that writes answers, behind an endpoint that speaks OpenAI's API: url is that endpoint, to which questions and passages go; with key its API key is a secret whose value you set. null: answers quote the sources, and there is no secret."
  type = object({
    url   = string
    model = optional(string, "gpt-4o-mini")
    key   = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.generator == null ? true : can(regex("^https?://[^/@]+", var.generator.url))
    error_message = "generator.url must be the base URL of an OpenAI-compatible endpoint, such as https://api.openai.com/v1, without a name or password in it."
  }

  validation {
    condition     = var.generator == null ? true : !(var.generator.key && startswith(var.generator.url, "http://") && !can(regex(local.inside, var.generator.url)))
    error_message = "generator.url is plain HTTP on the internet: the key would cross it in clear text. Use https://."
  }
}

variable "environment" {
  description = "Further environment variables of the service and of the ingest (example-service/README.md, \"Settings\"), by their names. Not for secrets: revisions and Terraform's state show them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "environment must have names of environment variables as keys, such as MAX_BATCH."
  }

  validation {
    condition     = length(setintersection([for name in keys(var.environment) : upper(name)], local.own_names)) == 0
    error_message = "environment sets ${join(", ", setintersection([for name in keys(var.environment) : upper(name)], local.own_names))}, which the stack sets itself: use the variable for it."
  }
}

# Images

variable "image_tag" {
  description = "Tag of the image in the first revision of the service and of the batch task; later ones are the workflow's. With `live-` in front the lifecycle policy keeps it, whatever becomes of the next ones."
  type        = string
  default     = "live-first"

  # Source: Amazon ECR, DescribeImages, the pattern of imageTag.
  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag))
    error_message = "image_tag must be a tag alone, such as live-first: up to 128 letters, digits, dots, hyphens and underscores, no dot or hyphen first."
  }
}

variable "image_tag_mutability" {
  description = "IMMUTABLE: a commit's image stays what it is. MUTABLE for the pattern with `latest`."
  type        = string
  default     = "IMMUTABLE"

  validation {
    condition     = contains(["IMMUTABLE", "MUTABLE"], var.image_tag_mutability)
    error_message = "image_tag_mutability must be IMMUTABLE or MUTABLE."
  }
}

variable "keep_images" {
  description = "Images kept that never ran (pushed, not tagged live-…)."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_images >= 1
    error_message = "keep_images must be 1 or more."
  }
}

variable "keep_live_images" {
  description = "Images kept that ran (tagged live-…): what runs and what a rollback may go back to."
  type        = number
  default     = 1000

  validation {
    condition     = var.keep_live_images >= 50
    error_message = "keep_live_images must be 50 or more: ECR does not know what runs, and an image that expires is missing at the next scale-out or rollback."
  }
}

# Batch

variable "batch_schedule" {
  description = "When an ingest is asked for without an upload, as an EventBridge Scheduler expression."
  type        = string
  default     = "cron(0 2 * * ? *)"
}

variable "batch_schedule_timezone" {
  description = "Time zone of batch_schedule. In one with summer time, 02:00 does not exist in one night of the year, and that run is left out."
  type        = string
  default     = "UTC"
}

variable "batch_command" {
  description = "Command of the ingest; the documents' URI is put behind it, and `--queue URL` in the service that uploads start."
  type        = list(string)
  default     = ["python", "-m", "rag_service.ingest"]

  validation {
    condition     = length(var.batch_command) > 0
    error_message = "batch_command must name a program: the documents' URI and --queue URL are put behind it."
  }
}

# Alerts, secrets and logs

variable "alert_emails" {
  description = "Who is told of failed ingests and deployments, dead letters and 5xx, by mail; each confirms it once. Others subscribe to the topic."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alert_emails must be mail addresses such as team@example.com."
  }
}

variable "kms_key_arn" {
  description = "Customer KMS key for the secret, the images, the documents, the queue, the alerts and the logs; its policy must let CloudWatch Logs, EventBridge (events.amazonaws.com) and alarms (cloudwatch.amazonaws.com) use it. Default: keys of AWS."
  type        = string
  default     = null

  # CloudWatch Logs takes the ARN of a key, and neither an alias nor a bare id.
  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias: aws kms describe-key --key-id alias/NAME shows it as Arn."
  }

  validation {
    condition     = var.kms_key_arn == null ? true : try(split(":", var.kms_key_arn)[3], "") == data.aws_region.current.name
    error_message = "kms_key_arn is of another Region: AWS encrypts with keys of its own, ${data.aws_region.current.name}."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30
}

variable "deletion_protection" {
  description = "Protect the load balancer, and keep a deleted secret for 30 days and buckets and repositories that hold something. false for a trial that is destroyed again."
  type        = bool
  default     = true
}

# Roles

variable "deregister_revisions" {
  description = "Let the deploy role deregister old revisions (`keep-revisions`) and see which ones schedules and rules run. AWS cannot restrict deregistering to one family."
  type        = bool
  default     = false
}
