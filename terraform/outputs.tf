# Values for people and deploys.

output "url" {
  description = "The stack's URL."
  value       = local.url
}

output "load_balancer" {
  description = "The target for a DNS record of `domain`."
  value       = local.balancer.dns_name
}

output "github_roles" {
  description = "The roles for the workflows: AWS_PLAN_ROLE_… and AWS_DEPLOY_ROLE."
  value       = { plan = one([for role in aws_iam_role.plan : role.arn]), deploy = one([for role in aws_iam_role.deploy : role.arn]) }
}

output "given_secrets" {
  description = "Given secrets: the variable, and the name of the parameter that must hold its value."
  value       = local.given_secrets
}

output "compositions" {
  description = "Values that have a secret in them: the parameter, and its text with {NAME} for the value of the secret of that name. No values."
  value = [
    for id, each in local.compositions : {
      parameter = aws_ssm_parameter.composed[id].name
      key       = aws_kms_key.main.arn
      text      = each.text
      secrets   = { for variable in each.secrets : variable => try(local.existing_secrets[variable].arn, "/${var.stack}/${var.environment}/${variable}") }
    }
  ]
}

output "release" {
  description = "Everything a deploy needs; it contains no secrets. Its shape is a contract with stackhand/release."
  value = {
    stack        = var.stack
    environment  = var.environment
    region       = var.region
    account      = local.account
    url          = local.url
    cluster      = aws_ecs_cluster.main.name
    architecture = var.architecture
    services = {
      for name, service in local.services : name => {
        service           = aws_ecs_service.main[name].name
        container         = name
        repository        = contains(local.built, name) ? { name = local.image_repositories[name].name, url = local.image_repositories[name].url } : null
        task_definition   = local.templates[name]
        target_group      = try(aws_lb_target_group.service[name].arn, null)
        port              = try(local.ports[name], null)
        connection        = local.connections[name]
        health_path       = try(local.health[name], null)
        paths             = try(local.paths[name], [])
        host              = try(local.hosts[name], [])
        subnets           = local.subnets.private
        security_groups   = [aws_security_group.service[name].id, aws_security_group.services.id]
        log_group         = aws_cloudwatch_log_group.service[name].name
        log_stream_prefix = "task"
        min               = service["x-aws"].scale.min
        max               = service["x-aws"].scale.max
        probe             = try(service["x-aws"].probe, true)
        migrate           = try(service["x-aws"].release.command, null)
        migrate_timeout   = try(service["x-aws"].release.timeout, null)
      }
    }
    jobs = {
      for name, job in local.jobs : name => {
        container         = name
        task_definition   = local.templates[name]
        image_of          = local.image_of[name]
        services          = local.waiting[name]
        subnets           = local.subnets.private
        security_groups   = [aws_security_group.service[name].id]
        log_group         = aws_cloudwatch_log_group.service[name].name
        log_stream_prefix = "task"
        timeout           = try(job["x-aws"].release.timeout, null)
        schedule          = contains(keys(local.scheduled), name) ? { name = name, group = local.name, expression = job["x-aws"].schedule } : null
      }
    }
  }
}
