"""mesh_measure_info of a mesh that was made up: one peer cannot be reached, and one hangs."""

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        peer, state = self._task.args["tunnels"][0]["peer"], self._task.args.get("state", "measured")
        if state == "measured":
            return {"tunnels": [{"router": "a", "peer": peer}]}
        if peer == "gone":
            raise AnsibleConnectionFailure("Failed to connect to the host via ssh: ssh: connect to host 192.0.2.1 port 22: No route to host")
        if peer == "hangs":
            return {"failed": True, "msg": "no answer within 60 s, the timeout of this task", "do": "look at what hangs on this host, and run again"}
        return {"tunnels": []}
