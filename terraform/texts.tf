# Strings of the Compose file as Compose reads them: commands as lists, variables interpolated.

locals {
  # A command given as one string is split at blanks and line ends; `./inv plan` refuses quotes in it.
  commands = {
    for name, service in local.tasks : name => {
      for key in ["command", "entrypoint"] : key => [
        for word in try(tolist(service[key]), regexall("\\S+", service[key]), []) : tostring(word)
      ]
    }
  }
  checks = {
    for name, service in local.tasks : name => [
      for word in try(tolist(service.healthcheck.test), ["CMD-SHELL", service.healthcheck.test], []) : tostring(word)
    ]
  }

  # A mapping, or a list of KEY=value.
  labels = {
    for name, service in local.tasks : name => {
      for key, value in try(service.labels, {}) :
      (can(tonumber(key)) ? regex("^[^=]*", value) : key) => tostring(
        can(tonumber(key)) ? try(regex("=(.*)$", value)[0], "") : value == null ? "" : value
      )
    }
  }

  # All values with variables, and the same values interpolated as Compose does.
  texts = toset(compact(concat(
    flatten([for values in values(local.written) : values(values)]),
    flatten([for lists in values(local.commands) : values(lists)]),
    flatten(values(local.checks)),
    flatten([for labels in values(local.labels) : values(labels)]),
    flatten([for service in values(local.tasks) : [for key in ["image", "user", "working_dir"] : try(tostring(service[key]), "")]]),
  )))
  text = {
    for text in concat([""], tolist(local.texts)) : text => join("", [
      for part in regexall("[$][{][^}]*[}]|[$][$]|[$][A-Za-z_][A-Za-z_0-9]*|[^$]+|[$]", text) :
      can(regex("^[$][{A-Za-z_]", part)) ? lookup(
        local.settings, try(regex("^[$][{]?([A-Za-z_0-9]+)", part)[0], ""), try(regex(":?-([^}]*)[}]$", part)[0], "")
      ) : part == "$$" ? "$" : part
    ])
  }
}
