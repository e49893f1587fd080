variables {
  inventory = "../inventory.yml"
  site      = "aws"
}

run "field_case" {
  command = plan

  assert {
    condition     = length(output.tunnels) == 12
    error_message = "two routers of seven have six tunnels each"
  }
  assert {
    condition     = toset([for tunnel in output.tunnels : tunnel.port if tunnel.router == "aws-1"]) == toset([51807, 51808, 51809, 51810, 51815, 51820])
    error_message = "ports of aws-1, id 5: tunnels 7 to 10, 15 and 20"
  }
  assert {
    condition     = output.tunnels["aws-1/gcp-1"].port == 51820 && output.tunnels["aws-1/aws-2"].port == output.tunnels["aws-2/aws-1"].port
    error_message = "a tunnel has one number at both ends, and between 5 and 7 it is 20"
  }
  assert {
    condition     = output.tunnels["aws-1/office-2"].endpoint == "192.0.2.12" && output.tunnels["aws-1/gcp-1"].endpoint == null
    error_message = "endpoints are those of the inventory"
  }
  assert {
    condition     = output.others == { "10.0.0.0/16" = "office", "10.1.0.0/16" = "azure", "10.3.0.0/16" = "gcp" }
    error_message = "the other sites' networks are not the site's own"
  }
  assert {
    condition     = output.zone_routers == { a = "aws-1", c = "aws-2" }
    error_message = "a zone's nodes send to the router of their zone"
  }
  assert {
    condition     = output.router_subnets == { a = "10.2.0.0/28", c = "10.2.0.16/28" }
    error_message = "a zone's routers are in the /28 of its gateway"
  }
  assert {
    condition     = output.joins == false && !strcontains(nonsensitive(output.user_data["aws-1"]), "join.yml")
    error_message = "without join_sources there is nothing of joining in user-data"
  }
}

run "other_shapes" {
  command = plan
  variables {
    inventory    = "tests/shapes.yml"
    site         = "b"
    join_sources = ["tests/shapes.yml"]
  }

  assert {
    condition     = output.zones == { x = ["10.2.1.0/24"], y = ["10.2.2.0/24", "10.2.3.0/24"] }
    error_message = "a zone may be a list, or a dictionary with networks"
  }
  assert {
    condition     = output.zone_routers == { x = "b1", y = "b1" }
    error_message = "a zone without a router has the site's first"
  }
  assert {
    condition     = output.router_subnets == { x = "10.2.0.0/28", y = "10.2.0.16/28" }
    error_message = "the zone's gateway counts, else the site's, and of two the IPv4 one"
  }
  assert {
    condition     = keys(output.tunnels) == ["b1/a1"] && output.tunnels["b1/a1"].port == 40001
    error_message = "an absent router has no tunnels, and mesh_port_base counts"
  }
  assert {
    condition     = output.networks == ["10.2.0.0/16"] && keys(output.others) == ["10.1.0.0/16"]
    error_message = "IPv6 networks are left out"
  }
  assert {
    condition = alltrue([
      for text in values(nonsensitive(output.user_data)) : toset(keys(yamldecode(text))) == toset(["hostname", "write_files"]) && !strcontains(text, "PRIVATE")
    ])
    error_message = "user-data brings a name and files, and no key: others can read it"
  }
  assert {
    condition = yamldecode(yamldecode(nonsensitive(output.user_data["b1"])).write_files[1].content) == {
      router = "b1", inventory = ["/etc/wgmesh/shapes.yml"]
    }
    error_message = "join.yml names the router and its sources"
  }
  assert {
    condition     = yamldecode(nonsensitive(output.user_data["b1"])).write_files[0].content == file("tests/shapes.yml")
    error_message = "the sources come along as they are"
  }
}

run "site_unknown" {
  command = plan
  variables {
    site = "azur"
  }
  expect_failures = [var.site]
}

run "site_without_a_router" {
  command = plan
  variables {
    inventory = "tests/shapes.yml"
    site      = "empty"
  }
  expect_failures = [var.site]
}

run "private_key_in_a_source" {
  command = plan
  variables {
    join_sources = ["tests/private.yml"]
  }
  expect_failures = [var.join_sources]
}

run "join_source_missing" {
  command = plan
  variables {
    join_sources = ["tests/nowhere.yml"]
  }
  expect_failures = [var.join_sources]
}

run "no_gateway" {
  command = plan
  variables {
    inventory = "tests/gateways.yml"
    site      = "none"
  }
  expect_failures = [var.site]
}

run "gateway_of_the_nodes" {
  command = plan
  variables {
    inventory = "tests/gateways.yml"
    site      = "of_the_nodes"
  }
  expect_failures = [var.site]
}

run "gateway_elsewhere" {
  command = plan
  variables {
    inventory = "tests/gateways.yml"
    site      = "elsewhere"
  }
  expect_failures = [var.site]
}
