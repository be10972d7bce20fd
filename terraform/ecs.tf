# The cluster, and each service of the Compose file that runs on Fargate.

resource "aws_ecs_cluster" "main" {
  name = local.name

  lifecycle {
    precondition {
      condition     = length(local.refused) == 0
      error_message = "AWS or this stack needs other names for the services ${join(", ", local.refused)}: none of ${join(", ", local.reserved)}, and no two hyphens in a row."
    }
    precondition {
      condition     = length(local.collisions) == 0
      error_message = "Two services would have the same ${join(" and the same ", local.collisions)}: change a letter of either name."
    }
  }

  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  configuration {
    execute_command_configuration {
      kms_key_id = aws_kms_key.main.arn
      logging    = "OVERRIDE"

      log_configuration {
        cloud_watch_encryption_enabled = true
        cloud_watch_log_group_name     = aws_cloudwatch_log_group.exec.name
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "exec" {
  name              = "/${var.stack}/${var.environment}/exec"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_ecs_cluster_capacity_providers" "main" {
  cluster_name       = aws_ecs_cluster.main.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_ecs_service" "main" {
  for_each = local.services

  name                              = each.key
  cluster                           = aws_ecs_cluster.main.id
  task_definition                   = aws_ecs_task_definition.placeholder[each.key].arn
  desired_count                     = each.value["x-aws"].scale.min
  platform_version                  = "LATEST"
  propagate_tags                    = "SERVICE"
  force_new_deployment              = true # or another spot_weight would delete the service and make a new one
  enable_execute_command            = var.exec
  availability_zone_rebalancing     = "ENABLED"
  health_check_grace_period_seconds = contains(keys(local.paths), each.key) ? 60 : null

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = contains(keys(local.deployment_alarms), each.key) ? [local.deployment_alarms[each.key]] : []

    content {
      enable      = true
      rollback    = true
      alarm_names = [for name in alarms.value : aws_cloudwatch_metric_alarm.main[name].alarm_name]
    }
  }

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = 1 # the first task of each service cannot be taken away
    weight            = 100 - var.spot_weight
  }

  dynamic "capacity_provider_strategy" {
    for_each = var.spot_weight > 0 ? [var.spot_weight] : []

    content {
      capacity_provider = "FARGATE_SPOT"
      weight            = capacity_provider_strategy.value
    }
  }

  network_configuration {
    subnets          = local.subnets.private
    security_groups  = [aws_security_group.service[each.key].id, aws_security_group.services.id]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = contains(keys(local.paths), each.key) ? [each.key] : []

    content {
      target_group_arn = aws_lb_target_group.service[each.key].arn
      container_name   = each.key
      container_port   = local.ports[each.key]
    }
  }

  service_connect_configuration {
    enabled   = local.connections[each.key].enabled
    namespace = local.connections[each.key].namespace

    dynamic "service" {
      for_each = local.connections[each.key].services

      content {
        port_name             = service.value.portName
        discovery_name        = service.value.discoveryName
        ingress_port_override = service.value.ingressPortOverride

        client_alias {
          port     = service.value.clientAliases[0].port
          dns_name = service.value.clientAliases[0].dnsName
        }
      }
    }
  }

  # A deploy sets what runs and its port, in one call, for ECS refuses a port that the running definition does not have. Autoscaling sets how many.
  lifecycle {
    ignore_changes = [task_definition, load_balancer, service_connect_configuration, desired_count]
  }

  # All that its first tasks need: they pull an image at once, and answer their health checks.
  depends_on = [
    aws_lb_listener_rule.path, aws_lb_listener_rule.host, aws_iam_role_policy.execution, aws_ecs_cluster_capacity_providers.main,
    aws_route.private, aws_route_table_association.private, aws_vpc_endpoint.interface, aws_vpc_endpoint.s3,
    aws_vpc_security_group_egress_rule.service_to_internet, aws_vpc_security_group_egress_rule.service_to_endpoints,
    aws_vpc_security_group_egress_rule.service_to_s3, aws_vpc_security_group_ingress_rule.endpoints_from_service,
    aws_vpc_security_group_egress_rule.load_balancer_to_service, aws_vpc_security_group_ingress_rule.service_from_load_balancer,
  ]
}

# --- Autoscaling -----------------------------------------------------------------------------------------------

resource "aws_appautoscaling_target" "service" {
  for_each = local.services

  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.main.name}/${aws_ecs_service.main[each.key].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = each.value["x-aws"].scale.min
  max_capacity       = each.value["x-aws"].scale.max
}

locals {
  scaling = merge([
    for name, service in local.services : {
      "${name}-cpu"    = { service = name, metric = "ECSServiceAverageCPUUtilization", percent = service["x-aws"].scale.cpu }
      "${name}-memory" = { service = name, metric = "ECSServiceAverageMemoryUtilization", percent = service["x-aws"].scale.memory }
    }
  ]...)
}

resource "aws_appautoscaling_policy" "service" {
  for_each = local.scaling

  name               = "${local.name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  resource_id        = aws_appautoscaling_target.service[each.value.service].resource_id
  scalable_dimension = "ecs:service:DesiredCount"

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.percent
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = each.value.metric
    }
  }
}
