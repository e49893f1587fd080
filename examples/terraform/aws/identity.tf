# What a router may do by itself: see who is there, publish its host key, and move its
# site's routes.
resource "aws_iam_role" "router" {
  name_prefix = "${var.site}-router-"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_instance_profile" "router" {
  name_prefix = "${var.site}-router-"
  role        = aws_iam_role.router.name
}

resource "aws_iam_role_policy" "router" {
  name_prefix = "wgmesh-"
  role        = aws_iam_role.router.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Discovery by aws_ec2; cloud_forwarding, cloud_routes and publish-host-key read. What describes cannot be narrowed.
        Effect = "Allow"
        Action = [
          "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeTags", "ec2:GetManagedPrefixListEntries"
        ]
        Resource = "*"
      },
      {
        # cloud_routes and failover, in the marked tables of this site.
        Effect    = "Allow"
        Action    = ["ec2:CreateRoute", "ec2:DeleteRoute", "ec2:ReplaceRoute"]
        Resource  = [for table in aws_route_table.zone : table.arn]
        Condition = { StringEquals = { "aws:ResourceTag/wgmesh.router" = var.mesh } }
      },
    ]
  })
}

# A policy of its own, since it names the machines that have the role: each may write one
# tag of itself, and of no other, and with allow_forwarding its own interface.
# ec2:SourceInstanceARN is the instance that the credentials were given to, wherever they
# are used.
resource "aws_iam_role_policy" "host_key" {
  name_prefix = "wgmesh-host-key-"
  role        = aws_iam_role.router.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for instance in aws_instance.router : {
        Effect   = "Allow"
        Action   = ["ec2:CreateTags"]
        Resource = [instance.arn]
        Condition = {
          ArnEquals                   = { "ec2:SourceInstanceARN" = instance.arn }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["mesh_host_key"] }
          Null                        = { "aws:TagKeys" = "false" }
        }
      }],
      var.allow_forwarding ? [for name, interface in aws_network_interface.router : {
        Effect    = "Allow"
        Action    = ["ec2:ModifyNetworkInterfaceAttribute"]
        Resource  = [interface.arn]
        Condition = { ArnEquals = { "ec2:SourceInstanceARN" = aws_instance.router[name].arn } }
      }] : [],
    )
  })
}
