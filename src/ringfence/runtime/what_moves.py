"""What is told of placement to whoever runs the gateway: what is where, what would be done, modes."""

from __future__ import annotations

from time import monotonic
from typing import Any

from ringfence.core.errors import BadRequest
from ringfence.placement.planning import Action, Grant, InstanceState, Load, Model, Recall
from ringfence.placement.planning import State as Planned
from ringfence.runtime.modes import SwitchGoesOn
from ringfence.runtime.placing import Placing
from ringfence.runtime.what_holds import Reserved


class WhatMoves:
    """Reads what `placing` sees; and passes on what tenants and owners want of it."""

    def __init__(self, placing: Placing) -> None:
        self._placing = placing

    # -- the plan ---------------------------------------------------------------------------------------------------

    async def plan(self) -> dict[str, Any]:
        """What would be done now; nothing is."""
        placing = self._placing
        await placing.memory.recall()
        await placing.memory.refresh()
        state, plan = placing.reconciler.dry()
        now_s, words = monotonic(), placing.in_words
        wakes_at_s = plan.wakes_at_s
        return {
            "actions": [self._action(action, state) for action in plan.actions],
            "waiting": [
                {
                    "name": one.name,
                    "reason": placing.in_words(one.reason),
                    "estimate_s": round(one.estimate_s(now_s), 1),
                }
                for one in plan.waiting
            ],
            "refused": [{"name": one.name, "reason": words(one.reason)} for one in plan.refused],
            "asked_again_in_s": None if wakes_at_s is None else round(max(0.0, wakes_at_s - now_s), 1),
            "models": [self._model(model, state, now_s) for model in placing.desired.models()],
            "mode": placing.modes.now,
            "recent": [
                {"at_s": at_s, "what": event.what, "name": event.name, "reason": event.reason}
                for at_s, event in placing.recent
            ],
        }

    def _action(self, action: Action, state: Planned) -> dict[str, Any]:
        devices: dict[str, int] = {}
        if isinstance(action, Load):
            name, devices = action.model, {share.device: share.most_bytes for share in action.site.shares}
        elif isinstance(action, Grant | Recall):
            name = action.lease
            found = next((one for one in state.leases if one.id == action.lease), None)
            devices = {found.device: found.leased_bytes} if found is not None else {}
        else:
            name = action.instance
            devices = _claimed(next((one for one in state.instances if one.id == action.instance), None))
        cause = getattr(action, "cause", None)
        return {
            "what": type(action).__name__.lower(), "name": name, "devices": devices,
            "cause": cause.value if cause is not None else "", "reason": self._placing.in_words(action.reason),
        }  # fmt: skip

    def _model(self, model: Model, state: Planned, now_s: float) -> dict[str, Any]:
        placing = self._placing
        instance = next((one for one in state.instances if one.id == model.name), None)
        failed = placing.reconciler.placement.get(model.name).failed
        phase = instance.phase.value if instance is not None else "failed" if failed else "absent"
        share = model.sites[0].shares[0] if model.sites and model.sites[0].shares else None
        devices = _claimed(instance) or ({share.device: share.most_bytes} if share is not None else {})
        idle_s = None
        if instance is not None and not instance.running:
            idle_s = round(now_s - max(instance.since_s, instance.last_used_s), 1)
        return {
            "name": model.name, "residency": model.residency.value, "priority": model.priority.name, "phase": phase,
            "devices": devices, "running": instance.running if instance is not None else 0,
            "waiting": placing.reconciler.demands.waiting(model.name), "idle_s": idle_s,
            "basis": placing.desired.basis(model.name, next(iter(devices), "")),
        }  # fmt: skip

    def reserved(self, device: str) -> Reserved:
        """What is kept of a device for others than new models."""
        state = next((one for one in self._placing.desired.devices() if one.device.id == device), None)
        leased = self._placing.leased().get(device, 0)
        if state is None:
            return Reserved(leased_bytes=leased)
        return Reserved(state.headroom_bytes, state.threshold_bytes, leased)

    # -- modes ------------------------------------------------------------------------------------------------------

    def switch_mode(self, name: str | None) -> dict[str, Any]:
        try:
            self._placing.modes.begin(name)
        except SwitchGoesOn as other:
            raise BadRequest(f"A switch to '{other}' goes on; wait until it is over.", param="mode") from None
        return self._placing.modes.shown()


def _claimed(instance: InstanceState | None) -> dict[str, int]:
    return {claim.device: claim.claimed_bytes for claim in instance.claims} if instance is not None else {}
