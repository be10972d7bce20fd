# Things that exist and are named in the environment's file instead of made: a network, a load balancer, a certificate, the zone of host names.
# They are read, and never changed or deleted: only what is made in them is.

# --- A network -------------------------------------------------------------------------------------------------

data "aws_vpc" "existing" {
  count = local.own_network ? 0 : 1

  id = var.vpc_id

  lifecycle {
    postcondition {
      condition     = self.enable_dns_support && self.enable_dns_hostnames
      error_message = "The network ${var.vpc_id} needs enable_dns_support and enable_dns_hostnames: tasks find databases, caches and each other by name."
    }
  }
}

data "aws_subnet" "existing" {
  for_each = local.own_network ? {} : { for pair in flatten([for tier, ids in var.subnets : [for id in ids : { tier = tier, id = id }]]) : "${pair.tier} ${pair.id}" => pair }

  id = each.value.id

  lifecycle {
    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "The subnet ${each.value.id} is in the network ${self.vpc_id}, not in ${var.vpc_id}."
    }
  }
}

locals {
  # The load balancer and RDS refuse fewer than two.
  zones_of = { for tier in ["public", "private", "data"] : tier => distinct([for key, subnet in data.aws_subnet.existing : subnet.availability_zone if startswith(key, "${tier} ")]) }
}

resource "terraform_data" "existing_network" {
  count = local.own_network ? 0 : 1

  lifecycle {
    precondition {
      condition     = alltrue([for tier in concat(local.own_balancer ? ["public"] : [], ["data"]) : length(local.zones_of[tier]) > 1])
      error_message = "subnets.public and subnets.data each need subnets in two zones: ${jsonencode(local.zones_of)}."
    }
  }
}

# --- A load balancer and its HTTPS listener --------------------------------------------------------------------

data "aws_lb" "existing" {
  count = local.own_balancer ? 0 : 1

  name = var.load_balancer

  lifecycle {
    postcondition {
      condition     = self.load_balancer_type == "application" && self.vpc_id == var.vpc_id && length(self.security_groups) > 0
      error_message = "The load balancer ${var.load_balancer} has to be an application load balancer with a security group, in ${coalesce(var.vpc_id, "vpc_id")}; it is of type ${self.load_balancer_type}, in ${self.vpc_id}."
    }
  }
}

data "aws_lb_listener" "existing" {
  count = local.own_balancer ? 0 : 1

  load_balancer_arn = data.aws_lb.existing[0].arn
  port              = var.listener_port

  lifecycle {
    postcondition {
      condition     = self.protocol == "HTTPS"
      error_message = "Port ${var.listener_port} of ${var.load_balancer} speaks ${self.protocol}, not HTTPS: name the listener with a certificate by its listener_port."
    }
    postcondition {
      condition     = !contains(concat(var.certificate_arns, compact([local.certificate_arn])), self.certificate_arn)
      error_message = "The listener of ${var.load_balancer} has that certificate already: leave it out here, or its removal from this file would take it from the listener."
    }
  }
}

# --- A certificate by its name ---------------------------------------------------------------------------------

data "aws_acm_certificate" "existing" {
  count = var.certificate_domain == null ? 0 : 1

  domain      = var.certificate_domain
  statuses    = ["ISSUED"]
  most_recent = true # a renewal by a new request is a second one of the same name
}

# --- The zone of host names ------------------------------------------------------------------------------------

data "aws_route53_zone" "existing" {
  count = var.zone == null ? 0 : 1

  name         = var.zone
  private_zone = false
}

locals {
  # Those that are in the zone: others are somebody else's to point at the load balancer.
  named = toset(var.zone == null ? [] : [
    for name in concat(compact([var.domain]), flatten(values(local.hosts))) : name if name == coalesce(var.zone, "-") || endswith(name, ".${coalesce(var.zone, "-")}")
  ])
}

resource "aws_route53_record" "host" {
  for_each = local.named

  zone_id = data.aws_route53_zone.existing[0].zone_id
  name    = each.key
  type    = "A"

  alias {
    name                   = local.balancer.dns_name
    zone_id                = local.balancer.zone_id
    evaluate_target_health = false
  }
}
