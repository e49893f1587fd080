# For Packer 1.7 and newer, whose builders are plugins. Debian's 1.6 has them inside,
# and does not know this block.
packer {
  required_plugins {
    amazon        = { source = "github.com/hashicorp/amazon", version = ">= 1.2.1" }
    ansible       = { source = "github.com/hashicorp/ansible", version = ">= 1.0.3" }
    azure         = { source = "github.com/hashicorp/azure", version = ">= 1.4.5" }
    googlecompute = { source = "github.com/hashicorp/googlecompute", version = ">= 1.1.1" }
  }
}
