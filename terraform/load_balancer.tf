# The entry point: one address, and the paths of each service.

locals {
  url = (
    local.emulated ? "${trimsuffix(var.aws_endpoint, "/")}/_alb/${local.balancer.name}" :
    !local.secure ? "http://${local.balancer.dns_name}" : "https://${var.domain}${local.door_port == 443 ? "" : ":${local.door_port}"}"
  )

  # The same address for tasks.
  url_of_tasks = (
    local.emulated ? "${trimsuffix(coalesce(var.aws_endpoint_of_tasks, var.aws_endpoint), "/")}/_alb/${local.balancer.name}" : local.url
  )

  # The paths of health checks, without a query: in a rule, its "?" would match any letter.
  asked = { for name, path in local.health : name => split("?", path)[0] }

  # Each path and its service, without those that have host names (hosts.tf). The path of a service's health check always leads to that service.
  routes = merge(
    {
      for name, path in local.asked : path => name
      if contains(keys(local.paths), name) && !contains(keys(local.hosts), name) && path != "/" && length([for other in values(local.asked) : other if other == path]) == 1
    },
    merge([for name, paths in local.paths : { for path in paths : path => name } if !contains(keys(local.hosts), name)]...),
  )

  # Longer literal paths are tried first, and a complete path before one with a star. A path's number does not depend on other paths.
  # In a listener that exists there are others' rules, so ours have fewer numbers, and the owner says which.
  step   = local.own_balancer ? 1000 : 100
  offset = local.own_balancer ? 0 : var.rule_priority_offset
  written_out = {
    for path in keys(local.routes) : path => min(48, strcontains(path, "*") ? length(split("*", path)[0]) : length(path) + 1)
  }
  priorities = {
    for path, length in local.written_out : path => local.offset + (48 - length) * local.step + 1 + parseint(substr(sha1(path), 0, 8), 16) % local.step
  }

  # One of its own, or existing.tf.
  own_balancer    = var.load_balancer == null
  secure          = var.certificate_arn != null || var.certificate_domain != null || !local.own_balancer
  door_port       = local.own_balancer ? (local.secure ? 443 : 80) : var.listener_port
  certificate_arn = try(data.aws_acm_certificate.existing[0].arn, var.certificate_arn)
  balancer = {
    for key in ["name", "dns_name", "zone_id", "arn_suffix"] : key => local.own_balancer ? aws_lb.main[0][key] : data.aws_lb.existing[0][key]
  }
  listener_arn = one(concat(
    [for listener in aws_lb_listener.https : listener.arn], local.secure ? [] : aws_lb_listener.http[*].arn, data.aws_lb_listener.existing[*].arn
  ))
}

resource "aws_lb" "main" {
  #checkov:skip=CKV2_AWS_20: it redirects where there is a certificate; production has one
  #checkov:skip=CKV2_AWS_28: a web application firewall costs more than this stack; associate one when there is something to protect
  count = local.own_balancer ? 1 : 0

  name                       = local.name
  load_balancer_type         = "application"
  internal                   = false
  subnets                    = local.subnets.public
  security_groups            = aws_security_group.load_balancer[*].id
  enable_deletion_protection = var.deletion_protection #checkov:skip=CKV_AWS_150: off where the environment is made to be thrown away
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"

  access_logs {
    bucket  = aws_s3_bucket.access_logs[0].id
    enabled = true
  }

  depends_on = [aws_s3_bucket_policy.access_logs]
}

resource "aws_lb_listener" "http" {
  #checkov:skip=CKV_AWS_103: port 80 has no TLS; with a certificate it only redirects
  count = local.own_balancer ? 1 : 0

  load_balancer_arn = aws_lb.main[0].arn
  port              = 80
  protocol          = "HTTP" #checkov:skip=CKV_AWS_2: redirects where there is a certificate; production has one

  dynamic "default_action" {
    for_each = local.secure ? [] : ["answer"]

    content {
      type = "fixed-response"

      fixed_response {
        content_type = "text/plain"
        message_body = "no service has this path"
        status_code  = "404"
      }
    }
  }

  dynamic "default_action" {
    for_each = local.secure ? ["redirect"] : []

    content {
      type = "redirect"

      redirect {
        port        = "443"
        protocol    = "HTTPS"
        status_code = "HTTP_301"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  for_each = toset(local.own_balancer && local.secure ? ["https"] : [])

  load_balancer_arn = aws_lb.main[0].arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = local.certificate_arn

  # On every response, also of services that do not set it.
  routing_http_response_strict_transport_security_header_value = "max-age=31536000"

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "no service has this path"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_rule" "path" {
  for_each = local.routes

  listener_arn = local.listener_arn
  priority     = local.priorities[each.key]

  condition {
    path_pattern {
      values = [each.key]
    }
  }

  # In a listener that exists, other host names are somebody else's.
  dynamic "condition" {
    for_each = local.own_balancer ? [] : [var.domain]

    content {
      host_header {
        values = [condition.value]
      }
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service[each.value].arn
  }

  lifecycle {
    precondition {
      condition     = length([for priority in local.all_priorities : priority if priority == local.priorities[each.key]]) == 1
      error_message = "Another path has the number that ${each.key} would get: change a letter of either."
    }
  }
}

resource "aws_lb_target_group" "service" {
  for_each = local.paths

  name                 = local.names.target_group[each.key]
  vpc_id               = local.vpc_id
  target_type          = "ip"
  port                 = local.ports[each.key]
  protocol             = "HTTP" #checkov:skip=CKV_AWS_378: TLS ends at the load balancer; behind it is our own network
  deregistration_delay = 30

  # Shallow: it checks the task, not its database; otherwise a database outage would stop every task.
  health_check {
    path                = local.health[each.key]
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  lifecycle {
    # A target has the port of its task, so a release changes the port within the group: tasks on the old one are served until they end.
    ignore_changes = [name, port]
  }
}
