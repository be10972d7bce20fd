# Services reach each other by their names in the Compose file: http://api:4000 leads to a proxy in the caller's own task, and from there to
# a task of the service, within the network. Only tasks of ECS services have the proxy: a job has none.

resource "aws_service_discovery_http_namespace" "main" {
  name        = local.name
  description = "Names of the services of ${local.name}"
}

locals {
  # What the proxy makes of the traffic. ECS never changes it once a service has been made: x-aws.protocol keeps what is there.
  protocols = { for name in keys(local.ports) : name => try(local.services[name]["x-aws"].protocol, can(local.services[name]["x-health"]) ? "http" : "tcp") }

  # As UpdateService takes it. Terraform only makes a service with it; each release sends it with the definition that has the port.
  connections = {
    for name, service in local.services : name => {
      enabled   = true
      namespace = aws_service_discovery_http_namespace.main.arn
      services = [
        for port in try([local.ports[name]], []) : {
          portName            = name
          discoveryName       = name
          clientAliases       = [{ port = port, dnsName = name }]
          ingressPortOverride = local.proxy_port
          # Without a limit a request may take as long as it takes in Compose; AWS would end it after 15 seconds.
          timeout = merge(
            { idleTimeoutSeconds = max(3600, try(service["x-aws"].timeout, 0)) },
            { for seconds in [try(service["x-aws"].timeout, 0)] : "perRequestTimeoutSeconds" => seconds if local.protocols[name] != "tcp" },
          )
        }
      ]
    }
  }

  # Of the proxies, whatever the services listen at: so a release may change a port, and the load balancer asks tasks themselves.
  proxy_port = 16000
}
