# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways in which a managed host is hostile. Each is a host of that name, and says what an honest one would but for this.

Standard library only: the connection plugin `hostile_host` reads it within ansible-playbook.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from payload import Call, Tape

Result = dict[str, Any]
Answer = tuple[int, bytes, bytes]

# What must appear nowhere: a fact that became a value of ours, and a year's pause.
MARK = "said-by-a-hostile-host"
YEAR = 31536000
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b1m\r\b\x7f"
BIDI = "\u202eevil\u202c\u2066x\u2069\u200b"
MARKUP = "</script><script>alert('owned')</script><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://192.0.2.1/";"owned")'
OUR_MODULES = ("port_usage_info", "port_users_info", "sysctl_dropin", "curl_stress")


class Attack(NamedTuple):
    """What the attacker knows of the controller: read from the file that HOSTILE_ATTACK names."""

    secret: str  # a file of the controller
    markers: str  # a directory: what is executed leaves a file here
    poison: str  # a report of an earlier run, with a template in it
    variables: list[str]  # all names of variables of the collection
    tape: list[str]


@cache
def attack() -> Attack:
    return Attack(**json.loads(Path(os.environ["HOSTILE_ATTACK"]).read_text()))


@cache
def tape() -> Tape:
    return Tape(attack().tape)


def template(name: str) -> str:
    """A template that leaves a marker when it is rendered."""
    return "{{ lookup('ansible.builtin.pipe', '" + shell(name) + "') }}"


def shell(name: str) -> str:
    return f"touch {attack().markers}/{name}"


class Way(NamedTuple):
    """How a host answers. refused: whether its answers are to be taken for none, so that it has to be failed.

    shell: what it answers to commands that are no module. unreachable: why it cannot be reached.
    """

    name: str
    answer: Callable[[Call], Answer]
    refused: bool = False
    gathers: bool = False
    shell: str | None = None
    unreachable: str = ""


WAYS: dict[str, Way] = {}


def find(name: str) -> Way:
    return WAYS[name]


def raw(output: str | bytes, code: int = 0, errors: str | bytes = b"") -> Answer:
    def encoded(text: str | bytes) -> bytes:
        return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")

    return code, encoded(output), encoded(errors)


def says(result: object) -> Answer:
    return raw(json.dumps(result))


def honest(call: Call) -> Result:
    if call.module in ("setup", "gather_facts"):
        return {"ansible_facts": {"ansible_os_family": "Debian"}, "changed": False}
    return tape().answer(call)


def way(
    name: str, refused: bool = False, gathers: bool = False, shell: str | None = None, unreachable: str = ""
) -> Callable[[Callable[[Call], object]], Callable[[Call], object]]:
    """Add a way; the function gives a whole answer, or a result to be said as JSON."""

    def add(function: Callable[[Call], object]) -> Callable[[Call], object]:
        def answer(call: Call) -> Answer:
            if call.module == "async_wrapper":
                return says({"ansible_job_id": "j1.1", "started": 1, "finished": 0, "results_file": "/root/j1.1"})
            if call.module == "async_status":
                result = function(Call("port_usage_info", {}, call.check))
                return says({**result, "finished": 1, "started": 1} if isinstance(result, dict) else honest(call))
            if call.module not in (*OUR_MODULES, *(("setup",) if gathers else ())):
                return says(honest(call))
            answered = function(call)
            return answered if isinstance(answered, tuple) else says(answered)

        WAYS[name] = Way(name, answer, refused, gathers, shell, unreachable)
        return function

    return add


def adds(name: str, refused: bool = False) -> Callable[[Callable[[], Result]], Callable[[], Result]]:
    """Add a way that only adds keys to what an honest host says."""

    def add(function: Callable[[], Result]) -> Callable[[], Result]:
        way(name, refused)(lambda call: {**honest(call), **function()})
        return function

    return add


def each_string(value: Any, change: Callable[[str], object]) -> Any:
    if isinstance(value, dict):
        return {key: each_string(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [each_string(one, change) for one in value]
    return change(value) if isinstance(value, str) else value


# Facts


def facts_of_policy() -> Result:
    return {
        "timewait_remediate_tcp_tw_recycle": 1,
        "timewait_remediate_accept_risk": ["tcp_tw_recycle"],
        "timewait_remediate_reserve": ["10240-65000"],
        "timewait_remediate_path": "/etc/sysctl.d/00-owned.conf",
        "timewait_remediate_state_dir": f"/tmp/{MARK}",
        "timewait_remediate_on_conflict": "ignore",
        "timewait_remediate_lock_timeout": 4242,
        "timewait_diagnose_max_destinations": 4242,
        "timewait_diagnose_fail_at": "never",
        "timewait_diagnose_warning_threshold": 0.98,
        "timewait_diagnose_critical_threshold": 0.99,
        "timewait_diagnose_destination": "192.0.2.66:66",
        "timewait_stress_url": "http://192.0.2.66/",
        "timewait_stress_total": 4242,
    }


def facts_of_everything() -> Result:
    return {name: f"{MARK} {template('facts-everything')}" for name in attack().variables}


def facts_of_rollout() -> Result:
    return {
        "timewait_rollout_growth": 1e9,
        "timewait_rollout_floor": 10**9,
        "timewait_rollout_ignore_listeners": ["1-65535"],
        "ephemeral_ports_waves": ["100%"],
        "ephemeral_ports_hosts": "localhost",
        "ephemeral_ports_become": True,
        "ephemeral_ports_report": f"{attack().markers}/report",
    }


def facts_of_internals() -> Result:
    passed = {"state": "changed", "reason": None, "wave": 1, "beyond_sysctls": None, "gate": []}
    verdict = {"passed": True, "failed": [], "lost": [], "reason": None}
    known: Result = {name: MARK for name in attack().variables if name.startswith("__")}
    return {
        **known,
        "timewait_rollout_outcome": passed,
        "__timewait_rollout_outcome": passed,
        "__timewait_rollout_verdict": verdict,
        "__timewait_remediate_trial": False,
        "__timewait_rollout_wait": YEAR,
        "__timewait_rollout_waves": 99,
        "ansible_check_mode": True,
        "ansible_play_batch": [],
        "hostvars": {},
        "groups": {},
        "omit": MARK,
    }


def facts_of_connection() -> Result:
    run = shell("facts-connection")
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": f"{run};",
        "ansible_shell_executable": f"/bin/sh -c '{run}'",
        "ansible_remote_tmp": f"/tmp/$({run})",
        "ansible_become": True,
        "ansible_become_exe": f"{run};",
        "ansible_become_method": "su",
        "ansible_ssh_common_args": f"-o ProxyCommand='{run}'",
        "ansible_host": "127.0.0.1",
        "ansible_delegated_vars": {"localhost": {"ansible_python_interpreter": f"{run};"}},
        "discovered_interpreter_python": f"{run};",
    }


FACTS: dict[str, Callable[[], object]] = {
    "facts-template": lambda: {"timewait_remediate_template": attack().secret},
    "facts-environment": lambda: {"timewait_remediate_template": "/proc/self/environ"},
    "facts-report": lambda: {"timewait_remediate_template": attack().poison},
    "facts-pause": lambda: {"timewait_rollout_soak": YEAR, "timewait_rollout_baseline": YEAR},
    "facts-rollout": facts_of_rollout,
    "facts-policy": facts_of_policy,
    "facts-internals": facts_of_internals,
    "facts-everything": facts_of_everything,
    "facts-connection": facts_of_connection,
}
for _name, _facts in FACTS.items():
    adds(_name)(lambda facts=_facts: {"ansible_facts": facts()})


def every_fact() -> Result:
    return {**facts_of_policy(), **facts_of_rollout(), "timewait_remediate_template": attack().secret}


@way("facts-of-a-failure", refused=True)
def answer_facts_of_a_failure(_call: Call) -> object:
    return {"failed": True, "msg": "no", "ansible_facts": every_fact()}


@way("facts-in-results")
def answer_facts_in_results(call: Call) -> object:
    one = {**honest(call), "ansible_facts": every_fact(), "_ansible_item_label": "x", "ansible_loop_var": "item"}
    return {**honest(call), "results": [one, one], "ansible_facts": every_fact()}


@way("facts-nested")
def answer_facts_nested(call: Call) -> object:
    def nest(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: nest(one) for key, one in value.items()}, "ansible_facts": every_fact()}
        return [nest(one) for one in value] if isinstance(value, list) else value

    return nest(honest(call))


@way("facts-of-a-job")
def answer_facts_of_a_job(call: Call) -> object:
    job = {"ansible_job_id": "../../j1", "started": 1, "finished": 0, "results_file": attack().secret}
    return {**honest(call), **job, "ansible_facts": every_fact()}


# The same by the gathering of facts


def gathers(name: str, facts: Callable[[], Result]) -> None:
    @way(f"gathers-{name}", gathers=True)
    def answer(call: Call) -> object:
        if call.module == "setup":
            return {"changed": False, "ansible_facts": facts()}
        return honest(call)


gathers("template", lambda: {"timewait_remediate_template": attack().secret})
gathers("report", lambda: {"timewait_remediate_template": attack().poison})
gathers("pause", lambda: {"timewait_rollout_soak": YEAR, "timewait_rollout_baseline": YEAR})
gathers("rollout", facts_of_rollout)
gathers("policy", facts_of_policy)
gathers("internals", facts_of_internals)
gathers("everything", facts_of_everything)
gathers("hidden", lambda: {"timewait_remediate_template": attack().secret, "ansible_facts": {}, "facts": {}})


# Keys that Ansible acts on


def evil_host() -> Result:
    run = shell("adds-a-host")
    return {"ansible_connection": "local", "ansible_python_interpreter": f"{run};", "ansible_shell_executable": run}


@adds("adds-a-host")
def answer_adds_a_host() -> Result:
    groups = ["timewait_rollout_pending"]
    return {"add_host": {"host_name": "added", "groups": groups, "host_vars": evil_host()}, "changed": True}


@adds("takes-the-neighbour")
def answer_takes_the_neighbour() -> Result:
    return {"add_host": {"host_name": "aa-honest", "groups": [], "host_vars": evil_host()}}


@adds("stats")
def answer_stats() -> Result:
    data = {"failures": template("stats"), ESCAPES: 1}
    return {"ansible_stats": {"data": data, "per_host": False, "aggregate": True}}


@adds("adds-a-group")
def answer_adds_a_group() -> Result:
    return {"ansible_stats": ["x"], "add_group": "timewait_rollout_pending", "parent_groups": ["all", "owned"]}


@adds("underscores")
def answer_underscores() -> Result:
    return {
        "_ansible_notify": ["all"],
        "_ansible_no_log": True,
        "_ansible_verbose_always": True,
        "_ansible_verbose_override": False,
        "_ansible_item_result": True,
        "_ansible_item_label": template("underscores"),
        "_ansible_ignore_errors": True,
        "_ansible_parsed": False,
        "_ansible_diff": True,
        "_ansible_suppress_tmpdir_delete": True,
        "_ansible_delegated_vars": {"ansible_host": "127.0.0.1", **evil_host()},
        "ansible_delegated_vars": evil_host(),
        "ansible_loop": {"allitems": [MARK]},
        "ansible_loop_var": "timewait_remediate_template",
        "item": MARK,
        "invocation": {"module_args": {"path": MARK, "template": attack().secret}},
    }


@adds("underscores-loudly")
def answer_underscores_loudly() -> Result:
    """Ansible warns of such keys, with their values."""
    return {"_ansible_item_label": f"{ESCAPES}{BIDI}", "add_group": ESCAPES, "results": ESCAPES}


@way("noise-around")
def answer_noise_around(call: Call) -> object:
    """Ansible warns of that, too."""
    return raw(f"{ESCAPES}{BIDI}\n{json.dumps(honest(call))}\n{ESCAPES}{BIDI}owned")


@way("long-sysctls", refused=True)
def answer_long_sysctls(call: Call) -> object:
    """Text that a message about it would quote."""
    result = honest(call)
    for key in result.get("sysctls", {}):
        result["sysctls"][key] = "9" * 100_000
    return result


@adds("loud")
def answer_loud() -> Result:
    noise = f"{ESCAPES}{BIDI}\nok: [aa-honest]\nPLAY RECAP {template('loud')}"
    diff = {"before_header": noise, "after_header": noise, "before": noise, "after": f"x{noise}"}
    return {
        "msg": noise,
        "warnings": [noise],
        "deprecations": [{"msg": noise, "version": noise, "collection_name": noise, "date": noise}],
        "diff": [diff, {"prepared": noise}],
        "exception": noise,
        "stdout": noise,
        "stderr": noise,
        "module_stderr": noise,
    }


@adds("loud-without-shape")
def answer_loud_without_shape() -> Result:
    return {
        "msg": {"a": [1]},
        "warnings": {"a": 1},
        "deprecations": ["x", 1, {}, {"version": []}],
        "diff": [1, "x", {"before": 1}],
        "exception": [1],
        "stdout": {"x": 1},
        "results": {"a": 1},
    }


@way("failed-silently", refused=True)
def answer_failed_silently(_call: Call) -> object:
    return {"failed": True}


@way("loud-failure", refused=True)
def answer_loud_failure(_call: Call) -> object:
    noise = f"{ESCAPES}{BIDI}\nok: [aa-honest]\n{template('loud-failure')}{MARKUP}"
    return {"failed": True, "msg": noise, "exception": noise, "module_stderr": noise, "module_stdout": noise, "rc": 1}


@way("unreachable")
def answer_unreachable(call: Call) -> object:
    return {**honest(call), "unreachable": True, "msg": ESCAPES}


@way("skipped", refused=True)
def answer_skipped(_call: Call) -> object:
    return {"skipped": True, "changed": False}


@way("skipped-and-more")
def answer_skipped_and_more(call: Call) -> object:
    return {**honest(call), "skipped": True, "skip_reason": ESCAPES, "false_condition": template("skipped-and-more")}


@adds("failed-no")
def answer_failed_no() -> Result:
    return {"failed": "no", "failed_when_result": "maybe"}


@adds("changed-text")
def answer_changed_text() -> Result:
    return {"changed": "yes", "attempts": "x", "retries": -1}


# Answers of another shape


for _name, _text in {
    "nothing": "",
    "empty-object": "{}",
    "list": "[1]",
    "no-json": f"{ESCAPES}Traceback (most recent call last):\n{MARKUP}",
    "cut": '{"level": "ok", "findings": [',
    "no-utf-8": b'{"level": "\xff\xfe\x00", "msg": "\xc3("}',
}.items():
    way(_name, refused=True)(lambda _call, text=_text: raw(text))


@way("crash", refused=True)
def answer_crash(_call: Call) -> object:
    return raw("", 139, f"{ESCAPES}Segmentation fault {template('crash')}")


@way("two-objects")
def answer_two_objects(call: Call) -> object:
    noise = f"\n{ESCAPES}{BIDI}owned\n"
    return raw(noise + json.dumps(honest(call)) + noise + '{"ansible_facts": {}}')


@way("depth", refused=True)
def answer_depth(call: Call) -> object:
    deep = "[" * 10_000 + "]" * 10_000
    return raw(json.dumps({**honest(call), "evidence": 0}).replace('"evidence": 0', f'"evidence": {deep}'))


@way("endless", refused=True)
def answer_endless(_call: Call) -> object:
    return raw(b'{"msg": "' + b"x" * (16 << 20))


@way("many-destinations", refused=True)
def answer_many_destinations(call: Call) -> object:
    result = honest(call)
    if call.module == "port_usage_info":
        many = [{**destination(), "address": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"} for n in range(50_000)]
        result.update({name: many for name in ("destinations", "pools") if name in result})
    return result


def destination() -> Result:
    return {
        "kind": "connect", "usable": 500, "source": "198.18.0.2", "address": "198.18.0.1", "port": 8080,
        "blocked": 1, "time_wait": 1, "reusable": 0, "live": 0, "states": {}, "live_by": None, "hold_seconds": 60.0,
        "time_wait_seconds": 60.0, "longest_left_seconds": 59.0,
        "saturation": 0.002, "level": "ok", "rate": {"last_1s": 1.0, "last_10s": 1.0, "last_60s": 1.0},
        "trend": "steady", "forecast": {
            "rate": 1.0, "slope": 0.0, "saturation": 0.12, "seconds_to_critical": None, "critical_between": None,
            "seconds_to_exhausted": None, "exhausted_between": None,
        },
    }  # fmt: skip


# Where a word is as good as another, at least to begin with.
FREE_TEXT = {
    "id", "summary", "remedy", "destination", "release", "how", "source", "address", "name", "owner",
    "path", "file", "boot_file", "late_writers", "url", "curl_name", "errno_name", "meaning", "stopped_by",
}  # fmt: skip


def busy(call: Call) -> Result:
    """An honest usage with a destination, a finding and a listener, so that there is something to spoil."""
    result = honest(call)
    if call.module == "port_usage_info":
        finding = {
            "id": "reuse-loopback-only", "severity": "warning", "summary": "tcp_tw_reuse is 2.", "remedy": "Set it.",
            "destination": "198.18.0.1:8080", "evidence": {"tcp_tw_reuse": 2},
        }  # fmt: skip
        result.update({name: [destination()] for name in ("destinations", "pools") if name in result})
        result.update(findings=[finding], listening_ports={"tcp": [22], "udp": []})
    return result


def spoils(name: str, change: Callable[[str], object], refused: bool = False) -> None:
    """Add a way that changes those strings that can hold any text."""
    way(name, refused)(lambda call: each_free_text(busy(call), change))


def each_free_text(value: Any, change: Callable[[str], object], name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: each_free_text(one, change, key) for key, one in value.items()}
    if isinstance(value, list):
        return [each_free_text(one, change, name) for one in value]
    return change(value) if isinstance(value, str) and name in FREE_TEXT else value


spoils("long-text", lambda text: text + "x" * (1 << 20), refused=True)
spoils("escapes", lambda text: f"{text}{ESCAPES}{BIDI}")
spoils("lines", lambda text: f"{text}\nok: [aa-honest]\r\nfatal: [zz-honest]: FAILED!")
spoils("markup", lambda text: f"{text}{MARKUP}")
spoils("formulas", lambda _text: FORMULA)
spoils("templates", lambda text: f"{text}{template('templates')}{{% if %}}{{#")
spoils("only-templates", lambda _text: template("only-templates"))
spoils("paths", lambda _text: f"../../../../../..{attack().secret}")
spoils("surrogates", lambda text: f"{text}\ud800\udfff")
spoils("no-text", lambda _text: None, refused=True)
way("templates-everywhere", refused=True)(lambda call: each_string(busy(call), lambda text: text + template("words")))


@way("tagged")
def answer_tagged(call: Call) -> object:
    """As ansible-core marks what it trusts, from 2.19 on."""
    trusted = [{"__ansible_type": "TrustedAsTemplate"}, {"__ansible_type": "Origin", "path": "/etc/passwd"}]
    marked = {"__ansible_type": "_AnsibleTaggedStr", "value": template("tagged"), "tags": trusted}
    return each_free_text(busy(call), lambda _text: marked)


@way("vaulted")
def answer_vaulted(call: Call) -> object:
    """As ansible-core marks what it trusts, up to 2.18."""
    marked = {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n00", "__ansible_unsafe": template("vaulted")}
    return each_free_text(busy(call), lambda _text: marked)


@way("numbers")
def answer_numbers(call: Call) -> object:
    return raw(each_number(busy(call), "9" * 4000))


@way("no-numbers")
def answer_no_numbers(call: Call) -> object:
    return raw(each_number(busy(call), "NaN"))


@way("infinity")
def answer_infinity(call: Call) -> object:
    return raw(each_number(busy(call), "-1e400"))


@way("negative")
def answer_negative(call: Call) -> object:
    return raw(each_number(busy(call), "-1"))


def each_number(value: Result, text: str) -> str:
    def mark(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: mark(inner) for key, inner in one.items()}
        if isinstance(one, list):
            return [mark(inner) for inner in one]
        return "@number@" if isinstance(one, (int, float)) and not isinstance(one, bool) else one

    return json.dumps(mark(value)).replace('"@number@"', text)


@way("keys")
def answer_keys(call: Call) -> object:
    odd = {template("keys"): 1, ESCAPES: 2, "__class__": 3, "": 4, MARKUP: 5, "k" * 100_000: 6}
    result = busy(call)
    for name in ("counters", "sockets", "sysctls", "kernel"):
        if isinstance(result.get(name), dict):
            result[name] = {**result[name], **odd}
    return {**result, **odd}


ODD = (None, True, -1, 1e308, "", "x", [], [[]], {}, {"a": {}}, "198.18.0.1", [None], ["\x1b[31m"], [{"id": []}])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where something could stand otherwise: a container and a key of it."""
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from places(one)


def fuzzed(result: Result, seed: int, share: float) -> Result:
    """A result in which something is of another type, or missing."""
    chance = random.Random(seed)
    found = [*places(result)]
    for container, key in chance.sample(found, max(1, int(len(found) * share))):
        if isinstance(container, dict) and chance.random() < 0.2:
            container.pop(key, None)
        elif isinstance(container, dict) or key < len(container):
            container[key] = chance.choice(ODD)
    return result


for _seed, _share in enumerate((0.001, 0.01, 0.3)):
    way(f"fuzz-{_seed}")(
        lambda call, seed=_seed, share=_share: fuzzed(busy(call), seed + len(call.module) + call.check, share)
    )


# Lies


@way("lies-of-another-file")
def answer_lies_of_another_file(call: Call) -> object:
    result = honest(call)
    if call.module == "sysctl_dropin":
        result.update(path=attack().secret, file="created", recovered=template("lies-of-another-file"))
    return result


@way("lies-of-no-change")
def answer_lies_of_no_change(call: Call) -> object:
    """It has done nothing, and says that it was so already."""
    result = honest(call)
    if call.module == "sysctl_dropin":
        result.update(changed=False, settings=[], file="unchanged")
    return result


@way("lies-of-other-values")
def answer_lies_of_other_values(call: Call) -> object:
    result = honest(call)
    for one in result.get("settings", []):
        one.update(after="6 6", wanted="6 6", status="changed")
    return result


@way("lies-of-no-plan")
def answer_lies_of_no_plan(call: Call) -> object:
    """Sysctls by which there is much to plan, and text in them that becomes lines of the file."""
    result = honest(call)
    for key in result.get("sysctls", {}):
        result["sysctls"][key] = f"1\nkernel.core_pattern = |/bin/sh\n{template('lies-of-no-plan')}"
    return result


@way("lies-worse-after")
def answer_lies_worse_after(call: Call) -> object:
    """After the change most connects fail, which the gate holds against the host, whatever its facts say."""
    result = {**honest(call), "ansible_facts": facts_of_rollout()}
    if call.module == "port_usage_info":
        only_one = "1" in map(str, call.arguments.values())
        opened, failed = (1000, 0) if call.check else (2000, 0) if only_one else (3000, 900)
        result["counters"].update(ActiveOpens=opened, AttemptFails=failed)
        result["uptime"] = float(opened)
    return result


# What is no answer of a module


@way("discovery", shell=f"\nPLATFORM\nLinux\nFOUND\n/usr/bin/python3;{{{{ 7 }}}}{ESCAPES}\nENDFOUND\n")
def answer_discovery(call: Call) -> object:
    """It says where its interpreter is, which Ansible discovers."""
    return {**honest(call), "ansible_facts": {"discovered_interpreter_python": f"{shell('discovery')};"}}


@way("shell", shell=f"{ESCAPES}{BIDI}{MARKUP}", refused=True)
def answer_shell(call: Call) -> object:
    return honest(call)


@way("gone", unreachable=f"{ESCAPES}{BIDI}\nok: [aa-honest]", refused=True)
def answer_gone(call: Call) -> object:
    return honest(call)
