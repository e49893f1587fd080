variable "region" {
  description = "AWS region. The zones of the inventory are its availability zones by their letters."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region ${var.region}: expected a region's name, such as ap-northeast-1; a zone's letter belongs to the inventory."
  }
}

variable "image" {
  description = "AMI that examples/packer made."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]+$", var.image))
    error_message = "image ${var.image}: expected the id of an AMI, ami-..., which packer build prints last."
  }
}

variable "images" {
  description = "Another AMI for single routers, by name: to bring a new image to one router at a time."
  type        = map(string)
  default     = {}
}

variable "ssh_public_key" {
  description = "Who may log in as the image's user (admin), beside what user-data says: one line of an authorized_keys file."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa) AAAA", var.ssh_public_key))
    error_message = "ssh_public_key: expected a public key, ssh-ed25519 AAAA...; a private one never belongs here."
  }
}

variable "mesh" {
  description = "Name of the mesh: the tag mesh of the routers, and the tag wgmesh.router of tables in which cloud_routes and failover may move routes."
  type        = string
  default     = "wan"
}

variable "instance_type" {
  description = "Size of a router. Its network has to be as fast as what goes through it."
  type        = string
  default     = "c7i.large"
}

variable "allow_forwarding" {
  description = "Let a router turn its own source/destination check off by cloud_forwarding. Terraform has done it already; the permission lets it change its own security groups, too."
  type        = bool
  default     = false
}

# The rest goes to ../mesh, which checks it.
variable "inventory" {
  description = "Path of the mesh's Ansible inventory."
  type        = string
  default     = "../inventory.yml"
}

variable "site" {
  description = "The site of the inventory that is made here."
  type        = string
  default     = "aws"
}

variable "join_sources" {
  description = "Inventory files for routers that join by themselves (docs/join.md); none, and the mesh play peers them."
  type        = list(string)
  default     = []
}

variable "ssh_sources" {
  description = "IPv4 networks from which Ansible's controller reaches the routers over SSH."
  type        = list(string)
  default     = []
}
