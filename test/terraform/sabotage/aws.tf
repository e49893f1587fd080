# What `terraform validate` has to refuse, by the snapshot of the provider's schema.
# expect: An argument named "source_dest_chek" is not expected here
resource "aws_network_interface" "misspelt" {
  subnet_id        = "subnet-1"
  source_dest_chek = false
}

# expect: The argument "route_table_id" is required
resource "aws_route" "missing" {
  destination_cidr_block = "10.0.0.0/16"
}

# expect: Inappropriate value for attribute "source_dest_check": bool required
resource "aws_network_interface" "type" {
  subnet_id         = "subnet-1"
  source_dest_check = ["no"]
}

# expect: does not support resource type "aws_instances"
resource "aws_instances" "unknown" {}

# expect: aws_vpc: "arn" cannot be set
resource "aws_vpc" "computed" {
  arn = "arn:aws:ec2"
}
