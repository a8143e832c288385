# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: look, plan, and change the node under a guard."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic import _backends, _guarded, _guards, _verify
from ansible_collections.manifold.core.plugins.module_utils.multinic._apply import apply
from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend
from ansible_collections.manifold.core.plugins.module_utils.multinic._claims import claims, name_claims
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import ConfigError, GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic._judge import Observed
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import observe_links
from ansible_collections.manifold.core.plugins.module_utils.multinic._lock import one_run
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import NodeConfig
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import NAMES
from ansible_collections.manifold.core.plugins.module_utils.multinic._parse import parse
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Plan, Policy, Target, make_plan
from ansible_collections.manifold.core.plugins.module_utils.multinic._report import Outcome, Report, State
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System
from ansible_collections.manifold.core.plugins.module_utils.multinic._verify import Verify
from ansible_collections.manifold.core.plugins.module_utils.multinic._view import View, diff, differs, look


@dataclass(frozen=True)
class Request:
    """What a task asks for.

    :param interfaces: as users and sources write them; empty to remove all that is ours.
    :param backend: ``auto`` or the name of one.
    :param guard: ``auto`` or a kind.
    :param rollback_timeout: seconds after which the guard undoes a change that was not confirmed.
    :param connected: addresses of the node by which it is reached just now.
    :param check: only tell what would be done.
    """

    interfaces: Sequence[object] = ()
    backend: str = "auto"
    policy: Policy = field(default_factory=Policy)
    verify: Verify = field(default_factory=Verify)
    guard: str = "auto"
    rollback_timeout: int = 60
    connected: tuple[str, ...] = ()
    check: bool = False


def configure(system: System, request: Request) -> Report:
    """Make the node what is asked for.

    :raises ConfigError: the request makes no sense as a whole; an entry that does not is in the report.
    :raises NodeError: the node cannot be looked at, or another run is at it. Nothing was changed.
    :raises GuardError: no guard could be armed. Nothing was changed.
    """
    if request.rollback_timeout <= request.verify.timeout:
        raise ConfigError(
            f"rollback_timeout ({request.rollback_timeout} s) must be longer than verify.timeout "
            f"({request.verify.timeout:g} s), or the guard undoes the change while it is being verified"
        )
    with one_run(system):
        warnings = _recover(system, request.check)
        run = _Run(system, request, _backends.choose(system, request.backend), parse(request.interfaces), warnings)
        plan = run.plan(run.observed())
        if request.check or not plan.groups:
            return run.planned(plan)
        return run.carry_out(plan)


def observe(system: System, config: NodeConfig, connected: tuple[str, ...] = ()) -> Observed:
    """Look at the node. :raises NodeError: it cannot be looked at."""
    files = _backends.all_own(system)
    own = [file.path for file in files]
    return Observed(
        observe_links(system),
        files,
        claims(system, [interface.mac for interface in config.interfaces], own),
        name_claims(system, NAMES, own),
        connected,
    )


def _recover(system: System, check: bool) -> list[str]:
    """End what an earlier run has left, which makes the node what it was before that run."""
    if check:
        if _guarded.unfinished(system):
            return ["An earlier run was cut short; a run without check mode first puts the node back as it was before."]
        return []
    restored = _guarded.recover(system)
    if restored is None:
        return []
    problems = f"; not put back: {'; '.join(restored.problems)}" if restored.problems else ""
    return [f"An earlier run was cut short; the node was put back as it was before it, by {restored.by}{problems}."]


@dataclass
class _Run:
    """A run that holds the lock."""

    system: System
    request: Request
    backend: Backend
    config: NodeConfig
    warnings: list[str]

    def observed(self) -> Observed:
        """Look at the node."""
        return observe(self.system, self.config, self.request.connected)

    def plan(self, observed: Observed) -> Plan:
        """Plan what is to be done."""
        return make_plan(self.config, observed, self.request.policy, self.backend.render)

    def planned(self, plan: Plan) -> Report:
        """Report what would be done, or that nothing is to be done."""
        outcomes = [_outcome(target, plan.before, plan.after) for target in plan.targets]
        return self._report(plan, outcomes, diff(plan.before, plan.after))

    def carry_out(self, plan: Plan) -> Report:
        """Change the node, under a guard, and report."""
        guard = _guards.choose(self.system, self.request.guard)
        self._try_out(plan)
        seconds = self.request.verify.timeout
        worked = _verify.working(_verify.checks(self.system, self.request.verify), seconds)
        indexes = {index for group in plan.groups for index in group.indexes}
        paths = {path for group in plan.groups for path in group.paths}
        snapshot = _guarded.take(self.system, self.backend, indexes, paths)
        armed = _guarded.arm(snapshot, guard, self.request.rollback_timeout)
        rolled_back = None
        reasons: dict[Target, str] = {}
        try:
            reasons = {failure.target: failure.reason for failure in apply(self.system, plan, armed)}
            self._tell(plan, reasons)
            broken = _verify.failed(worked, seconds)
            if broken:
                rolled_back = self._restore(armed, broken)
            else:
                armed.disarm()
        except GuardError as exc:
            rolled_back = str(exc)
        except BaseException:
            armed.restore()
            raise
        return replace(self._changed(plan, reasons, rolled_back), guard=armed.kind, rolled_back=rolled_back)

    def _try_out(self, plan: Plan) -> None:
        """Let the node's own tool read the files first."""
        written = [file for target in plan.targets for file in target.write]
        removed = [path for group in plan.groups for path in group.removed]
        self.warnings += self.backend.try_out(written, removed)

    def _tell(self, plan: Plan, reasons: dict[Target, str]) -> None:
        """Tell a running daemon of the files that were changed, and stay so."""
        done = [group for group in plan.groups if group.targets[0] not in reasons]
        written = [path for group in done for path in group.written]
        removed = [path for group in done for path in group.removed]
        self.warnings += self.backend.tell(written, removed)

    def _restore(self, armed: _guarded.Armed, broken: Sequence[str]) -> str:
        problems = armed.restore().problems
        left = f"; not put back: {'; '.join(problems)}" if problems else ""
        return f"{'; '.join(broken)}{left}"

    def _changed(self, plan: Plan, reasons: dict[Target, str], rolled_back: str | None) -> Report:
        """Report what the node looks like now, whatever was meant to be done."""
        observed = self.observed()
        again = self.plan(observed)
        now = look(observed.links, observed.files, plan.before.links.keys())
        reasons = {**_unlasting(plan, again), **reasons}
        outcomes = []
        for target in plan.targets:
            outcome = _outcome(target, plan.before, now)
            if rolled_back is None:
                reason = reasons.get(target)
            else:
                meant = _outcome(target, plan.before, plan.after).changed
                reason = "the change was undone together with all others" if meant else None
            outcomes.append(outcome if reason is None else replace(outcome, state=State.FAILED, reason=reason))
        return self._report(plan, outcomes, diff(plan.before, now))

    def _report(self, plan: Plan, outcomes: Sequence[Outcome], difference: tuple[dict[str, str], ...]) -> Report:
        ordered = sorted((*outcomes, *plan.refused), key=_order)
        return Report(
            tuple(ordered),
            self.backend.name,
            diff=difference,
            warnings=tuple(self.warnings),
            steps=tuple(str(step) for step in plan.steps),
        )


def _outcome(target: Target, before: View, now: View) -> Outcome:
    """Return the outcome of a target, changed or not by two looks at the node."""
    mac = None if target.move is None else target.move.link.mac
    return replace(target.outcome, changed=differs(before, now, mac, (*target.paths, *target.remove)))


def _unlasting(plan: Plan, again: Plan) -> dict[Target, str]:
    """Return which targets are not what they were made, and why, by a new plan after the change."""
    reasons: dict[Target, str] = {}
    objections = {outcome.id: outcome.reason or "" for outcome in again.refused if outcome.id is not None}
    for target in plan.targets:
        for group in again.groups:
            if any(target.touches() & other.touches() for other in group.targets):
                reasons[target] = f"it did not stay so; still to be done: {', '.join(map(str, group.steps))}"
        if target.outcome.id in objections:
            reasons[target] = objections[target.outcome.id]
    return reasons


def _order(outcome: Outcome) -> tuple[bool, int, str]:
    """Those with an id first, in its order."""
    return (outcome.id is None, outcome.id or 0, outcome.mac or outcome.name or "")
