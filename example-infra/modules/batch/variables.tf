variable "name" {
  description = "Name of the task, its family and its log group; NAME-queue and NAME-failures are its queues."
  type        = string
}

variable "cluster_arn" {
  description = "Cluster that the task runs in."
  type        = string
}

variable "capacity_provider" {
  description = "Capacity provider that gives the task its instance."
  type        = string
}

variable "requires_compatibilities" {
  description = "What the revisions must fit: EC2, or null for ECS Managed Instances."
  type        = list(string)
  default     = ["EC2"]
}

variable "network_mode" {
  description = "Network of the task: bridge or awsvpc."
  type        = string
  default     = "bridge"
}

variable "subnet_ids" {
  description = "Subnets of the task with awsvpc."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Security groups of the task with awsvpc."
  type        = list(string)
  default     = []
}

variable "execution_role_arn" {
  description = "Role with which ECS starts the task."
  type        = string
}

variable "task_role_arn" {
  description = "The task's own role."
  type        = string
}

variable "container" {
  description = "The container definition, without name, command and log: image, cpu, memory, resourceRequirements, environment."
  type        = any
}

variable "command" {
  description = "Command of the container. The service puts `--queue URL` behind it."
  type        = list(string)
}

variable "bucket" {
  description = "Bucket whose changes ask for an ingest."
  type        = string
}

variable "prefix" {
  description = "Keys whose changes ask for an ingest."
  type        = string
  default     = "documents/"
}

variable "schedule" {
  description = "When the task runs, as an EventBridge Scheduler expression."
  type        = string
  default     = "cron(0 2 * * ? *)"

  validation {
    condition     = can(regex("^(cron|rate|at)\\(.+\\)$", var.schedule))
    error_message = "schedule must be cron(…), rate(…) or at(…), such as cron(0 2 * * ? *)."
  }
}

variable "schedule_timezone" {
  description = "Time zone of schedule. In one with summer time, 02:00 does not exist in one night of the year, and that run is left out."
  type        = string
  default     = "UTC"
}

variable "idle_minutes" {
  description = "Minutes without a message after which the service gives its GPU back."
  type        = number
  default     = 15

  validation {
    condition     = var.idle_minutes >= 5 && var.idle_minutes <= 1440 && floor(var.idle_minutes) == var.idle_minutes
    error_message = "idle_minutes must be a whole number from 5 (a message that is tried again waits so long) to 1440, what an alarm looks back."
  }
}

variable "alerts_topic_arn" {
  description = "SNS topic that hears of a task that failed or could not be started."
  type        = string
}

variable "kms_key_arn" {
  description = "Customer KMS key of the queue and the log. Default: keys of AWS."
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
