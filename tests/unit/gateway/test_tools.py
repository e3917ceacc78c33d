"""Which tools a request has to do with, in every way of writing it."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.gateway.tools import UNKNOWN, tool_names

LOOK = {"name": "look", "parameters": {}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def brought(by: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": by, "content": "what it brought"}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, []),
        ({"tools": None, "functions": [], "messages": [{"role": "user", "content": "look"}]}, []),
        ({"tools": [{"type": "function", "function": LOOK}]}, ["look"]),
        ({"functions": [LOOK, {"name": "pay"}]}, ["look", "pay"]),
        ({"messages": [ASKED, brought()]}, ["look"]),
        ({"messages": [brought()]}, [UNKNOWN]),
        ({"messages": [ASKED, brought("another")]}, ["look", UNKNOWN]),
        ({"messages": [{"role": "assistant", "function_call": {"name": "pay"}}]}, ["pay"]),
        ({"messages": [{"role": "function", "name": "pay", "content": "paid"}]}, ["pay"]),
        ({"messages": [ASKED, brought() | {"name": "pay"}]}, ["look", "pay"]),
        ({"messages": [ASKED, brought() | {"name": None}]}, ["look"]),
        ({"messages": [ASKED, brought() | {"name": ["look"]}]}, ["look", UNKNOWN]),
        ({"messages": [{"role": "tool", "name": "pay", "content": "x"}]}, ["pay", UNKNOWN]),
        ({"messages": [ASKED | {"tool_calls": [{"function": LOOK}]}, {"role": "tool"}]}, ["look", UNKNOWN]),
        ({"messages": [ASKED | {"tool_calls": [CALL | {"id": 1}]}, brought("1")]}, ["look", UNKNOWN]),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]}, [UNKNOWN]),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "look"}]}]}, [UNKNOWN]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "tool"}, 1]}]}, []),
    ],
)
def test_offered_called_and_brought(body: dict[str, Any], names: list[str]) -> None:
    assert list(tool_names(body)) == names


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": "look"},
        {"tools": [None]},
        {"functions": {"look": {}}},
        {"functions": [{"name": 7}]},
        {"messages": [{"role": "assistant", "tool_calls": {"id": "c1"}}]},
        {"messages": [{"role": "assistant", "function_call": "look"}]},
    ],
)
def test_what_has_another_shape_is_no_tool_that_could_be_listed(body: dict[str, Any]) -> None:
    assert UNKNOWN in list(tool_names(body))
