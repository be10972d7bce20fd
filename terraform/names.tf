# Names that AWS limits or reserves. One that is too long is cut, and ends in a hash of the whole, so that no two are the same.

locals {
  # For load balancers, RDS and ElastiCache, whose names have no underscores. Everything else has the name of the Compose file.
  hyphenated = { for name in keys(merge(local.tasks, local.all_databases, local.all_caches)) : name => "${local.name}-${replace(name, "_", "-")}" }

  names = {
    for kind, each in {
      target_group = { most = 32, services = keys(local.paths) }
      cache        = { most = 40, services = keys(merge(local.caches, local.serverless_caches)) }
      database     = { most = 63, services = keys(merge(local.databases, local.clusters)) }
    } :
    kind => {
      for service in each.services : service => (
        length(local.hyphenated[service]) <= each.most ? local.hyphenated[service] :
        "${trimsuffix(substr(local.hyphenated[service], 0, each.most - 7), "-")}-${substr(sha1("${local.name}-${service}"), 0, 6)}"
      )
    }
  }
  collisions = [for kind, names in local.names : kind if length(distinct(values(names))) < length(names)]

  # Names of services that would meet a name of ours, or that AWS refuses: two hyphens in a row are none for RDS and ElastiCache.
  reserved = ["endpoints", "exec", "load-balancer", "network", "services"]
  refused  = [for name in keys(merge(local.tasks, local.all_databases, local.all_caches)) : name if contains(local.reserved, name) || strcontains(name, "--")]

  # As the image on a laptop has them: the user is postgres, and the database has the user's name.
  database_users = { for name in keys(merge(local.databases, local.clusters)) : name => coalesce(try(local.filled[name].POSTGRES_USER, ""), "postgres") }
  database_names = { for name in keys(merge(local.databases, local.clusters)) : name => coalesce(try(local.filled[name].POSTGRES_DB, ""), local.database_users[name]) }
}
