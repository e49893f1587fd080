"""community.general.sudosu, as far as it is about this test: su by sudo, with a login shell."""

import shlex

from ansible.plugins.become import BecomeBase

DOCUMENTATION = """
name: sudosu
short_description: Become by sudo and su
author: []
description: As in community.general.
options:
  become_user:
    description: Who to become.
    vars: [{name: ansible_become_user}]
  become_exe:
    description: What to run.
    default: sudo
    vars: [{name: ansible_become_exe}]
  become_flags:
    description: Its options.
    default: -H -S -n
    vars: [{name: ansible_become_flags}]
  become_pass:
    description: The password.
    vars: [{name: ansible_become_password}]
"""


class BecomeModule(BecomeBase):
    name = "sudosu"
    fail = ("Sorry, try again.",)
    missing = ("Sorry, a password is required to run sudo", "sudo: a password is required")

    def build_become_command(self, cmd, shell):
        super().build_become_command(cmd, shell)
        if not cmd:
            return cmd
        user = self.get_option("become_user") or "root"
        return "sudo %s su -l %s %s -c %s" % (self.get_option("become_flags"), user, shell.executable, shlex.quote(self._build_success_command(cmd, shell)))
