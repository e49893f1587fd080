variables {
  inventory = "../inventory.yml"
  site      = "aws"
}

run "ssh_for_everybody" {
  command = plan
  variables {
    ssh_sources = ["0.0.0.0/0"]
  }
  expect_failures = [var.ssh_sources]
}

run "ssh_for_everybody_by_another_address" {
  command = plan
  variables {
    ssh_sources = ["10.0.0.0/0"]
  }
  expect_failures = [var.ssh_sources]
}

run "ssh_for_everybody_in_halves" {
  command = plan
  variables {
    ssh_sources = ["0.0.0.0/1", "128.0.0.0/1"]
  }
  expect_failures = [var.ssh_sources]
}

run "ssh_for_everybody_in_parts" {
  command = plan
  variables {
    ssh_sources = ["192.0.2.0/24", "64.0.0.0/7"]
  }
  expect_failures = [var.ssh_sources]
}

run "ssh_for_everybody_by_ipv6" {
  command = plan
  variables {
    ssh_sources = ["::/0"]
  }
  expect_failures = [var.ssh_sources]
}

run "ssh_for_an_address_without_a_length" {
  command = plan
  variables {
    ssh_sources = ["192.0.2.1"]
  }
  expect_failures = [var.ssh_sources]
}
