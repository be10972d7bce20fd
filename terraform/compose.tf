# The services of the Compose files, as Compose resolves them. `./inv plan` validates them before Terraform gets them.

locals {
  # ECS services (a worker is one without a port), and services that AWS manages: made here, or named (existing_data.tf).
  services      = { for name, service in var.services : name => service if contains(["web", "worker"], service["x-aws"].kind) }
  all_databases = { for name, service in var.services : name => service if try(service["x-aws"].managed, "") == "rds" }
  all_caches    = { for name, service in var.services : name => service if try(service["x-aws"].managed, "") == "elasticache" }
  databases     = { for name, service in local.all_databases : name => service if !contains(concat(keys(var.existing_databases), local.serverless), name) }
  caches        = { for name, service in local.all_caches : name => service if !contains(concat(keys(var.existing_caches), local.serverless), name) }

  # What has no size of its own: serverless.tf.
  serverless        = [for name, service in merge(local.all_databases, local.all_caches) : name if service["x-aws"].class == "serverless" && !local.emulated]
  clusters          = { for name, service in local.all_databases : name => service if contains(local.serverless, name) && !contains(keys(var.existing_databases), name) }
  serverless_caches = { for name, service in local.all_caches : name => service if contains(local.serverless, name) && !contains(keys(var.existing_caches), name) }

  # Those that run to their end, before each rollout of the services that wait for them or by a schedule: a task, in the image of a service.
  jobs = { for name, service in var.services : name => service if service["x-aws"].kind == "job" }
  waiting = {
    for job in keys(local.jobs) : job => [
      for name, service in local.services : name if try(service.depends_on[job], "") == "service_completed_successfully"
    ]
  }
  image_of = {
    for job, service in local.jobs : job => try(service.image_of, local.waiting[job][0], null) # null: an image by its name
  }
  tasks = merge(local.services, local.jobs)

  ports = { for name, service in local.services : name => service["x-aws"].port if can(service["x-aws"].port) }
  built = toset([for name, service in local.services : name if can(service.build)])
  paths = { for name, service in local.services : name => try(service["x-aws"].paths, []) if length(try(service["x-aws"].paths, [])) > 0 }

  health = { for name, service in local.services : name => service["x-health"] if can(service["x-health"]) && contains(keys(local.ports), name) }

  # Services that show the health of others.
  watchers = toset([for name, service in local.services : name if can(service.environment.HEALTH_TARGETS)])

  # Which service uses which database and cache. (Of shop-a and b, and of shop and a-b, the keys would be one.)
  pairs = flatten([for name, service in local.tasks : [for need in try(service["x-aws"].needs, []) : { service = name, need = need }]])
  needs = {
    for pair in local.pairs :
    join(length([for each in local.pairs : each if "${each.service}-${each.need}" == "${pair.service}-${pair.need}"]) > 1 ? "/" : "-", [pair.service, pair.need]) => pair
  }
}
