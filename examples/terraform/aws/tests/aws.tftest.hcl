mock_provider "aws" {}

override_resource {
  target = aws_eip.router["aws-1"]
  values = { public_ip = "198.51.100.11" }
}

override_resource {
  target = aws_eip.router["aws-2"]
  values = { public_ip = "198.51.100.12" }
}

variables {
  region         = "ap-northeast-1"
  image          = "ami-0123456789abcdef0"
  ssh_public_key = "ssh-ed25519 AAAA ansible"
  ssh_sources    = ["203.0.113.0/24"]
}

# The first run, since user-data of a machine that is there stays as it is.
run "joins_by_itself" {
  variables {
    join_sources     = ["../inventory.yml"]
    allow_forwarding = true
  }
  assert {
    condition = { for key, rule in aws_vpc_security_group_ingress_rule.ssh : key => "${rule.cidr_ipv4} ${rule.from_port}" if startswith(key, "aws-1 ") } == {
      "aws-1 aws-2"          = "198.51.100.12/32 22", "aws-1 192.0.2.11/32" = "192.0.2.11/32 22", "aws-1 192.0.2.12/32" = "192.0.2.12/32 22",
      "aws-1 203.0.113.0/24" = "203.0.113.0/24 22"
    }
    error_message = "join: SSH from the peers whose addresses are known"
  }
  assert {
    condition     = strcontains(nonsensitive(aws_instance.router["aws-2"].user_data), "/etc/wgmesh/join.yml")
    error_message = "join: user-data brings join.yml"
  }
  assert {
    condition = {
      for s in jsondecode(aws_iam_role_policy.host_key.policy).Statement : one(s.Resource) => s.Condition if contains(s.Action, "ec2:ModifyNetworkInterfaceAttribute")
    } == { for name, i in aws_network_interface.router : i.arn => { ArnEquals = { "ec2:SourceInstanceARN" = aws_instance.router[name].arn } } }
    error_message = "policy: forwarding of the router's own interface, and of no other's"
  }
}

run "site" {
  assert {
    condition     = length(aws_instance.router) == 2 && alltrue([for i in aws_network_interface.router : i.source_dest_check == false])
    error_message = "forwarding: the source/destination check of every router is off"
  }
  assert {
    condition     = alltrue([for name, i in aws_instance.router : i.primary_network_interface[0].network_interface_id == aws_network_interface.router[name].id])
    error_message = "every router has its own interface"
  }
  assert {
    condition     = alltrue([for i in aws_instance.router : i.metadata_options[0].http_tokens == "required" && i.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "IMDSv2 is required, and one hop away at most"
  }
  assert {
    condition     = aws_subnet.nodes["10.2.1.0/24"].availability_zone == "ap-northeast-1a" && aws_subnet.routers["c"].availability_zone == "ap-northeast-1c"
    error_message = "zones are availability zones"
  }
  assert {
    condition     = { for zone, subnet in aws_subnet.routers : zone => subnet.cidr_block } == { a = "10.2.0.0/28", c = "10.2.0.16/28" }
    error_message = "routers have subnets of their own"
  }

  # Tunnels.
  assert {
    condition = toset([
      for rule in aws_vpc_security_group_ingress_rule.tunnel : rule.from_port if rule.security_group_id == aws_security_group.router["aws-1"].id
    ]) == toset([51807, 51808, 51809, 51810, 51815, 51820])
    error_message = "ports: those of the tunnels of aws-1, and no other"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.tunnel : rule.ip_protocol == "udp" && rule.to_port == rule.from_port])
    error_message = "ports: one each, UDP"
  }
  assert {
    condition = { for key, rule in aws_vpc_security_group_ingress_rule.tunnel : key => rule.cidr_ipv4 if startswith(key, "aws-1/") } == {
      "aws-1/aws-2"   = "198.51.100.12/32", "aws-1/office-1" = "192.0.2.11/32", "aws-1/office-2" = "192.0.2.12/32",
      "aws-1/azure-1" = "0.0.0.0/0", "aws-1/azure-2" = "0.0.0.0/0", "aws-1/gcp-1" = "0.0.0.0/0"
    }
    error_message = "ports: from the peer where its address is known, else from anywhere"
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.ssh : rule.cidr_ipv4]) == toset(["203.0.113.0/24"])
    error_message = "SSH: only from ssh_sources, as no router joins by itself"
  }
  assert {
    condition     = toset(keys(aws_vpc_security_group_ingress_rule.nodes)) == toset(["10.0.0.0/16", "10.1.0.0/16", "10.3.0.0/16"])
    error_message = "nodes: the other sites' networks come in"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.site["aws-1 10.2.0.0/16"].ip_protocol == "-1"
    error_message = "nodes: what they send to other sites may enter the router"
  }

  # Routes.
  assert {
    condition = { for key, route in aws_route.site : key => [route.route_table_id, route.network_interface_id] } == {
      for pair in setproduct(["a", "c"], ["10.0.0.0/16", "10.1.0.0/16", "10.3.0.0/16"]) : join(" ", pair) => [
        aws_route_table.zone[pair[0]].id, aws_network_interface.router[pair[0] == "a" ? "aws-1" : "aws-2"].id
      ]
    }
    error_message = "routes: each zone's table to the router of the zone"
  }
  assert {
    condition     = alltrue([for table in aws_route_table.zone : try(table.tags["wgmesh.router"], "") == "wan"]) && !can(aws_route_table.routers.tags["wgmesh.router"])
    error_message = "mark: the zones' tables have it, the routers' own has not"
  }

  # Identity.
  assert {
    condition = toset(flatten([for s in jsondecode(aws_iam_role_policy.router.policy).Statement : s.Action])) == toset([
      "ec2:CreateRoute", "ec2:DeleteRoute", "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeTags", "ec2:GetManagedPrefixListEntries",
      "ec2:ReplaceRoute"
    ])
    error_message = "policy: reads, and the routes"
  }
  assert {
    condition = alltrue([
      for s in jsondecode(aws_iam_role_policy.router.policy).Statement :
      s.Resource == "*" ? alltrue([for a in s.Action : startswith(a, "ec2:Describe") || a == "ec2:GetManagedPrefixListEntries"]) : (
        toset(s.Resource) == toset([for table in aws_route_table.zone : table.arn]) && s.Condition.StringEquals["aws:ResourceTag/wgmesh.router"] == "wan"
      )
    ])
    error_message = "policy: it writes to the marked tables alone"
  }
  assert {
    condition = { for s in jsondecode(aws_iam_role_policy.host_key.policy).Statement : one(s.Resource) => [s.Action, s.Condition] } == {
      for i in aws_instance.router : i.arn => [["ec2:CreateTags"], {
        ArnEquals                   = { "ec2:SourceInstanceARN" = i.arn }
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["mesh_host_key"] }
        Null                        = { "aws:TagKeys" = "false" }
      }]
    }
    error_message = "policy: a router writes one tag of itself, and nothing of another"
  }
  assert {
    condition     = alltrue([for i in aws_instance.router : !strcontains(nonsensitive(i.user_data), "PRIVATE") && !strcontains(nonsensitive(i.user_data), "ssh_keys")])
    error_message = "user-data: no key is in it"
  }

  # Discovery, and the inventory.
  assert {
    condition = aws_instance.router["aws-1"].tags == tomap({
      Name              = "aws-1", mesh = "wan", mesh_id = "5", mesh_site = "aws", mesh_zone = "a", mesh_endpoint = "198.51.100.11"
      mesh_route_tables = aws_route_table.zone["a"].id
    })
    error_message = "tags: the inventory's words"
  }
  assert {
    condition = yamldecode(output.inventory).all.children.routers.hosts["aws-1"] == {
      mesh_id           = 5, mesh_site = "aws", mesh_zone = "a", mesh_endpoint = "198.51.100.11"
      mesh_route_tables = [aws_route_table.zone["a"].id], routes_mesh = "wan", ansible_host = "198.51.100.11", ansible_user = "admin"
    }
    error_message = "inventory: what Ansible has to know of aws-1"
  }
  assert {
    condition = alltrue([
      for name, host in yamldecode(file("../../field-case/inventory.yml")).all.children.routers.hosts :
      alltrue([for key, value in host : yamldecode(output.inventory).all.children.routers.hosts[name][key] == value]) if host.mesh_site == "aws"
    ])
    error_message = "inventory: the routers of the field case"
  }
}

# EC2 refuses a rule that has the protocol, ports and network of another one of its group.
run "several_from_one_address" {
  variables {
    inventory    = "tests/one-address.yml"
    join_sources = ["../inventory.yml"]
    ssh_sources  = ["203.0.113.7/24", "203.0.113.0/24", "192.0.2.11/32", "198.51.100.12/32"]
  }
  assert {
    condition = length(flatten([
      for rules in [
        aws_vpc_security_group_ingress_rule.tunnel, aws_vpc_security_group_ingress_rule.ping, aws_vpc_security_group_ingress_rule.ssh,
        aws_vpc_security_group_ingress_rule.too_large, aws_vpc_security_group_ingress_rule.site
      ] : [for rule in rules : rule.id]
      ])) == length(distinct(flatten([
        for rules in [
          aws_vpc_security_group_ingress_rule.tunnel, aws_vpc_security_group_ingress_rule.ping, aws_vpc_security_group_ingress_rule.ssh,
          aws_vpc_security_group_ingress_rule.too_large, aws_vpc_security_group_ingress_rule.site
        ] : [for rule in rules : jsonencode([rule.security_group_id, rule.ip_protocol, rule.from_port, rule.to_port, cidrsubnet(rule.cidr_ipv4, 0, 0)])]
    ])))
    error_message = "rules: none twice in a group"
  }
  assert {
    condition = toset([for rule in aws_vpc_security_group_ingress_rule.ssh : rule.cidr_ipv4 if rule.security_group_id == aws_security_group.router["aws-1"].id]) == toset([
      "192.0.2.11/32", "198.51.100.12/32", "203.0.113.0/24"
    ])
    error_message = "SSH: from ssh_sources and every peer whose address is known"
  }
}

run "private_key_for_a_public_one" {
  command = plan
  variables {
    ssh_public_key = "-----BEGIN OPENSSH PRIVATE KEY-----"
  }
  expect_failures = [var.ssh_public_key]
}
