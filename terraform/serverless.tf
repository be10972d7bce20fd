# What AWS sizes by itself (x-aws.class: serverless): Aurora PostgreSQL, which pauses while nobody is connected, and Valkey by what is stored and asked.
# An emulator has neither, so there they are instances: database.tf and cache.tf.

# --- Aurora PostgreSQL Serverless v2 -----------------------------------------------------------------------------

resource "aws_rds_cluster_parameter_group" "main" {
  for_each = local.clusters

  name   = "${local.names.database[each.key]}-aurora16"
  family = "aurora-postgresql16"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "500"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_rds_cluster" "main" {
  #checkov:skip=CKV_AWS_327: with the account's own key aws/rds, as in database.tf: the environment's key would take every snapshot along
  #checkov:skip=CKV2_AWS_8: it keeps automated backups, and leaves a last snapshot; a plan of AWS Backup is for its owner
  #checkov:skip=CKV_AWS_324: what is logged is exported; a log of each query would cost more than the database
  for_each = local.clusters

  cluster_identifier  = local.names.database[each.key]
  snapshot_identifier = lookup(var.snapshot_identifiers, each.key, null)

  engine         = "aurora-postgresql"
  engine_mode    = "provisioned" # of Serverless v2; "serverless" was its predecessor
  engine_version = "16"

  serverlessv2_scaling_configuration {
    min_capacity             = each.value["x-aws"].capacity.min
    max_capacity             = each.value["x-aws"].capacity.max
    seconds_until_auto_pause = each.value["x-aws"].capacity.min > 0 ? null : each.value["x-aws"].capacity.pause
  }

  database_name              = local.database_names[each.key]
  master_username            = local.database_users[each.key]
  master_password_wo         = ephemeral.random_password.secret[local.cluster_secrets[each.key]].result
  master_password_wo_version = var.secrets_version

  db_subnet_group_name            = aws_db_subnet_group.main[local.name].name
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.main[each.key].name
  vpc_security_group_ids          = [aws_security_group.data[each.key].id]
  storage_encrypted               = true

  backup_retention_period      = var.database_backup_days
  preferred_backup_window      = "02:00-03:00"
  preferred_maintenance_window = "sun:03:30-sun:04:30"
  apply_immediately            = var.apply_immediately
  copy_tags_to_snapshot        = true
  delete_automated_backups     = false
  deletion_protection          = var.deletion_protection #checkov:skip=CKV_AWS_139: off where the environment is made to be thrown away
  skip_final_snapshot          = var.final_snapshot == null
  final_snapshot_identifier    = var.final_snapshot == null ? null : "${local.names.database[each.key]}-${var.final_snapshot}"

  iam_database_authentication_enabled = true
  enabled_cloudwatch_logs_exports     = ["postgresql"]

  depends_on = [aws_cloudwatch_log_group.cluster]

  lifecycle {
    ignore_changes = [snapshot_identifier] # it counts only when the cluster is created

    precondition {
      condition = alltrue([
        can(regex("^[A-Za-z][A-Za-z0-9_]{0,62}$", local.database_names[each.key])), can(regex("^[A-Za-z][A-Za-z0-9_]{0,15}$", local.database_users[each.key])),
        !contains(["admin", "rdsadmin", "public", "user"], lower(local.database_users[each.key])), !startswith(lower(local.database_users[each.key]), "pg_"),
      ])
      error_message = "Aurora refuses POSTGRES_DB=${local.database_names[each.key]} or POSTGRES_USER=${local.database_users[each.key]}: both are letters, digits and underscores (a user up to 16), and admin, user, rdsadmin, public and pg_... are reserved."
    }
  }
}

# Enhanced Monitoring and Performance Insights would keep its capacity up.
resource "aws_rds_cluster_instance" "main" {
  #checkov:skip=CKV_AWS_118: enhanced monitoring would keep the capacity above its minimum
  #checkov:skip=CKV_AWS_353: performance insights would keep the capacity above its minimum
  for_each = merge([
    for name, cluster in local.clusters : { for number in range(1, var.database_multi_az ? 3 : 2) : "${name}-${number}" => name }
  ]...)

  identifier                 = replace("${local.name}-${each.key}", "_", "-")
  cluster_identifier         = aws_rds_cluster.main[each.value].id
  engine                     = "aurora-postgresql"
  instance_class             = "db.serverless"
  ca_cert_identifier         = "rds-ca-rsa2048-g1"
  publicly_accessible        = false
  promotion_tier             = 1 # a standby with 0 or 1 has the capacity of the writer, and pauses with it
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately
}

# RDS would create it itself and keep everything for ever.
resource "aws_cloudwatch_log_group" "cluster" {
  for_each = local.clusters

  name              = "/aws/rds/cluster/${local.names.database[each.key]}/postgresql"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_ssm_parameter" "cluster" {
  for_each = local.cluster_secrets

  name             = "/${var.stack}/${var.environment}/${each.value}"
  description      = "Password of the database ${each.key}"
  type             = "SecureString"
  key_id           = aws_kms_key.main.arn
  value_wo         = ephemeral.random_password.secret[each.value].result
  value_wo_version = aws_rds_cluster.main[each.key].master_password_wo_version

  lifecycle {
    ignore_changes       = [key_id, description, tier, type, data_type, allowed_pattern] # with a new one the provider would send an empty value
    replace_triggered_by = [aws_rds_cluster.main[each.key].cluster_resource_id]
  }
}

# --- ElastiCache Serverless --------------------------------------------------------------------------------------

# It knows no password of its own, but users: this one is who asks with a password and no name.
resource "aws_elasticache_user" "main" {
  for_each = local.serverless_caches

  user_id              = local.names.cache[each.key]
  user_name            = "default"
  engine               = "valkey"
  access_string        = "on ~* &* +@all"
  passwords_wo         = ephemeral.random_password.secret[local.serverless_secrets[each.key]].result
  passwords_wo_version = var.secrets_version
}

resource "aws_elasticache_user_group" "main" {
  for_each = local.serverless_caches

  user_group_id = local.names.cache[each.key]
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.main[each.key].user_id]
}

resource "aws_elasticache_serverless_cache" "main" {
  for_each = local.serverless_caches

  name                 = local.names.cache[each.key]
  description          = "The cache ${each.key}"
  engine               = "valkey"
  major_engine_version = "8"

  # What is over it is evicted, the least recently used first.
  cache_usage_limits {
    data_storage {
      maximum = try(each.value["x-aws"].storage, 5)
      unit    = "GB"
    }
  }

  subnet_ids         = slice(local.subnets.data, 0, min(3, length(local.subnets.data)))
  security_group_ids = [aws_security_group.data[each.key].id]
  user_group_id      = aws_elasticache_user_group.main[each.key].user_group_id
  kms_key_id         = aws_kms_key.main.arn

  snapshot_retention_limit = 1
  daily_snapshot_time      = "02:00"
}

resource "aws_ssm_parameter" "serverless" {
  for_each = local.serverless_secrets

  name             = "/${var.stack}/${var.environment}/${each.value}"
  description      = "Password of the cache ${each.key}"
  type             = "SecureString"
  key_id           = aws_kms_key.main.arn
  value_wo         = ephemeral.random_password.secret[each.value].result
  value_wo_version = aws_elasticache_user.main[each.key].passwords_wo_version

  lifecycle {
    ignore_changes       = [key_id, description, tier, type, data_type, allowed_pattern] # with a new one the provider would send an empty value
    replace_triggered_by = [aws_elasticache_user.main[each.key].arn]
  }
}
