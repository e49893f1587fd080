"""community.general.doas, as far as it is about this test: it gives a command no input."""

from ansible.plugins.become import BecomeBase

DOCUMENTATION = """
name: doas
short_description: Become by doas
author: []
description: As in community.general.
options:
  become_user:
    description: Who to become.
    vars: [{name: ansible_become_user}]
  become_exe:
    description: What to run.
    default: doas
    vars: [{name: ansible_become_exe}]
  become_flags:
    description: Its options.
    default: ''
    vars: [{name: ansible_become_flags}]
  become_pass:
    description: The password.
    vars: [{name: ansible_become_password}]
"""


class BecomeModule(BecomeBase):
    name = "doas"
    pipelining = False
    fail = ("Permission denied",)
    missing = ("Authorization required",)

    def build_become_command(self, cmd, shell):
        super().build_become_command(cmd, shell)
        if not cmd:
            return cmd
        user = self.get_option("become_user") or "root"
        return "doas -n -u %s %s -c %s" % (user, shell.executable, self._build_success_command(cmd, shell, noexe=True))
