locals {
  # What the inventory plugin amazon.aws.aws_ec2 makes the routers' variables of.
  tags = {
    for name, router in module.mesh.routers : name => merge({
      Name          = name
      mesh          = var.mesh
      mesh_id       = tostring(router.id)
      mesh_site     = var.site
      mesh_zone     = router.zone
      mesh_endpoint = aws_eip.router[name].public_ip
      # Of its zone: it keeps them pointed at itself.
      mesh_route_tables = join(",", [for zone, owner in module.mesh.zone_routers : aws_route_table.zone[zone].id if owner == name])
    }, router.host_key == null ? {} : { mesh_host_key = router.host_key })
  }
}

# Addresses outlive the machines: a router that is made again keeps its own.
resource "aws_eip" "router" {
  for_each = module.mesh.routers
  domain   = "vpc"
  tags     = { Name = each.key }
}

resource "aws_eip_association" "router" {
  for_each             = module.mesh.routers
  allocation_id        = aws_eip.router[each.key].id
  network_interface_id = aws_network_interface.router[each.key].id
  depends_on           = [aws_internet_gateway.site]
}

resource "aws_network_interface" "router" {
  for_each          = module.mesh.routers
  subnet_id         = aws_subnet.routers[each.value.zone].id
  security_groups   = [aws_security_group.router[each.key].id]
  source_dest_check = false # it forwards packets that are not its own
  tags              = { Name = each.key }
}

resource "aws_key_pair" "router" {
  key_name_prefix = "${var.site}-routers-"
  public_key      = var.ssh_public_key
}

resource "aws_instance" "router" {
  for_each             = module.mesh.routers
  ami                  = lookup(var.images, each.key, var.image)
  instance_type        = var.instance_type
  key_name             = aws_key_pair.router.key_name
  iam_instance_profile = aws_iam_instance_profile.router.name
  user_data            = module.mesh.user_data[each.key]
  tags                 = local.tags[each.key]

  primary_network_interface {
    network_interface_id = aws_network_interface.router[each.key].id
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # nothing behind the router gets its credentials
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
  }

  # user-data is for the first boot. A changed inventory must not stop running routers.
  # Its host key is the router's own to publish. The check belongs to the interface: the
  # provider would switch it on at the second apply (terraform-provider-aws#44768).
  lifecycle {
    ignore_changes = [user_data, source_dest_check, tags["mesh_host_key"], tags_all["mesh_host_key"]]
  }
}

check "endpoints" {
  assert {
    condition = alltrue([
      for name, router in module.mesh.routers : router.endpoint == null ? true : router.endpoint == aws_eip.router[name].public_ip
    ])
    error_message = "${var.inventory}: mesh_endpoint of a router is not the address that it got. Bring the addresses of the output endpoints there, or take those lines out."
  }
}
