# Services with host names of their own (x-aws.host): rules of the load balancer that come before those of services without.

locals {
  hosts = { for name in keys(local.paths) : name => local.services[name]["x-aws"].host if length(try(local.services[name]["x-aws"].host, [])) > 0 }

  # AWS takes five values in a rule: a path and four host names. More of them are another rule, whose number depends on no other service.
  host_routes = merge([
    for name, hosts in local.hosts : merge([
      for path in local.paths[name] : {
        for index, some in chunklist(hosts, 4) : join(" ", compact([name, path, index == 0 ? "" : index + 1])) => { service = name, path = path, hosts = some }
      }
    ]...)
  ]...)

  # As in load_balancer.tf, and before: a rule there with a number as low has a path of more than 25 letters.
  host_priorities = {
    for key, route in local.host_routes : key => (
      local.offset + (22 - min(22, strcontains(route.path, "*") ? length(split("*", route.path)[0]) : length(route.path) + 1)) * local.step + 1 + parseint(substr(sha1(key), 0, 8), 16) % local.step
    )
  }
  all_priorities = concat(values(local.priorities), values(local.host_priorities))
}

resource "aws_lb_listener_rule" "host" {
  for_each = local.host_routes

  listener_arn = local.listener_arn
  priority     = local.host_priorities[each.key]

  condition {
    host_header {
      values = each.value.hosts
    }
  }

  condition {
    path_pattern {
      values = [each.value.path]
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service[each.value.service].arn
  }

  lifecycle {
    precondition {
      condition     = length([for priority in local.all_priorities : priority if priority == local.host_priorities[each.key]]) == 1
      error_message = "Another path has the number that ${each.key} would get: change a letter of either."
    }
    precondition {
      condition     = length([for path, length in local.written_out : path if length > 25]) == 0
      error_message = "A path of more than 25 letters would come before ${each.key}, which has a host name: give its service a host name too."
    }
  }
}

resource "aws_lb_listener_certificate" "host" {
  # Of a listener that exists, the certificate is its owner's, and ours comes beside it.
  for_each = toset(concat(var.certificate_arns, local.own_balancer ? [] : compact([local.certificate_arn])))

  listener_arn    = local.listener_arn
  certificate_arn = each.key
}
