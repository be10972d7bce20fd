# Internal names, for services that show the health of others: web.stackhand-staging.internal.

locals {
  internal   = "${local.name}.internal"
  discovered = local.emulated ? {} : { for name, path in local.health : name => path if contains([for each in local.watched : each.name], name) }
}

resource "aws_service_discovery_private_dns_namespace" "main" {
  for_each = toset(length(local.discovered) > 0 ? [local.internal] : [])

  name        = each.key
  description = "Services of ${local.name}"
  vpc         = local.vpc_id
}

resource "aws_service_discovery_service" "service" {
  for_each = local.discovered

  name          = each.key
  description   = "Addresses of the tasks of ${each.key}"
  force_destroy = true

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.main[local.internal].id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}
