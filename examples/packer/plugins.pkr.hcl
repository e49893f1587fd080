packer {
  required_plugins {
    amazon  = { source = "github.com/hashicorp/amazon", version = ">= 1.2.1" }
    ansible = { source = "github.com/hashicorp/ansible", version = ">= 1.0.3" }
  }
}
