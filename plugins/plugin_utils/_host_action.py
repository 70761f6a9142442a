# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all actions of this collection are: they call modules on a host, and pass on what was checked.

ansible-core takes facts from any result of a module, and facts outrank the defaults of roles: a host could choose which
file of the controller is rendered. So no module of ours is called but through here.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from ansible import errors, template
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.json_utils import _filter_non_json_lines
from ansible.plugins.action import ActionBase
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._common.errors import OptionError
from . import _border, _gateway, _preload, _transport
from ._model import DiffPart, Gateway, Usage
from ._options import Options
from ._say import say
from ._task_result import reason_given, without_noise
from ._text.describe import describe

T = TypeVar("T")
Result = dict[str, Any]

COLLECTION = "netops.ephemeral_ports"
# What a worker may take while it listens to a host that never ends.
MEMORY = 512 * 1024 * 1024
DATA = re.compile(r"VmData:\s+([0-9]+) kB")
WARNINGS, OUTPUT = 20, 4_096
# Characters of an answer, of which many may be written as six.
PRINTED = 2 * _border.IN_ALL
# Of so few the parts need not be weighed one by one: each takes a character at least, and a crash is told twice.
LIGHT = _border.IN_ALL // 4
# The option of our actions that names the variables in which values of options are.
VARIABLES = "variables"
# The option of our actions that bounds what they take, in seconds.
TIMEOUT = "timeout"
# Keys of a result of a module, besides those that begin with an underscore.
ACTED_ON = ("add_group", "add_host", "ansible_facts", "results")
# What ansible-core says where a template is omit; before 2.19 it is a text of its own.
OMITTED: Any = getattr(errors, "AnsibleValueOmittedError", ())
# From ansible-core 2.19 on a text is a template only where it is marked as one, which nothing is that was parsed.
IS_MARKED = hasattr(template, "trust_as_template")
# What ansible-core makes of an answer that it does not understand.
ODD = (AttributeError, KeyError, MemoryError, RecursionError, TypeError, ValueError)

# Once, before there are workers.
_preload.load()
_preload.freeze()


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a module answered. result: None where it failed without one. error: why it failed, None where it did not.

    of_the_task: what ansible-core acts on in the result of a task: warnings, diff, the discovered interpreter.
    of_a_crash: what a module that crashed printed.
    """

    result: T | None
    error: str | None = None
    of_the_task: Result = field(default_factory=dict)
    of_a_crash: Result = field(default_factory=dict)


class HostAction(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    _supports_async = True
    _supports_check_mode = True
    _stderr = ""
    _sent: _transport.Program | None = None
    _printed: int | None = None
    _shared_loader_obj: Any

    def prepare(self, task_vars: Mapping[str, Any]) -> None:
        """Raises AnsibleActionFail where the host steers us by its facts, or where its result could not be checked."""
        facts = _border.facts_of_ours(task_vars.get("ansible_facts"))
        if facts:
            raise AnsibleActionFail(
                f"facts of this host set {', '.join(facts[:5])}, but variables of {COLLECTION} never come from a host. "
                "The host may be compromised; if it was set_fact with cacheable, put the variable into the inventory"
            )
        if self._task.async_val:
            if not self._task.poll:
                raise AnsibleActionFail(
                    "poll: 0 would leave the result to async_status, unchecked; give poll a positive number"
                )
            self._task.async_val = 0  # it is awaited here, so that ansible-core does not fetch the result by itself

    def given(self, task_vars: Mapping[str, Any]) -> Result:
        """The arguments of the task, with those whose values are in variables.

        A template in an argument is compiled anew for each host; a value of a variable is mostly none.
        """
        names = self._task.args.get(VARIABLES) or {}
        if isinstance(names, str):
            names = task_vars.get(names)
        if not isinstance(names, Mapping):
            raise AnsibleActionFail(f"{VARIABLES} must be a dictionary of names of variables, or name one")
        needed = {option: name for option, name in names.items() if self.needs(option)}
        return {**self._task.args, VARIABLES: {}, **self._values(needed, task_vars)}

    def needs(self, _option: str) -> bool:
        """Whether the value of the variable for an option is of use to this task."""
        return True

    def read(self, known: Options, given: Mapping[str, Any]) -> Result:
        """Raises AnsibleActionFail for an option that cannot be used."""
        try:
            return known.read(given)
        except OptionError as error:
            raise AnsibleActionFail(str(error)) from error

    def _values(self, names: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Result:
        found: Result = {}
        for option, name in names.items():
            if isinstance(name, Mapping):
                found[option] = self._values(name, task_vars)
            elif name in task_vars:
                with suppress(OMITTED):
                    value = self._templar.template(task_vars[name])
                    if value is not None and value != task_vars.get("omit"):
                        found[option] = value
        return found

    def call(self, module: str, arguments: Result, kind: type[T], task_vars: Result) -> Answer[T]:
        """Never raises for what a host says."""
        self._printed = None
        try:
            with _bounded_memory():
                returned = self._execute_module(f"{COLLECTION}.{module}", arguments, task_vars=task_vars)
            if self._printed is None or self._printed > LIGHT:
                _border.weigh(returned)
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(self._reason({"msg": str(error), "stderr": self._stderr})) from None
        except _border.NotUnderstoodError as error:
            return self._refused(str(error))
        except ODD as error:
            return self._refused(f"its answer is no result of a module ({type(error).__name__})")
        except AnsibleError as error:  # the module did not get there
            whole = {"module_stderr": _border.clean(str(error), OUTPUT)}
            return Answer(None, wrap_var(self._reason({"msg": str(error)})), self._interpreter(), wrap_var(whole))
        return self._checked(returned, kind)

    def _configure_module(self, module_name: str, module_args: Result, task_vars: Result) -> tuple[Any, ...]:
        """What ansible-core sends to the host, and with which interpreter: a program where there is one."""
        name = module_name.rpartition(".")[2]
        if not self._lets_programs_travel(task_vars):
            self._sent = None
            return self._configure(None, module_name, module_args, task_vars)
        built = _transport.built(name)
        if built is not None:
            program = _transport.program_for(built, module_args)
            configured = program and self._configure_program(built, program.file, task_vars)
            if program and configured:
                self._sent = program
                words = f"{built.path.stem} travels as a program of {len(program.input)} bytes"
                self._display.vvv(words, host=self._play_context.remote_addr)
                return configured
        configured = self._configure(_transport.packed_module(name), module_name, module_args, task_vars)
        self._sent = _transport.piped_module(configured)
        return configured

    def _configure(
        self, loader: _transport.OnlyFile | None, module_name: str, module_args: Result, task_vars: Result
    ) -> tuple[Any, ...]:
        """As ansible-core does. loader: finds another file in place of the module."""
        loaders = self._shared_loader_obj
        self._shared_loader_obj = loader or loaders
        try:
            return tuple(
                super()._configure_module(module_name=module_name, module_args=module_args, task_vars=task_vars)
            )
        finally:
            self._shared_loader_obj = loaders

    def _lets_programs_travel(self, task_vars: Result) -> bool:
        wanted = task_vars.get(_transport.VARIABLE)
        of_windows = ".ps1" in self._connection.module_implementation_preferences
        return not of_windows and (wanted is None or self._templar.template(wanted) != _transport.MODULE)

    def _configure_program(self, built: _transport.Built, program: bytes, task_vars: Result) -> tuple[Any, ...] | None:
        configured = self._configure(_transport.OnlyFile(built.stub), built.path.stem, {}, task_vars)
        return _transport.in_place_of_stub(configured, program, built.path)

    def observe(self, arguments: Result, task_vars: Result) -> Answer[Usage]:
        """port_usage_info, told that the host is behind a NAT gateway where the inventory says so.

        Raises AnsibleActionFail where what it says is of no use.
        """
        gateway = self._gateway(task_vars)
        behind = {"behind_nat": _gateway.behind_nat(gateway)} if gateway else {}
        answer = self.call("port_usage_info", {**behind, **arguments}, Usage, task_vars)
        if answer.result is None:
            return answer
        return replace(answer, result={**answer.result, "gateway": wrap_var(gateway)})

    def say(self, lines: Sequence[str], task_vars: Mapping[str, Any]) -> None:
        """In the terminal, as text: what a task prints itself is JSON, with each line in quotes."""
        if not self._task.no_log:
            say(task_vars["inventory_hostname"], lines)

    def tell(self, result: object, task_vars: Mapping[str, Any]) -> None:
        """A result of this collection, in words."""
        self.say(describe(result, check=bool(self._task.check_mode)), task_vars)

    def _gateway(self, task_vars: Mapping[str, Any]) -> Gateway | None:
        value = task_vars.get(_gateway.VARIABLE)
        if value is None:
            return None
        host = str(task_vars.get("inventory_hostname", "this host"))
        try:
            return _gateway.read_gateway(self._templar.template(value), host)
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None
        except AnsibleError as error:
            raise AnsibleActionFail(f"{_gateway.VARIABLE} of {host}: {error}") from error

    def _low_level_execute_command(self, cmd: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - ansible-core's
        """Where ansible-core pipes a program to an interpreter, it goes in the form for that.

        And ansible-core does not tell what mkdir says where it makes no directory for temporary files.
        """
        if self._sent and options.get("in_data") is self._sent.file:
            cmd, options["in_data"] = f"{cmd} {self._sent.loader}", self._sent.input
        done = super()._low_level_execute_command(cmd, *arguments, **options)
        self._stderr = str(done.get("stderr", ""))[:OUTPUT]
        return done

    def _reason(self, result: Mapping[str, Any]) -> str:
        shebang = (getattr(self, "_used_interpreter", None) or "").removeprefix("#!")
        return _border.clean(reason_given(result, _border.printable(shebang) or None), OUTPUT)

    def _parse_returned_data(self, res: Result, *profile: Any) -> Any:  # noqa: ANN401 - ansible-core's
        """Of what a host printed, ansible-core gets only what is printable, and no key that it would act on or warn of:
        its warnings quote the host."""
        printed = str(res.get("stdout", "")).replace("\r\n", "\n")  # so a terminal ends lines, without pipelining
        self._printed = len(printed) + len(str(res.get("stderr", "")))
        if len(printed) > PRINTED:
            raise _border.NotUnderstoodError(f"it printed more than {PRINTED} characters")
        return super()._parse_returned_data({**res, "stdout": _plain_answer(_border.printable(printed))}, *profile)

    def _checked(self, returned: Mapping[str, Any], kind: type[T]) -> Answer[T]:
        result, odd = None, None
        try:
            of_the_task = {**_warnings(returned), **_diff(returned), **self._interpreter()}
            result = _border.parse(kind, returned)
        except _border.NotUnderstoodError as error:
            odd, of_the_task = str(error), self._interpreter()
        failed = returned.get("failed", False)
        if not isinstance(failed, bool):
            return self._refused("failed: expected true or false")
        if failed:
            reason = wrap_var(self._reason(returned))
            return Answer(_unsafe(result), reason, wrap_var(of_the_task), wrap_var(_crash(returned)))
        if odd is not None:
            return self._refused(odd)
        return Answer(_unsafe(result), None, wrap_var(of_the_task))

    def _refused(self, why: str) -> Answer[T]:
        return Answer(None, wrap_var(f"the answer of the host was refused: {why}"), self._interpreter())

    def _interpreter(self) -> Result:
        """As ansible-core found it, which is the one fact that a result of ours carries."""
        name, path = getattr(self, "_discovered_interpreter_key", None), getattr(self, "_discovered_interpreter", None)
        checked = _border.interpreter(path)
        return {"ansible_facts": {name: checked}} if name and checked else {}


def failed(reason: str, result: Result, of_the_task: Result) -> Result:
    """A result of which the terminal gets the reason, and the report all.

    ansible-core prints a failed result, but its invocation only from -vvv on.
    """
    told = {name: one for name, one in result.items() if name not in of_the_task}
    return {"changed": result["changed"], **of_the_task, "failed": True, "msg": reason, "invocation": told}


class ModuleAction(HostAction):
    """A module by itself: its result, checked."""

    module: str
    kind: type[Any]
    tells = False  # whether it says in words what has become of the host

    def __init_subclass__(cls) -> None:
        """Before there are workers."""
        _transport.packed_module(cls.module)
        _border.prepare(cls.kind)

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        del tmp  # ansible-core does not use it any more
        self.prepare(task_vars or {})
        answer = self.ask_module(task_vars or {})
        result: Result = {"changed": False, **(answer.result or {}), **answer.of_the_task}
        if answer.error is not None:
            result |= {"failed": True, "msg": answer.error, **answer.of_a_crash}
        if self.tells and answer.result is not None:
            self.tell(answer.result, task_vars or {})
        return result

    def ask_module(self, task_vars: Result) -> Answer[Any]:
        return self.call(self.module, self._task.args, self.kind, task_vars)


def _unsafe(parsed: T) -> T:
    """Never taken for a template."""
    marked: T = parsed if IS_MARKED else wrap_var(parsed)
    return marked


def _plain_answer(printed: str) -> str:
    """The object in it, without what surrounds it and without those keys; as it is where there is none."""
    try:
        answer = json.loads(_filter_non_json_lines(printed, objects_only=True)[0])
    except ValueError:
        return printed
    kept = {name: answer[name] for name in answer if name[:1] != "_" and name not in ACTED_ON}
    return json.dumps(_border.printable_throughout(kept))


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """ansible-core keeps all that a host prints; an endless answer ends with a MemoryError."""
    if sys.platform != "linux":
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _data_in_use() + MEMORY
    bounds = [bound for bound in (wanted, before, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _data_in_use() -> int:
    match = DATA.search(Path("/proc/self/status").read_text(errors="replace"))
    return int(match[1]) * 1024 if match else 0


def _warnings(returned: Mapping[str, Any]) -> Result:
    """Texts, or from ansible-core 2.19 on objects that hold one."""
    given = returned.get("warnings")
    texts = [_text_of(one) for one in given[:WARNINGS]] if isinstance(given, list) else []
    return {"warnings": texts} if texts else {}


def _text_of(warning: object) -> str:
    text = warning if isinstance(warning, str) else getattr(getattr(warning, "event", None), "msg", None)
    return _border.clean(text if isinstance(text, str) else str(warning), OUTPUT)


def _diff(returned: Mapping[str, Any]) -> Result:
    return {"diff": _border.parse(list[DiffPart], returned["diff"])} if returned.get("diff") else {}


def _crash(returned: Mapping[str, Any]) -> Result:
    printed = {name: returned.get(name) for name in ("module_stderr", "module_stdout")}
    texts = {name: text for name, text in printed.items() if isinstance(text, str) and text}
    words = {name: without_noise(text) for name, text in texts.items()}
    return {name: _border.clean(text, OUTPUT) for name, text in words.items() if text}
