# Valkey, which speaks the Redis protocol, for each service of the Compose file with `managed: elasticache`.

resource "aws_elasticache_subnet_group" "main" {
  for_each = toset(length(local.caches) > 0 ? [local.name] : [])

  name       = each.key
  subnet_ids = local.subnets.data
}

resource "aws_elasticache_parameter_group" "main" {
  for_each = local.caches

  name   = "${local.hyphenated[each.key]}-valkey8"
  family = "valkey8"

  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lru" # a cache: what was not used for long makes room
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_elasticache_replication_group" "main" {
  #checkov:skip=CKV2_AWS_50: a cache may be empty after a failure; cache_replicas sets the replicas to fail over to
  #checkov:skip=CKV_AWS_31: its password is auth_token_wo, which checkov does not know
  for_each = local.caches

  replication_group_id = local.names.cache[each.key]
  description          = "The cache ${each.key}"
  engine               = "valkey" # an existing cache of Redis OSS becomes one in place: ElastiCache keeps its data and its address
  engine_version       = "8.0"
  node_type            = each.value["x-aws"].class == "serverless" ? "cache.t4g.micro" : each.value["x-aws"].class # of an emulator
  port                 = 6379

  num_cache_clusters         = 1 + var.cache_replicas
  automatic_failover_enabled = var.cache_replicas > 0
  multi_az_enabled           = var.cache_replicas > 0

  subnet_group_name    = aws_elasticache_subnet_group.main[local.name].name
  security_group_ids   = [aws_security_group.data[each.key].id]
  parameter_group_name = aws_elasticache_parameter_group.main[each.key].name

  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.main.arn
  transit_encryption_enabled = true
  auth_token_wo              = ephemeral.random_password.secret[local.cache_secrets[each.key]].result
  auth_token_wo_version      = var.secrets_version
  auth_token_update_strategy = "ROTATE" # the old one goes on working until the next rotation

  snapshot_retention_limit   = 1
  snapshot_window            = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  auto_minor_version_upgrade = false # a later minor version is an edit above: Terraform would want to go back from one that came by itself
  apply_immediately          = true
}
