"""[pure] Which model is on which device, who makes room for whom, and when. Usable alone: no engine, clock or network.

plan(State(devices=..., models=..., instances=..., demands=...), now_s).actions
"""

from ringfence.placement.planning.actions import (
    Action,
    Cause,
    Drain,
    Grant,
    Load,
    Plan,
    Recall,
    Refused,
    Sleep,
    Unload,
    Waiting,
    Wake,
    rest_after,
)  # fmt: skip
from ringfence.placement.planning.applied import applied
from ringfence.placement.planning.planner import plan
from ringfence.placement.planning.policy import Policy
from ringfence.placement.planning.regions import Planner
from ringfence.placement.planning.state import (
    Claim,
    Demand,
    DeviceState,
    InstanceState,
    LeasePhase,
    Mode,
    Model,
    Phase,
    Priority,
    Residency,
    Rest,
    Share,
    Site,
    Slot,
    State,
    TenantLease,
    Then,
    Window,
)  # fmt: skip

__all__ = [
    "Action", "Cause", "Claim", "Demand", "DeviceState", "Drain", "Grant", "InstanceState", "LeasePhase", "Load",
    "Mode", "Model", "Phase", "Plan", "Planner", "Policy", "Priority", "Recall", "Refused", "Residency", "Rest",
    "Share", "Site", "Sleep", "Slot", "State", "TenantLease", "Then", "Unload", "Waiting", "Wake", "Window", "applied",
    "plan", "rest_after",
]  # fmt: skip
