locals {
  # Closed until somebody is let in: by network, or by the load balancer's login.
  ingress_cidrs = length(var.ingress_cidrs) == 0 && var.login != null ? ["0.0.0.0/0"] : distinct(var.ingress_cidrs)
}

# Load balancer, and what it reaches. In bridge mode a container gets a port of the instance's ephemeral range,
# in awsvpc mode its own port on an address of its own.

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-alb"
  description = "Load balancer"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-alb" }
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  # checkov:skip=CKV_AWS_260: port 80 only redirects where there is a certificate; who may come was said
  for_each = {
    for pair in setproduct(local.ingress_cidrs, var.http_only ? [80] : [80, 443]) :
    "${pair[0]}:${pair[1]}" => { cidr = pair[0], port = pair[1] }
  }
  security_group_id = aws_security_group.load_balancer.id
  description       = "Clients"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "Tasks"
  referenced_security_group_id = local.awsvpc ? aws_security_group.tasks[0].id : var.instances_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.awsvpc ? var.container_port : 32768
  to_port                      = local.awsvpc ? var.container_port : 65535
}

# The load balancer itself exchanges the code of a login for its token.
resource "aws_vpc_security_group_egress_rule" "login" {
  count             = var.login == null ? 0 : 1
  security_group_id = aws_security_group.load_balancer.id
  description       = "Identity provider"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "instances" {
  count                        = local.awsvpc ? 0 : 1
  security_group_id            = var.instances_security_group_id
  description                  = "Load balancer to dynamic host ports"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = 32768
  to_port                      = 65535
}

resource "aws_security_group" "tasks" {
  # checkov:skip=CKV2_AWS_5: attached to the service's and the batch tasks' network interfaces in awsvpc mode
  count       = local.awsvpc ? 1 : 0
  name        = "${var.name}-tasks"
  description = "Tasks with an address of their own"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-tasks" }
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  count                        = local.awsvpc ? 1 : 0
  security_group_id            = aws_security_group.tasks[0].id
  description                  = "Load balancer to the container's port"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = var.container_port
  to_port                      = var.container_port
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  # checkov:skip=CKV_AWS_382: the way out ends at the VPC's endpoints unless nat_gateway opens it
  count             = local.awsvpc ? 1 : 0
  security_group_id = aws_security_group.tasks[0].id
  description       = "Out"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
