# The alarms that fail a rollout while it lasts (deployment_alarms): ECS then goes back by itself, as after tasks that do not start.

locals {
  # An alarm that rings before a rollout begins does not count for it: ECS leaves that one out.
  deployment_alarms = !var.deployment_alarms || local.emulated ? {} : {
    for name in keys(local.services) : name => (
      !contains(keys(local.paths), name) ? ["${name}-memory"] :
      local.own_balancer ? ["errors", "refused", "latency", "${name}-unhealthy"] : ["${name}-errors", "${name}-latency", "${name}-unhealthy"]
    )
  }
}
