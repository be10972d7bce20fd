# Allowed connections. Each line of this chain is one rule; everything else is closed.
#
#   internet -> load balancer -> a service with paths -> the databases and caches that it needs, also existing ones
#                                a service -> the proxy of another one

# The default group, for resources without one: no traffic in or out.
resource "aws_default_security_group" "closed" {
  count = local.own_network ? 1 : 0 # others may use that of an existing network

  vpc_id = local.vpc_id
}

resource "aws_security_group" "load_balancer" {
  count = local.own_balancer ? 1 : 0

  name        = "${local.name}-load-balancer"
  description = "The load balancer"
  vpc_id      = local.vpc_id
}

resource "aws_security_group" "service" {
  for_each = local.tasks

  name        = "${local.name}-${each.key}"
  description = "Tasks of ${each.key}"
  vpc_id      = local.vpc_id
}

# What every task of a service has beside its own: a job has not, for it has no proxy.
resource "aws_security_group" "services" {
  name        = "${local.name}-services"
  description = "Services that reach each other"
  vpc_id      = local.vpc_id
}

resource "aws_security_group" "data" {
  for_each = merge(local.databases, local.clusters, local.caches, local.serverless_caches)

  name        = "${local.name}-${each.key}"
  description = "The managed ${each.key}"
  vpc_id      = local.vpc_id
}

resource "aws_security_group" "endpoints" {
  for_each = toset(var.nat == "none" ? ["endpoints"] : [])

  name        = "${local.name}-endpoints"
  description = "AWS services reached from inside"
  vpc_id      = local.vpc_id
}

# --- Internet -> load balancer ---------------------------------------------------------------------------------

resource "aws_vpc_security_group_ingress_rule" "http" {
  count = local.own_balancer ? 1 : 0

  security_group_id = local.balancer_group
  description       = local.secure ? "HTTP from everywhere, to be redirected" : "HTTP from everywhere"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  cidr_ipv4         = "0.0.0.0/0" #checkov:skip=CKV_AWS_260: the front door; with a certificate it only redirects
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  for_each = toset(local.own_balancer && local.secure ? ["https"] : [])

  security_group_id = local.balancer_group
  description       = "HTTPS from everywhere"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

# --- Load balancer -> services with paths ----------------------------------------------------------------------
# At any port: a release may change it, and until then the load balancer must reach the tasks on the old one. It sends only to registered targets.

locals {
  # Of several groups of a load balancer that exists, one is enough for both rules.
  balancer_group = local.own_balancer ? aws_security_group.load_balancer[0].id : try(sort(data.aws_lb.existing[0].security_groups)[0], null)
}

resource "aws_vpc_security_group_egress_rule" "load_balancer_to_service" {
  for_each = local.paths

  security_group_id            = local.balancer_group
  description                  = "Requests to ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 0
  to_port                      = 65535
  referenced_security_group_id = aws_security_group.service[each.key].id
}

resource "aws_vpc_security_group_ingress_rule" "service_from_load_balancer" {
  #checkov:skip=CKV_AWS_24: only the load balancer, which sends requests to registered targets alone
  #checkov:skip=CKV_AWS_25: only the load balancer, which sends requests to registered targets alone
  #checkov:skip=CKV_AWS_260: only the load balancer, which sends requests to registered targets alone
  for_each = local.paths

  security_group_id            = aws_security_group.service[each.key].id
  description                  = "Requests from the load balancer"
  ip_protocol                  = "tcp"
  from_port                    = 0
  to_port                      = 65535
  referenced_security_group_id = local.balancer_group
}

# --- Services -> databases and caches --------------------------------------------------------------------------

resource "aws_vpc_security_group_egress_rule" "service_to_data" {
  for_each = local.needs

  security_group_id            = aws_security_group.service[each.value.service].id
  description                  = "To ${each.value.need}"
  ip_protocol                  = "tcp"
  from_port                    = local.data_ports[each.value.need]
  to_port                      = local.data_ports[each.value.need]
  referenced_security_group_id = local.data_groups[each.value.need]
}

resource "aws_vpc_security_group_ingress_rule" "data_from_service" {
  for_each = local.needs

  security_group_id            = local.data_groups[each.value.need]
  description                  = "From ${each.value.service}"
  ip_protocol                  = "tcp"
  from_port                    = local.data_ports[each.value.need]
  to_port                      = local.data_ports[each.value.need]
  referenced_security_group_id = aws_security_group.service[each.value.service].id
}

locals {
  data_groups = merge({ for name, group in aws_security_group.data : name => group.id }, local.existing_groups)
  data_ports  = merge({ for name in keys(merge(local.databases, local.clusters)) : name => 5432 }, { for name in keys(merge(local.caches, local.serverless_caches)) : name => 6379 }, local.existing_ports)
}

# --- Services -> services, by their proxies (service_connect.tf) -----------------------------------------------

resource "aws_vpc_security_group_egress_rule" "services_to_services" {
  security_group_id            = aws_security_group.services.id
  description                  = "To the proxy of another service"
  ip_protocol                  = "tcp"
  from_port                    = local.proxy_port
  to_port                      = local.proxy_port
  referenced_security_group_id = aws_security_group.services.id
}

resource "aws_vpc_security_group_ingress_rule" "services_from_services" {
  security_group_id            = aws_security_group.services.id
  description                  = "From the proxy of another service"
  ip_protocol                  = "tcp"
  from_port                    = local.proxy_port
  to_port                      = local.proxy_port
  referenced_security_group_id = aws_security_group.services.id
}

# --- Services -> AWS (images, logs, parameters) ----------------------------------------------------------------

resource "aws_vpc_security_group_egress_rule" "service_to_internet" {
  for_each = toset(var.nat == "none" ? [] : keys(local.tasks))

  security_group_id = aws_security_group.service[each.key].id
  description       = "HTTPS: images, logs and parameters of AWS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

# A job reaches services through the load balancer; at port 443, by the rule above.
resource "aws_vpc_security_group_egress_rule" "job_to_services" {
  for_each = var.nat == "none" || local.door_port == 443 ? toset([]) : local.callers

  security_group_id = aws_security_group.service[each.key].id
  description       = "${local.secure ? "HTTPS" : "HTTP"}: services, through the load balancer"
  ip_protocol       = "tcp"
  from_port         = local.door_port
  to_port           = local.door_port
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "service_to_endpoints" {
  for_each = toset(var.nat == "none" ? keys(local.tasks) : [])

  security_group_id            = aws_security_group.service[each.key].id
  description                  = "HTTPS: images, logs and parameters of AWS"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.endpoints["endpoints"].id
}

resource "aws_vpc_security_group_egress_rule" "service_to_s3" {
  for_each = toset(var.nat == "none" ? keys(local.tasks) : [])

  security_group_id = aws_security_group.service[each.key].id
  description       = "HTTPS: the layers of images"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = aws_vpc_endpoint.s3[0].prefix_list_id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_service" {
  for_each = toset(var.nat == "none" ? keys(local.tasks) : [])

  security_group_id            = aws_security_group.endpoints["endpoints"].id
  description                  = "HTTPS from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.service[each.key].id
}
