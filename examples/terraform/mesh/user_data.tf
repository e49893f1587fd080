# docs/join.md and examples/join/user-data say what is in it, and who can read it: on GCP
# every account that may list instances, so no secret is in it. The router makes its SSH
# host key and publishes the public half where nobody else can write: docs/discovery.md.
locals {
  join_files = { for path in var.join_sources : "/etc/wgmesh/${basename(path)}" => file(path) }

  user_data = {
    for name in keys(local.own) : name => join("\n", ["#cloud-config", yamlencode(merge(
      {
        hostname = name
      },
      length(var.join_sources) == 0 ? {} : {
        write_files = concat(
          [for path, content in local.join_files : { path = path, permissions = "0644", content = content }],
          # The last one, since the join begins when it is there.
          [{
            path        = "/etc/wgmesh/join.yml"
            permissions = "0644"
            content     = yamlencode({ router = name, inventory = keys(local.join_files) })
          }],
        )
      },
    ))])
  }
}
