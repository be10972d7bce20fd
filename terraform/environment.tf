# The environment of each service on Fargate: that of the Compose file, with the addresses and secrets of the cloud.

locals {
  # Values that are one secret variable and nothing else, and the others.
  secret_values = { for name, service in merge(local.tasks, local.databases, local.caches) : name => try(service.secrets, {}) }
  filled        = { for name, service in merge(local.tasks, local.databases, local.caches) : name => try(service.environment, {}) }

  # Values with a secret somewhere in them, as {NAME}, and those that are the name of a database or cache and nothing else.
  composed  = { for name, service in local.tasks : name => { for key, value in try(service.composed, {}) : key => value.text } }
  parts     = { for name, service in local.tasks : name => { for key, value in try(service.composed, {}) : key => value.secrets } }
  stand_ins = { for name, service in local.tasks : name => try(service.hosts, {}) }

  # Where a database or cache is, by its form in the Compose file. A service is reached by its name; from a job, which has no proxy, at
  # its paths, through the load balancer: by its own host name where it has one, for there its paths count under no other.
  addresses = merge(
    { for name, database in aws_db_instance.main : name => database.address },
    { for name, cache in aws_elasticache_replication_group.main : name => cache.primary_endpoint_address },
  )
  data = merge(
    { for name, database in aws_db_instance.main : "${name}:5432" => "${database.address}:${database.port}" },
    { for name, cache in aws_elasticache_replication_group.main : "${name}:6379" => "${cache.primary_endpoint_address}:6379" },
  )
  from_a_job = {
    for name in keys(local.paths) : "http://${name}:${local.ports[name]}" =>
    can(local.hosts[name]) ? "${var.certificate_arn == null ? "http" : "https"}://${local.hosts[name][0]}" : local.url_of_tasks if !local.emulated
  }
  neighbours = {
    for name in keys(local.tasks) : name => merge(local.data, { for form, url in local.from_a_job : form => url if contains(keys(local.jobs), name) })
  }

  callers = toset([
    for name in keys(local.jobs) : name
    if anytrue([for pair in setproduct(values(local.filled[name]), keys(local.from_a_job)) : strcontains(pair[0], pair[1])])
  ])

  placed = {
    for name in keys(local.tasks) : name => merge(
      {
        for key, value in merge(local.filled[name], local.composed[name]) : key => join("", [
          for part in regexall("http://[A-Za-z0-9_.-]+:[0-9]+|[A-Za-z0-9_.-]+:[0-9]+|(?s:.)", value) : lookup(local.neighbours[name], part, part)
        ])
      },
      { for key, other in local.stand_ins[name] : key => local.addresses[other] },
    )
  }

  # All traffic is encrypted: a client of a database or cache gets the settings for TLS and for verifying the server.
  database_keys = {
    for name in keys(local.tasks) : name => [
      for key, value in merge(local.filled[name], local.composed[name]) : key
      if can(regex("^postgres(ql)?://", value)) && anytrue([for database in keys(local.databases) : strcontains(value, "${database}:5432")])
    ]
  }
  cache_keys = {
    for name in keys(local.tasks) : name => [
      for key, value in merge(local.filled[name], local.composed[name]) : key
      if startswith(value, "redis://") && anytrue([for cache in keys(local.caches) : strcontains(value, "${cache}:6379")])
    ]
  }
  database_tls = {
    for name, service in local.tasks : name => local.emulated ? "sslmode=require" : try("sslmode=verify-full&sslrootcert=${service["x-aws"].ca}", "sslmode=require")
  }

  # Computed as on a laptop: every other service with a health path, by its name.
  health_targets = {
    for watcher in local.watchers : watcher => join(",", [
      for name, path in local.health : "${name}=http://${name}:${local.ports[name]}${path}" if name != watcher
    ])
  }

  texts = {
    for name, values in local.placed : name => merge(
      values,
      { for key in local.database_keys[name] : key => "${values[key]}${strcontains(values[key], "?") ? "&" : "?"}${local.database_tls[name]}" },
      { for key in local.cache_keys[name] : key => replace(values[key], "/^redis:/", "rediss:") },
      { for targets in [try(local.health_targets[name], null)] : "HEALTH_TARGETS" => targets if targets != null },
    )
  }

  environment = { for name, values in local.texts : name => { for key, value in values : key => value if !contains(keys(local.composed[name]), key) } }

  # What is injected by ECS: the variable's name, and its parameter.
  secrets = {
    for name in keys(local.tasks) : name => merge(
      local.secret_values[name],
      { for key in keys(local.composed[name]) : key => "composed/${name}.${key}" },
    )
  }
}
