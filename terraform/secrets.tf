# Passwords and tokens, kept in SSM, in no state and no plan. What is `generated` is made here, and a new `secrets_version` makes new ones.
# What is `given` somebody has put there, and nothing here makes, reads, changes or deletes it: only its name is known.

locals {
  # The variable that is a database's or a cache's password: what its own service is given in the Compose file.
  database_secrets = {
    for name in keys(local.databases) : name => try([for each in values(local.secret_values[name]) : each if try(local.kinds[each], "") != "given"][0], "${upper(name)}_PASSWORD")
  }
  cache_secrets = {
    for name in keys(local.caches) : name => try([for each in values(local.secret_values[name]) : each if try(local.kinds[each], "") != "given"][0], "${upper(name)}_PASSWORD")
  }
  other_secrets = setsubtract(
    toset(flatten([for name in keys(local.tasks) : values(local.secret_values[name])])),
    toset(concat(values(local.database_secrets), values(local.cache_secrets))),
  )
  generated_secrets = toset([for each in local.other_secrets : each if try(local.kinds[each], "") == "generated"])
  given_secrets     = { for each in setsubtract(local.other_secrets, local.generated_secrets) : each => "/${var.stack}/${var.environment}/${each}" }

  parameters = merge(
    { for name, variable in local.database_secrets : variable => aws_ssm_parameter.database[name].arn },
    { for name, variable in local.cache_secrets : variable => aws_ssm_parameter.cache[name].arn },
    { for variable in local.generated_secrets : variable => aws_ssm_parameter.other[variable].arn },
    { for variable, name in local.given_secrets : variable => "arn:aws:ssm:${var.region}:${local.account}:parameter${name}" },
  )
}

# Which of them each task reads at its start, and so which ones the role may read that starts it.
locals {
  read_by_services = toset(flatten([for name in keys(local.services) : values(local.secrets[name])]))
  read_by_jobs     = { for name in keys(local.jobs) : name => toset(values(local.secrets[name])) }
}

# A new value at each run; it is used only where a version has changed.
ephemeral "random_password" "secret" {
  for_each = toset(concat(values(local.database_secrets), values(local.cache_secrets), tolist(local.generated_secrets)))

  length  = 40
  special = false # goes into URLs as it is
}

# Written after its database has it, and anew when that is: a run that stops between the two leaves both without, or is repeated with both.
resource "aws_ssm_parameter" "database" {
  for_each = local.database_secrets

  name             = "/${var.stack}/${var.environment}/${each.value}"
  description      = "Password of the database ${each.key}"
  type             = "SecureString"
  key_id           = aws_kms_key.main.arn
  value_wo         = ephemeral.random_password.secret[each.value].result
  value_wo_version = aws_db_instance.main[each.key].password_wo_version

  lifecycle {
    replace_triggered_by = [aws_db_instance.main[each.key].resource_id]
  }
}

resource "aws_ssm_parameter" "cache" {
  for_each = local.cache_secrets

  name             = "/${var.stack}/${var.environment}/${each.value}"
  description      = "Password of the cache ${each.key}"
  type             = "SecureString"
  key_id           = aws_kms_key.main.arn
  value_wo         = ephemeral.random_password.secret[each.value].result
  value_wo_version = var.secrets_version
  depends_on       = [aws_elasticache_replication_group.main]

  lifecycle {
    replace_triggered_by = [aws_elasticache_replication_group.main[each.key].id]
  }
}

resource "aws_ssm_parameter" "other" {
  for_each = local.generated_secrets

  name             = "/${var.stack}/${var.environment}/${each.value}"
  description      = "The setting ${each.value}"
  type             = "SecureString"
  key_id           = aws_kms_key.main.arn
  value_wo         = ephemeral.random_password.secret[each.value].result
  value_wo_version = var.secrets_version
}
