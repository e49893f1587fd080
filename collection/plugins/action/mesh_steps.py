# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several modules in one round trip. The answer of each is the word of the host that was
asked, and counts as far as that of the module alone would."""

from __future__ import annotations

from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, wgmesh


class ActionModule(wgmesh.ActionModule):
    """One task of several modules."""

    def _check_answer(self, module, host, data):
        given = data.get("answers") if isinstance(data.get("answers"), dict) else {}
        result = answers.accept(module, host, self._task.args, dict(data, answers={}))
        if result.get("failed") and "answers" not in result and not data.get("failed"):
            return result
        known = self._task.args.get("given")
        known = dict(known) if isinstance(known, dict) else {}
        found, diffs, did = {}, [], []
        for step in self._steps():
            name, register = answers.line(str(step.get("name"))), step.get("register")
            if register not in given:
                if result.get("failed") or "when" in step or "unless" in step:
                    continue
                cause = "%s: its answer to %s is not used: it has nothing of the step %s" % (host, module, name)
                return {**result, "answers": found, **answers.failed(cause, "take %s for taken over, unless somebody changed its program" % host)}
            arguments = resolve(step.get("args") or {}, known)
            if isinstance(given[register], dict):
                one = self._accept_one(step["module"].removesuffix("_info"), host, arguments, given[register])
            else:
                one = answers.failed("the step %s has no result" % name, "run again")
            if "diff" in one:
                header = {"before_header": name, "after_header": name}
                diffs.append({**one.pop("diff"), **header})
            known[register] = found[register] = one
            did += [name] if one.get("changed") else []
            result.setdefault("warnings", []).extend(one.get("warnings") or [])
            if one.get("failed"):
                result.update(failed=True, msg="%s: %s" % (name, one["msg"]), causes=one.get("causes") or result.get("causes") or [])
                break
        result.update(answers=found, changed=bool(did))
        if "warnings" in result:
            result["warnings"] = answers.few(result["warnings"], answers.MOST_WARNINGS, "warnings")
        if did and not result.get("failed"):
            result["msg"] = "changed: " + ", ".join(did)
        if diffs:
            result["diff"] = diffs
        return result

    def _steps(self):
        steps = self._task.args.get("steps")
        return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []

    def _confirms(self, module):
        steps = self._steps()
        late = [step for step in steps[1:] if wgmesh.confirms(step.get("module"), step.get("args") or {})]
        if late:
            raise wgmesh.Refusal("steps: %s confirms a change, and is not the first step" % answers.line(str(late[0].get("name"))), "make it a task of its own")
        return bool(steps) and wgmesh.confirms(steps[0].get("module"), steps[0].get("args") or {})


def resolve(value, found):
    """Options with what they refer to, as far as that is known."""
    if isinstance(value, dict):
        if isinstance(value.get("$from"), str):
            at = found
            for key in value["$from"].split("."):
                if not isinstance(at, dict) or key not in at:
                    return value.get("$default")
                at = at[key]
            return at
        return {key: resolve(one, found) for key, one in value.items()}
    if isinstance(value, list):
        return [resolve(one, found) for one in value]
    return value
