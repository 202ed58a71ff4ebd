# What provider 5.100 has no arguments for: blue/green, and the breaker's threshold. Only where one of the two is asked
# for; then the AWS CLI is needed. UpdateService with a deployment configuration starts no deployment; with load
# balancers, which blue/green needs, it does: of the revision that runs.

locals {
  beyond_provider = local.blue_green || var.breaker_failures != null
}

resource "aws_iam_role" "load_balancer" {
  count = local.blue_green ? 1 : 0
  name  = "${var.name}-blue-green"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "load_balancer" {
  count      = local.blue_green ? 1 : 0
  role       = aws_iam_role.load_balancer[0].name
  policy_arn = "${local.arn}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
}

resource "terraform_data" "deployment_configuration" {
  count = local.beyond_provider ? 1 : 0

  input = {
    cluster = local.cluster
    service = aws_ecs_service.this.name
    configuration = jsonencode(merge(
      {
        maximumPercent        = local.maximum_percent
        minimumHealthyPercent = local.minimum_healthy_percent
        strategy              = var.deployment_strategy
        alarms = {
          alarmNames = [aws_cloudwatch_metric_alarm.server_errors.alarm_name]
          enable     = var.roll_back_on_alarm
          rollback   = var.roll_back_on_alarm
        }
        deploymentCircuitBreaker = {
          for key, value in {
            enable                 = true
            rollback               = true
            thresholdConfiguration = var.breaker_failures == null ? null : { type = "COUNT", value = var.breaker_failures }
          } : key => value if value != null
        }
      },
      { for key, value in { bakeTimeInMinutes = var.bake_time_minutes } : key => value if local.blue_green },
    ))
    load_balancers = local.blue_green ? jsonencode([{
      targetGroupArn = aws_lb_target_group.service["blue"].arn
      containerName  = local.container_name
      containerPort  = var.container_port
      advancedConfiguration = {
        alternateTargetGroupArn = aws_lb_target_group.service["green"].arn
        productionListenerRule  = aws_lb_listener_rule.production[0].arn
        roleArn                 = aws_iam_role.load_balancer[0].arn
      }
    }]) : ""
  }

  # The provider's own updates of the service send a configuration without these members; so this comes after each.
  triggers_replace = [
    aws_ecs_service.this.id,
    local.maximum_percent,
    local.minimum_healthy_percent,
    var.deployment_strategy,
    var.bake_time_minutes,
    var.breaker_failures,
    var.roll_back_on_alarm,
  ]

  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-ec"]
    command     = <<-SHELL
      set -- --cluster "$CLUSTER" --service "$SERVICE" --deployment-configuration "$CONFIGURATION"
      if [ -n "$LOAD_BALANCERS" ]; then set -- "$@" --load-balancers "$LOAD_BALANCERS"; fi
      aws ecs update-service "$@" --query service.deploymentConfiguration --output json
    SHELL

    environment = {
      AWS_REGION     = local.region
      CLUSTER        = self.input.cluster
      SERVICE        = self.input.service
      CONFIGURATION  = self.input.configuration
      LOAD_BALANCERS = self.input.load_balancers
    }
  }

  depends_on = [aws_iam_role_policy_attachment.load_balancer]
}
