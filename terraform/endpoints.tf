# With nat = "none": the AWS services that a task on Fargate needs, reached from inside the network.

locals {
  reached = var.nat != "none" ? [] : concat(["ecr.api", "ecr.dkr", "logs", "ssm", "kms"], var.exec ? ["ssmmessages"] : [], length(local.of_manager) > 0 ? ["secretsmanager"] : [])
}

resource "aws_vpc_endpoint" "interface" {
  for_each = toset(local.reached)

  vpc_id              = local.vpc_id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = local.subnets.private
  security_group_ids  = [for group in aws_security_group.endpoints : group.id]

  tags = { Name = "${local.name}-${each.key}" }
}

# Image layers are in S3. This endpoint is free, and with a NAT gateway it saves traffic.
resource "aws_vpc_endpoint" "s3" {
  count = local.own_network ? 1 : 0

  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]

  tags = { Name = "${local.name}-s3" }
}
