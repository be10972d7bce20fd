# What a container may do. The Compose file's own keys decide. By default the root file system is read-only with a /tmp, and there are
# no capabilities, unless `x-aws.hardened` is false.

locals {
  hardened  = { for name, service in local.tasks : name => try(tobool(service["x-aws"].hardened), true) }
  read_only = { for name, service in local.tasks : name => coalesce(try(tobool(service.read_only), null), local.hardened[name]) }

  # Fargate can drop any capability and add only one. So default capabilities that should stay are not dropped.
  by_default = toset([
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT",
  ])
  granted = toset(["SYS_PTRACE"])
  added   = { for name, service in local.tasks : name => [for each in try(service.cap_add, []) : trimprefix(upper(each), "CAP_")] }
  dropped = {
    for name, service in local.tasks : name => [
      for each in try([for each in service.cap_drop : each], local.hardened[name] ? ["ALL"] : []) : trimprefix(upper(each), "CAP_")
    ]
  }
  kept = { for name in keys(local.tasks) : name => contains(local.added[name], "ALL") ? local.by_default : setintersection(local.added[name], local.by_default) }
  capabilities = {
    for name in keys(local.tasks) : name => {
      add = sort(setintersection(local.added[name], local.granted))
      drop = sort(
        contains(local.dropped[name], "ALL") && length(local.kept[name]) > 0 ? setsubtract(local.by_default, local.kept[name]) : local.dropped[name]
      )
    }
  }

  # Folders in memory, and how many MiB each has: "/tmp", "/cache:size=128m".
  mounted = {
    for name, service in local.tasks : name => concat(
      flatten([try(service.tmpfs, [])]),
      local.hardened[name] && !can(tobool(service.read_only)) && !contains(
        [for text in flatten([try(service.tmpfs, [])]) : trimsuffix(split(":", text)[0], "/")], "/tmp"
      ) ? ["/tmp"] : [],
    )
  }
  units = { "" = 1 / 1048576, b = 1 / 1048576, k = 1 / 1024, m = 1, g = 1024 }
  temporary = {
    for name, texts in local.mounted : name => {
      for text in texts : split(":", text)[0] => try(
        max(1, ceil(tonumber(regex("size=(\\d+)", text)[0]) * local.units[lower(regex("size=\\d+([bkmgBKMG]?)", text)[0])])), 64
      )
    }
  }
}
