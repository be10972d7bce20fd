# Databases and caches that exist, by the service that they stand in for (existing_databases, existing_caches). They are read: none is made, changed,
# deleted, saved or watched here. Only a rule in the first security group of each lets in the services that need it.

locals {
  existing_databases = { for name in keys(local.all_databases) : name => var.existing_databases[name] if contains(keys(var.existing_databases), name) }
  existing_caches    = { for name in keys(local.all_caches) : name => var.existing_caches[name] if contains(keys(var.existing_caches), name) }

  # The password of each: the variable that its own service has in the Compose file, or the one called after it, and where its owner keeps it.
  existing_secrets = {
    for name, each in merge(local.existing_databases, local.existing_caches) :
    try(values(local.secret_values[name])[0], "${upper(name)}_PASSWORD") => { arn = each.password, key = each.kms_key } if each.password != null
  }

  existing_addresses = merge(
    { for name, each in data.aws_db_instance.existing : name => each.address },
    { for name, each in data.aws_rds_cluster.existing : name => each.endpoint },
    { for name, each in data.aws_elasticache_replication_group.existing : name => coalesce(each.primary_endpoint_address, each.configuration_endpoint_address) },
    { for name, each in data.aws_elasticache_serverless_cache.existing : name => each.endpoint.address },
  )
  existing_ports = merge(
    { for name, each in data.aws_db_instance.existing : name => each.port },
    { for name, each in data.aws_rds_cluster.existing : name => each.port },
    { for name, each in data.aws_elasticache_replication_group.existing : name => each.port },
    { for name, each in data.aws_elasticache_serverless_cache.existing : name => each.endpoint.port },
  )
  existing_groups = {
    for name, groups in merge(
      { for name, each in data.aws_db_instance.existing : name => each.vpc_security_groups },
      { for name, each in data.aws_rds_cluster.existing : name => each.vpc_security_group_ids },
      { for name, each in data.aws_elasticache_cluster.existing : name => each.security_group_ids },
      { for name, each in data.aws_elasticache_serverless_cache.existing : name => each.security_group_ids },
    ) : name => try(sort(groups)[0], null)
  }
}

# --- Databases -------------------------------------------------------------------------------------------------

data "aws_db_instance" "existing" {
  for_each = { for name, each in local.existing_databases : name => each.instance if each.instance != null }

  db_instance_identifier = each.value

  lifecycle {
    postcondition {
      condition     = self.engine == "postgres" && length(self.vpc_security_groups) > 0
      error_message = "${each.value}, for ${each.key}, has to be PostgreSQL with a security group of its network; it is ${self.engine}."
    }
    postcondition {
      condition     = coalesce(self.db_cluster_identifier, "-") == "-"
      error_message = "${each.value}, for ${each.key}, is an instance of a cluster, which may be replaced: name the cluster, existing_databases = { ${each.key} = { cluster = ... } }."
    }
  }
}

data "aws_rds_cluster" "existing" {
  for_each = { for name, each in local.existing_databases : name => each.cluster if each.cluster != null }

  cluster_identifier = each.value

  lifecycle {
    postcondition {
      condition     = contains(["aurora-postgresql", "postgres"], self.engine) && length(self.vpc_security_group_ids) > 0
      error_message = "${each.value}, for ${each.key}, has to be PostgreSQL with a security group of its network; it is ${self.engine}."
    }
  }
}

# --- Caches ----------------------------------------------------------------------------------------------------

data "aws_elasticache_replication_group" "existing" {
  for_each = { for name, each in local.existing_caches : name => each.replication_group if each.replication_group != null }

  replication_group_id = each.value

  lifecycle {
    postcondition {
      condition     = !self.auth_token_enabled || var.existing_caches[each.key].password != null
      error_message = "${each.value}, for ${each.key}, has a password: name where it is, existing_caches = { ${each.key} = { password = \"arn:...\" } }."
    }
    postcondition {
      condition     = !self.auth_token_enabled || var.existing_caches[each.key].tls
      error_message = "${each.value}, for ${each.key}, has a password, and so takes TLS alone: leave tls out."
    }
  }
}

# The group of nodes does not tell its security groups, and each node does.
data "aws_elasticache_cluster" "existing" {
  for_each = data.aws_elasticache_replication_group.existing

  cluster_id = sort(each.value.member_clusters)[0]
}

data "aws_elasticache_serverless_cache" "existing" {
  for_each = { for name, each in local.existing_caches : name => each.serverless if each.serverless != null }

  name = each.value

  lifecycle {
    postcondition {
      condition     = contains(["valkey", "redis"], self.engine)
      error_message = "${each.value}, for ${each.key}, has to be Valkey or Redis OSS; it is ${self.engine}."
    }
  }
}
