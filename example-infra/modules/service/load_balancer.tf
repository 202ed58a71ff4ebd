resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_91: access logs need a bucket policy per Region; server_errors and the service's metrics tell more
  # checkov:skip=CKV_AWS_150: on unless deletion_protection = false
  # checkov:skip=CKV2_AWS_28: firewall_requests_per_minute adds one
  # checkov:skip=CKV2_AWS_76: no Java behind it; the optional firewall has one rule, the rate
  # checkov:skip=CKV2_AWS_20: redirects to HTTPS where there is a certificate
  name                       = "${var.name}-alb"
  load_balancer_type         = "application"
  subnets                    = var.public_subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  idle_timeout               = local.idle_timeout
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
}

resource "aws_lb_target_group" "service" {
  # checkov:skip=CKV_AWS_378: TLS ends at the load balancer; the way to the task stays inside the VPC
  for_each = toset(local.blue_green ? ["blue", "green"] : ["blue"])

  name                          = "${var.name}-${each.key}"
  vpc_id                        = var.vpc_id
  port                          = var.container_port
  protocol                      = "HTTP"
  target_type                   = local.awsvpc ? "ip" : "instance"
  deregistration_delay          = local.deregistration_delay
  slow_start                    = var.slow_start_seconds
  load_balancing_algorithm_type = local.load_balancing_algorithm

  # 200 alone: AWS would take 200 to 499.
  health_check {
    path                = local.health_check_path
    matcher             = "200"
    interval            = var.health_check_interval_seconds
    timeout             = local.health_check_timeout
    healthy_threshold   = local.healthy_threshold
    unhealthy_threshold = local.unhealthy_threshold
  }

  stickiness {
    type    = "lb_cookie"
    enabled = false
  }
}

# With a certificate, port 80 only redirects.
resource "aws_lb_listener" "http" {
  # checkov:skip=CKV_AWS_2: redirects, or http_only was set
  # checkov:skip=CKV_AWS_103: redirects, or http_only was set
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  dynamic "default_action" {
    for_each = var.http_only ? [] : ["redirect"]

    content {
      type = "redirect"

      redirect {
        protocol    = "HTTPS"
        port        = "443"
        status_code = "HTTP_301"
      }
    }
  }

  dynamic "default_action" {
    for_each = var.http_only ? ["serve"] : []

    content {
      type             = local.blue_green ? "fixed-response" : "forward"
      target_group_arn = local.blue_green ? null : aws_lb_target_group.service["blue"].arn

      dynamic "fixed_response" {
        for_each = local.blue_green ? ["none"] : []

        content {
          content_type = "text/plain"
          status_code  = "503"
        }
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count             = var.http_only ? 0 : 1 # the certificate may be one that is made in the same apply
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  dynamic "default_action" {
    for_each = var.login == null ? [] : [var.login]

    content {
      type  = "authenticate-oidc"
      order = 1

      authenticate_oidc {
        issuer                     = default_action.value.issuer
        authorization_endpoint     = default_action.value.authorization_endpoint
        token_endpoint             = default_action.value.token_endpoint
        user_info_endpoint         = default_action.value.user_info_endpoint
        client_id                  = default_action.value.client_id
        client_secret              = default_action.value.client_secret
        scope                      = default_action.value.scope
        on_unauthenticated_request = "authenticate"
      }
    }
  }

  default_action {
    order            = var.login == null ? null : 2
    type             = local.blue_green ? "fixed-response" : "forward"
    target_group_arn = local.blue_green ? null : aws_lb_target_group.service["blue"].arn

    dynamic "fixed_response" {
      for_each = local.blue_green ? ["none"] : []

      content {
        content_type = "text/plain"
        status_code  = "503"
      }
    }
  }
}

# Blue/green moves the weights of a rule, not of a listener's default action.
resource "aws_lb_listener_rule" "production" {
  count        = local.blue_green ? 1 : 0
  listener_arn = try(aws_lb_listener.https[0].arn, aws_lb_listener.http.arn)
  priority     = 100

  action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = { blue = 100, green = 0 }

        content {
          arn    = aws_lb_target_group.service[target_group.key].arn
          weight = target_group.value
        }
      }
    }
  }

  condition {
    path_pattern {
      values = ["/*"]
    }
  }

  lifecycle {
    ignore_changes = [action]
  }
}

# One address that asks too often is blocked until it asks less.
resource "aws_wafv2_web_acl" "this" {
  # checkov:skip=CKV_AWS_192: no Java behind it; the rate is what this firewall is for
  # checkov:skip=CKV2_AWS_31: blocked requests are counted in CloudWatch
  count = var.firewall_requests_per_minute == null ? 0 : 1
  name  = var.name
  scope = "REGIONAL"

  default_action {
    allow {}
  }

  rule {
    name     = "rate"
    priority = 1

    action {
      block {}
    }

    statement {
      rate_based_statement {
        aggregate_key_type    = "IP"
        evaluation_window_sec = 60
        limit                 = var.firewall_requests_per_minute
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-rate"
      sampled_requests_enabled   = true
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count        = length(aws_wafv2_web_acl.this)
  resource_arn = aws_lb.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this[0].arn
}
