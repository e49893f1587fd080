# Each of these has to be noticed by aws/tests; what the test then says follows.
# expect: forwarding: the source/destination check of every router is off
s/source_dest_check = false/source_dest_check = true/
# expect: IMDSv2 is required, and one hop away at most
s/= "required"/= "optional"/
# expect: ports: one each, UDP
s/to_port           = each.value.port/to_port = 65535/
# expect: ports: from the peer where its address is known, else from anywhere
s#!each.value.known ? "0.0.0.0/0"#true ? "0.0.0.0/0"#
# expect: routes: each zone's table to the router of the zone
s/network_interface.router\[each.value.router\].id$/network_interface.router["aws-1"].id/
# expect: mark: the zones' tables have it, the routers' own has not
s/, "wgmesh.router" = var.mesh }/ }/
# expect: policy: reads, and the routes
s/"ec2:DescribeInstances"/"ec2:*"/
# expect: tags: the inventory's words
s/mesh_zone  *= router.zone/mesh_zone = "x"/
# expect: policy: a router writes one tag of itself, and nothing of another
s#"ec2:SourceInstanceARN" = instance.arn#"ec2:SourceInstanceARN" = "arn:aws:ec2:*:*:instance/*"#
# expect: rules: none twice in a group
s#: "${tunnel.endpoint}/32"}" => tunnel#: tunnel.peer}" => tunnel#
# expect: policy: forwarding of the router's own interface, and of no other's
s#= aws_instance.router\[name\].arn } }#= "arn:aws:ec2:*:*:instance/*" } }#
