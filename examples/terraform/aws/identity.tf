# What a router may do by itself: see who is there, and move its site's routes.
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
    Statement = concat(
      [
        {
          # Discovery by aws_ec2; cloud_forwarding and cloud_routes read. None of them can be narrowed.
          Effect   = "Allow"
          Action   = ["ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"]
          Resource = "*"
        },
        {
          # cloud_routes and failover, in the marked tables of this site.
          Effect    = "Allow"
          Action    = ["ec2:CreateRoute", "ec2:DeleteRoute", "ec2:ReplaceRoute"]
          Resource  = [for table in aws_route_table.zone : table.arn]
          Condition = { StringEquals = { "aws:ResourceTag/wgmesh.router" = var.mesh } }
        },
      ],
      var.allow_forwarding ? [
        {
          Effect   = "Allow"
          Action   = ["ec2:ModifyNetworkInterfaceAttribute"]
          Resource = [for interface in aws_network_interface.router : interface.arn]
        },
      ] : [],
    )
  })
}
