# Passwords and tokens, stored in SSM and in no state or plan. `generated` secrets are created here; a new `secrets_version` replaces them.
# `given` secrets are stored by a person; Terraform knows only their names and never creates, reads, changes or deletes them.

locals {
  # The password variable of each database and cache: the one that its own service has in the Compose file.
  own_secrets = {
    for name in keys(merge(local.databases, local.clusters, local.caches, local.serverless_caches)) :
    name => try([for each in values(local.secret_values[name]) : each if try(var.secrets[each], "") != "given"][0], "${upper(name)}_PASSWORD")
  }
  database_secrets   = { for name in keys(local.databases) : name => local.own_secrets[name] }
  cluster_secrets    = { for name in keys(local.clusters) : name => local.own_secrets[name] }
  cache_secrets      = { for name in keys(local.caches) : name => local.own_secrets[name] }
  serverless_secrets = { for name in keys(local.serverless_caches) : name => local.own_secrets[name] }
  other_secrets = setsubtract(
    toset(flatten([for name in keys(local.tasks) : concat(values(local.secret_values[name]), values(local.parts[name])...)])),
    toset(concat(values(local.own_secrets), keys(local.existing_secrets))),
  )
  generated_secrets = toset([for each in local.other_secrets : each if try(var.secrets[each], "") == "generated"])
  given_secrets     = { for each in setsubtract(local.other_secrets, local.generated_secrets) : each => "/${var.stack}/${var.environment}/${each}" }

  parameters = merge(
    { for name, variable in local.database_secrets : variable => aws_ssm_parameter.database[name].arn },
    { for name, variable in local.cluster_secrets : variable => aws_ssm_parameter.cluster[name].arn },
    { for name, variable in local.cache_secrets : variable => aws_ssm_parameter.cache[name].arn },
    { for name, variable in local.serverless_secrets : variable => aws_ssm_parameter.serverless[name].arn },
    { for variable in local.generated_secrets : variable => aws_ssm_parameter.other[variable].arn },
    { for variable, name in local.given_secrets : variable => "arn:aws:ssm:${var.region}:${local.account}:parameter${name}" },
    { for variable, secret in local.existing_secrets : variable => secret.arn },
    { for id, parameter in aws_ssm_parameter.composed : id => parameter.arn },
  )

  # Values that are more than one secret, such as a URL with a password: what each is made of, for stackhand/infrastructure/secrets.py.
  compositions = merge([
    for name, values in local.parts : {
      for key, variables in values : "composed/${name}.${key}" => { text = local.texts[name][key], secrets = variables }
    }
  ]...)
}

# Which of them each task reads at its start, and so which ones the role may read that starts it.
locals {
  read_by_services = toset(flatten([for name in keys(local.services) : values(local.secrets[name])]))
  read_by_jobs     = { for name in keys(local.jobs) : name => toset(values(local.secrets[name])) }

  # What holds each: SSM, or Secrets Manager where an owner keeps a password there (the secret, without a key of its JSON); and its own key, if any.
  of_ssm     = { for variable, arn in local.parameters : variable => arn if !contains(keys(local.of_manager), variable) }
  of_manager = { for variable, secret in local.existing_secrets : variable => join(":", slice(split(":", secret.arn), 0, 7)) if strcontains(secret.arn, ":secretsmanager:") }
  keys_of    = { for variable, secret in local.existing_secrets : variable => secret.key if secret.key != null }
}

# A new value in each run, used only if a version has changed.
ephemeral "random_password" "secret" {
  for_each = toset(concat(values(local.own_secrets), tolist(local.generated_secrets)))

  length  = 40
  special = false # goes into URLs as it is
}

# Written after the database, and again whenever the database is: a run that stops between the two is completed by the next one.
resource "aws_ssm_parameter" "database" {
  for_each = local.database_secrets

  name             = "/${var.stack}/${var.environment}/${each.value}"
  description      = "Password of the database ${each.key}"
  type             = "SecureString"
  key_id           = aws_kms_key.main.arn
  value_wo         = ephemeral.random_password.secret[each.value].result
  value_wo_version = aws_db_instance.main[each.key].password_wo_version

  lifecycle {
    ignore_changes       = [key_id, description, tier, type, data_type, allowed_pattern] # with a new one the provider would send an empty value
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
    ignore_changes       = [key_id, description, tier, type, data_type, allowed_pattern] # with a new one the provider would send an empty value
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

  lifecycle {
    ignore_changes = [key_id, description, tier, type, data_type, allowed_pattern] # as above
  }
}

# A deploy writes the value, after each apply and from what the parameters above have: so it is in no state or plan, and follows a rotation.
resource "aws_ssm_parameter" "composed" {
  for_each = toset(flatten([for name, values in local.composed : [for key in keys(values) : "composed/${name}.${key}"]]))

  name             = "/${var.stack}/${var.environment}/${each.key}"
  description      = "A value with a secret in it: ${each.key}"
  type             = "SecureString"
  key_id           = aws_kms_key.main.arn
  value_wo         = "not composed yet"
  value_wo_version = 1

  lifecycle {
    ignore_changes = [key_id, description, tier, type, data_type, allowed_pattern] # as above
  }
}
