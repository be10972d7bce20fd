# Three tiers in each zone: public (load balancer, NAT), private (tasks), data (databases and caches, without an egress route).

locals {
  gateways = local.own_network ? { none = [], single = slice(local.zones, 0, 1), per_az = local.zones, regional = ["regional"] }[var.nat] : []
  regional = var.nat == "regional" # one for the whole network: AWS extends it to each zone that has tasks, and gives it its addresses

  # Those of an existing network are in existing.tf.
  own_network = var.vpc_id == null
  own_zones   = local.own_network ? local.zones : []
  vpc_id      = local.own_network ? one(aws_vpc.main[*].id) : one(data.aws_vpc.existing[*].id)
  subnets = {
    for tier, made in { public = aws_subnet.public, private = aws_subnet.private, data = aws_subnet.data } :
    tier => local.own_network ? [for subnet in made : subnet.id] : try(var.subnets[tier], [])
  }
}

resource "aws_vpc" "main" {
  #checkov:skip=CKV2_AWS_12: its default group is closed in security_groups.tf; checkov does not follow an index
  count = local.own_network ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = local.name }
}

resource "aws_subnet" "public" {
  for_each = { for index, zone in local.own_zones : zone => index }

  vpc_id                  = aws_vpc.main[0].id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.vpc_cidr, 8, each.value)
  map_public_ip_on_launch = false

  tags = { Name = "${local.name}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each = { for index, zone in local.own_zones : zone => index }

  vpc_id            = aws_vpc.main[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, each.value + 1)

  tags = { Name = "${local.name}-private-${each.key}" }
}

resource "aws_subnet" "data" {
  for_each = { for index, zone in local.own_zones : zone => index }

  vpc_id            = aws_vpc.main[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 8, each.value + 8)

  tags = { Name = "${local.name}-data-${each.key}" }
}

resource "aws_internet_gateway" "main" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.main[0].id

  tags = { Name = local.name }
}

resource "aws_route_table" "public" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.main[0].id

  tags = { Name = "${local.name}-public" }
}

resource "aws_route" "public" {
  count = local.own_network ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main[0].id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_eip" "nat" {
  for_each = toset(local.regional ? [] : local.gateways)

  domain = "vpc"

  tags = { Name = "${local.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "main" {
  for_each = toset(local.gateways)

  availability_mode = local.regional ? "regional" : "zonal"
  vpc_id            = local.regional ? aws_vpc.main[0].id : null
  allocation_id     = local.regional ? null : aws_eip.nat[each.key].id
  subnet_id         = local.regional ? null : aws_subnet.public[each.key].id
  depends_on        = [aws_internet_gateway.main]

  tags = { Name = "${local.name}-${each.key}" }
}

resource "aws_route_table" "private" {
  for_each = toset(local.own_zones)

  vpc_id = aws_vpc.main[0].id

  tags = { Name = "${local.name}-private-${each.key}" }
}

resource "aws_route" "private" {
  for_each = toset(var.nat == "none" ? [] : local.own_zones)

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = try(aws_nat_gateway.main[each.key], one(values(aws_nat_gateway.main))).id
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[each.key].id
}

# Only the network's own route.
resource "aws_route_table" "data" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.main[0].id

  tags = { Name = "${local.name}-data" }
}

resource "aws_route_table_association" "data" {
  for_each = aws_subnet.data

  subnet_id      = each.value.id
  route_table_id = aws_route_table.data[0].id
}

resource "aws_flow_log" "main" {
  count = local.own_network ? 1 : 0

  vpc_id                   = aws_vpc.main[0].id
  traffic_type             = "REJECT" # what is let through is in the load balancer's log; all traffic would cost $0.50 per GB of records
  log_destination          = aws_cloudwatch_log_group.flow[0].arn
  iam_role_arn             = aws_iam_role.flow[0].arn
  max_aggregation_interval = 600
}

resource "aws_cloudwatch_log_group" "flow" {
  count = local.own_network ? 1 : 0

  name              = "/${var.stack}/${var.environment}/network"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_iam_role" "flow" {
  count = local.own_network ? 1 : 0

  name               = "${local.name}-flow-log"
  assume_role_policy = data.aws_iam_policy_document.flow_trust.json
}

resource "aws_iam_role_policy" "flow" {
  count = local.own_network ? 1 : 0

  name   = "write"
  role   = aws_iam_role.flow[0].name
  policy = data.aws_iam_policy_document.flow.json
}

data "aws_iam_policy_document" "flow_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "flow" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = [for group in aws_cloudwatch_log_group.flow : "${group.arn}:*"]
  }
}
