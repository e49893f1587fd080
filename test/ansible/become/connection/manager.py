"""ssh that gives a command no input, as amazon.aws.aws_ssm and others do not."""

from ansible.plugins.connection import ssh

DOCUMENTATION = ssh.DOCUMENTATION.replace("name: ssh", "name: manager", 1)


class Connection(ssh.Connection):
    transport = "manager"
    has_pipelining = False

    def exec_command(self, cmd, in_data=None, sudoable=True):
        assert not in_data
        return super().exec_command(cmd, None, sudoable)
