"""The same questions asked of a real shared library: structures and calls are those of C, not only of a stand-in."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringfence.accelerators.nvml import Nvidia
from ringfence.core.device import DeviceKind, Ours

GIB = 1024**3
SOURCE = r"""
#include <stdio.h>
#include <string.h>
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilisation;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;
typedef struct { void *device; unsigned long long type, data; unsigned gpu_instance, compute_instance; } event;
static int cards[3] = {0, 0, 0}, faults;
void break_card(int i, int code) { cards[i] = code; }
void report_fault(void) { faults = 1; }
#define CARD(h) int i = (int *)(h) - cards; if (cards[i]) return cards[i];
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = &cards[i]; return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned n) { CARD(h) snprintf(s, n, "Card %d", i); return 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned n) { CARD(h) snprintf(s, n, "GPU-%d", i); return 0; }
int nvmlDeviceGetMemoryInfo_v2(void *h, memory_v2 *m) {
    CARD(h)
    if (m->version != (sizeof *m | 2 << 24)) return 25;
    if (i == 2) return 3;
    m->total = 24ULL << 30; m->reserved = 1ULL << 30; m->used = 8ULL << 30; m->free = 15ULL << 30;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *h, utilisation *u) { CARD(h) u->gpu = 50; u->memory = 9; return 0; }
int nvmlDeviceGetTemperature(void *h, int s, unsigned *t) { CARD(h) *t = 60 + s; return 0; }
int nvmlDeviceGetPowerUsage(void *h, unsigned *p) { CARD(h) if (i == 1) return 3; *p = 351250; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, process *p) {
    CARD(h)
    if (i) { *n = 0; return 0; }
    if (*n < 2) { *n = 2; return 7; }
    *n = 2; memset(p, 0, 2 * sizeof *p);
    p[0].pid = 100; p[0].used = 5ULL << 30; p[1].pid = 4294967295u; p[1].used = 1ULL << 30;
    return 0;
}
int nvmlEventSetCreate(void **s) { *s = &faults; return 0; }
int nvmlDeviceRegisterEvents(void *h, unsigned long long kinds, void *s) { return kinds == 8 && s == &faults ? 0 : 2; }
int nvmlEventSetWait_v2(void *s, event *e, unsigned ms) {
    if (s != &faults || ms || !faults) return 10;
    faults = 0; e->device = &cards[1]; e->type = 8; e->data = 79;
    return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "nvml.so", "nvml.c"], cwd=folder, check=True, timeout=50)
    return ctypes.CDLL(str(folder / "nvml.so"))


def test_cards_of_a_library_in_c(library: Any, proc: Path, process: Callable[[int, str, int], Path]) -> None:
    process(100, "python", 100)
    reader = Nvidia(lambda: library, proc)
    first, second, third = reader.read([Ours("qwen3-8b", 100)])
    assert (first.id, first.name, first.load, first.temperature_c) == ("GPU-0", "Card 0", 0.5, 60)
    assert (first.total_bytes, first.available_bytes, first.used_by_others_bytes) == (24 * GIB, 15 * GIB, 4 * GIB)
    assert [(one.pid, one.held_bytes) for one in first.holders] == [(100, 5 * GIB), (2**32 - 1, GIB)]
    assert [one.watts for one in (first, second, third)] == [351.25, None, 351.25]
    assert second.holders == () and second.used_by_others_bytes == 9 * GIB
    assert (third.kind, third.total_bytes) == (DeviceKind.UNIFIED, 1000 * 1024)
    library.break_card(0, 15)
    library.report_fault()
    lost, faulty, well = reader.read()
    assert "it is lost" in lost.out_of_service and (lost.id, lost.total_bytes) == ("GPU-0", 24 * GIB)
    assert "Xid 79" in faulty.out_of_service and well.out_of_service == ""
    library.break_card(0, 0)
