# The environment of each service on Fargate: that of the Compose file, with the addresses and secrets of the cloud.

locals {
  # Values that are one secret variable and nothing else, and the others.
  secret_values = { for name, service in merge(local.tasks, local.databases, local.caches) : name => try(service.secrets, {}) }
  filled        = { for name, service in merge(local.tasks, local.databases, local.caches) : name => try(service.environment, {}) }

  # The address of another service, by its form in the Compose file. One on Fargate is reached through the load balancer, at its paths.
  neighbours = merge(
    { for name, database in aws_db_instance.main : "${name}:5432" => "${database.address}:${database.port}" },
    { for name, cache in aws_elasticache_replication_group.main : "${name}:6379" => "${cache.primary_endpoint_address}:6379" },
    { for name, port in local.ports : "http://${name}:${port}" => local.url_of_tasks },
  )

  callers = toset([
    for name in keys(local.tasks) : name
    if anytrue([
      for pair in setproduct(values(local.filled[name]), keys(local.ports)) : strcontains(pair[0], "http://${pair[1]}:${local.ports[pair[1]]}")
    ])
  ])

  placed = {
    for name in keys(local.tasks) : name => {
      for key, value in local.filled[name] : key => join("", [
        for part in regexall("http://[A-Za-z0-9_.-]+:[0-9]+|[A-Za-z0-9_.-]+:[0-9]+|.", value) : lookup(local.neighbours, part, part)
      ])
    }
  }

  # All traffic is encrypted: a client of a database or cache gets the settings for TLS and for verifying the server.
  database_keys = {
    for name in keys(local.tasks) : name => [
      for key, value in local.filled[name] : key
      if can(regex("^postgres(ql)?://", value)) && anytrue([for database in keys(local.databases) : strcontains(value, "${database}:5432")])
    ]
  }
  cache_keys = {
    for name in keys(local.tasks) : name => [
      for key, value in local.filled[name] : key
      if startswith(value, "redis://") && anytrue([for cache in keys(local.caches) : strcontains(value, "${cache}:6379")])
    ]
  }
  database_tls = {
    for name, service in local.tasks : name => try("sslmode=verify-full&sslrootcert=${service["x-aws"].ca}", "sslmode=require")
  }

  own_urls = {
    for name, port in local.ports : name => local.emulated ? local.url_of_tasks : "http://${name}.${local.internal}:${port}"
  }

  # Computed as on a laptop: every other service with a health path, at its own address.
  health_targets = {
    for watcher in local.watchers : watcher => join(",", [
      for target in local.watched : "${target.name}=${local.own_urls[target.name]}${target.path}" if target.watcher == watcher
    ])
  }

  environment = {
    for name, values in local.placed : name => merge(
      values,
      { for key in local.database_keys[name] : key => "${values[key]}${strcontains(values[key], "?") ? "&" : "?"}${local.database_tls[name]}" if !local.emulated },
      { for key in local.cache_keys[name] : key => replace(values[key], "/^redis:/", "rediss:") if !local.emulated },
      { for targets in [try(local.health_targets[name], null)] : "HEALTH_TARGETS" => targets if targets != null },
    )
  }

  # What is injected by ECS: the variable's name, and its parameter. (A cache of the emulator has no password.)
  secrets = {
    for name in keys(local.tasks) : name => {
      for key, variable in local.secret_values[name] : key => variable if !(local.emulated && contains(values(local.cache_secrets), variable))
    }
  }
}
