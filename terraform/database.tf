# PostgreSQL 16, for each service of the Compose file with `managed: rds`.

resource "aws_db_subnet_group" "main" {
  for_each = toset(length(merge(local.databases, local.clusters)) > 0 ? [local.name] : [])

  name       = each.key
  subnet_ids = local.subnets.data
}

resource "aws_db_parameter_group" "main" {
  for_each = local.databases

  name   = "${local.names.database[each.key]}-16"
  family = "postgres16"

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

resource "aws_db_instance" "main" {
  #checkov:skip=CKV_AWS_157: a standby doubles the price; database_multi_az enables it, and production does
  for_each = local.databases

  identifier          = local.names.database[each.key]
  snapshot_identifier = lookup(var.snapshot_identifiers, each.key, null)

  engine         = "postgres"
  engine_version = "16"
  instance_class = each.value["x-aws"].class == "serverless" ? "db.t4g.micro" : each.value["x-aws"].class # of an emulator

  db_name             = local.database_names[each.key]
  username            = local.database_users[each.key]
  password_wo         = ephemeral.random_password.secret[local.database_secrets[each.key]].result
  password_wo_version = var.secrets_version

  allocated_storage     = try(each.value["x-aws"].storage, 20)
  max_allocated_storage = try(each.value["x-aws"].storage, 20) * 5
  storage_type          = "gp3"
  storage_encrypted     = true # with the account's own key aws/rds: the environment's key goes with it, and would take every snapshot along

  db_subnet_group_name   = aws_db_subnet_group.main[local.name].name
  vpc_security_group_ids = [aws_security_group.data[each.key].id]
  parameter_group_name   = aws_db_parameter_group.main[each.key].name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  publicly_accessible    = false
  multi_az               = var.database_multi_az

  backup_retention_period    = var.database_backup_days
  backup_window              = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately
  copy_tags_to_snapshot      = true
  delete_automated_backups   = false                   # they stay for their days: a database that gives way may start from one of them
  deletion_protection        = var.deletion_protection #checkov:skip=CKV_AWS_293: off where the environment is made to be thrown away
  skip_final_snapshot        = var.final_snapshot == null
  final_snapshot_identifier  = var.final_snapshot == null ? null : "${local.names.database[each.key]}-${var.final_snapshot}"

  iam_database_authentication_enabled   = true
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = aws_kms_key.main.arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn

  tags = { for snapshot in compact([lookup(var.snapshot_identifiers, each.key, null)]) : "RestoredFrom" => snapshot } # RDS itself does not tell

  depends_on = [aws_cloudwatch_log_group.database]

  lifecycle {
    # These count only when the database is created: a later change must not replace, and so delete, the existing database.
    ignore_changes = [snapshot_identifier, tags["RestoredFrom"]]

    precondition {
      condition = alltrue([
        can(regex("^[A-Za-z][A-Za-z0-9_]{0,62}$", local.database_names[each.key])), can(regex("^[A-Za-z][A-Za-z0-9_]{0,62}$", local.database_users[each.key])),
        !contains(["admin", "rdsadmin", "public", "user"], lower(local.database_users[each.key])), !startswith(lower(local.database_users[each.key]), "pg_"),
      ])
      error_message = "RDS refuses POSTGRES_DB=${local.database_names[each.key]} or POSTGRES_USER=${local.database_users[each.key]}: both are letters, digits and underscores, and admin, user, rdsadmin, public and pg_... are reserved."
    }
  }
}

# RDS would create them itself and keep everything for ever.
resource "aws_cloudwatch_log_group" "database" {
  for_each = merge([for name in keys(local.databases) : { for log in ["postgresql", "upgrade"] : "${name}/${log}" => "${local.names.database[name]}/${log}" }]...)

  name              = "/aws/rds/instance/${each.value}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_iam_role" "monitoring" {
  name               = "${local.name}-database-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_trust.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

data "aws_iam_policy_document" "monitoring_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}
