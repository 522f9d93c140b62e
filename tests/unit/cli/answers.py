"""Answers of a master to `status`, as small as may be."""

from __future__ import annotations

from typing import Any


def worker(slot: int, requests: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "slot": slot,
        "pid": 1000 + slot,
        "generation": 1,
        "state": "ready",
        "requests": requests,
        "connections": 2,
        "threads_busy": 0,
        "threads_waiting": 0,
        "since_s": 1.0,
        "memory_pss": None,
        "request": None,
    } | more


def request(target: str, since_s: float = 0.0) -> dict[str, Any]:
    return {
        "id": "01",
        "client": "192.0.2.9",
        "method": "GET",
        "target": target,
        "route": "/",
        "since_s": since_s,
    }


def death(at: float, **more: Any) -> dict[str, Any]:
    return {
        "at": at,
        "kind": "worker",
        "slot": 3,
        "pid": 4711,
        "generation": 2,
        "reason": "died by signal 9 (SIGKILL)",
        "request": None,
    } | more


def answer(*workers: dict[str, Any], requests: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "ok": True,
        "version": "0.1.0",
        "pid": 41,
        "state": "running",
        "generation": 1,
        "started": 0.0,
        "uptime_s": 3725.0,
        "config": "conf/forkd.yaml",
        "listeners": [{"address": "127.0.0.1:8080", "protocol": "http", "queue": 0}],
        "workers": list(workers),
        "totals": {
            "requests": requests,
            "connections": requests,
            "bytes_sent": 1024 * requests,
            "errors": 0,
        },
        "last_reload": None,
    } | more
