terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.10, < 7.0" # 6.10 has primary_network_interface
    }
  }
}

provider "aws" {
  region = var.region
}
