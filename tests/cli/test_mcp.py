"""``kernelevolve mcp`` over a real pipe, with the SDK's own client; and what goes over the pipe, byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from kernelevolve import Store, registry
from kernelevolve.accelerator import Status
from kernelevolve.testing import samples

mcp = pytest.importorskip("mcp", reason="needs the MCP SDK; pip install 'kernelevolve[mcp]'")

COMMAND = [sys.executable, "-m", "kernelevolve", "mcp"]
TOOLS = {
    "list_problems",
    "show_problem",
    "list_devices",
    "search_knowledge",
    "read_knowledge",
    "start_run",
    "list_runs",
    "ask",
    "tell",
    "decline",
    "candidates",
    "candidate",
    "best_kernel",
    "cost",
}


class Agent:
    """The client, asked for structured answers."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        found: dict[str, Any] = result.structured_content
        return found

    async def refusal(self, tool: str, **arguments: Any) -> str:
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error
        (content,) = result.content
        text: str = content.text
        return text


@asynccontextmanager
async def connected() -> AsyncIterator[Agent]:
    parameters = mcp.StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=dict(os.environ))
    async with mcp.Client(parameters) as client:
        yield Agent(client)


def drive(work: Callable[[Agent], Awaitable[None]]) -> None:
    """Run `work` with an agent that is connected to a server of its own."""

    async def main() -> None:
        with anyio.fail_after(250):
            async with connected() as agent:
                await work(agent)

    anyio.run(main)


def variant(cost: int) -> str:
    """A right kernel that costs so many cycles per element; the seed's is 10."""
    return samples.GOOD.replace("cols * 10", f"cols * {cost}")


def test_a_run_is_driven_from_its_start_to_its_best_kernel(affine: str) -> None:
    async def work(agent: Agent) -> None:
        listed = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
        assert set(listed) == TOOLS
        assert all(tool.description and tool.output_schema and tool.annotations for tool in listed.values())
        assert [name for name, tool in listed.items() if not tool.annotations.read_only_hint] == [
            "start_run",
            "ask",
            "tell",
            "decline",
        ]

        assert "softmax" in [one["name"] for one in (await agent.call("list_problems"))["problems"]]
        assert (await agent.call("show_problem", name="softmax", language="opencl"))["seed"].startswith("// /// kernel")
        accelerators = (await agent.call("list_devices"))["accelerators"]
        assert {"reference", "opencl"} <= {one["name"] for one in accelerators}

        begun = await agent.call("start_run", problem=affine, accelerator="reference", evaluations=4)
        run = begun["run"]
        assert begun["seed"]["outcome"] == "CORRECT"
        one, two, three = [await agent.call("ask", run=run) for _ in range(3)]
        assert "# The problem: affine" in one["context"]
        assert f"`{one['proposal']}`" in one["context"]

        told = await agent.call(
            "tell", run=run, proposal=one["proposal"], kernel=variant(5), note="half the work", predicted=2.5
        )
        assert (told["outcome"], told["candidate"], told["predicted"]) == ("CORRECT", 1, 2.5)
        assert told["gain"] == pytest.approx(2.0, rel=0.1)
        again = await agent.call("tell", run=run, proposal=one["proposal"], kernel=variant(5))
        assert again == told | {"repeated": True}
        assert (await agent.call("decline", run=run, proposal=two["proposal"], reason="no idea"))[
            "status"
        ] == "declined"

        rows = (await agent.call("candidates", run=run))["candidates"]
        assert [(row["candidate"], row["outcome"]) for row in rows] == [(1, "CORRECT"), (0, "CORRECT")]
        seen = await agent.call("candidate", run=run, number=1)
        assert '+COST = "rows * cols * 5"' in seen["diff"]
        best = await agent.call("best_kernel", problem="affine")
        assert (best["run"], best["candidate"], best["kernel"]) == (run, 1, seen["kernel"])
        cost = await agent.call("cost", run=run)
        assert (cost["evaluations"], cost["proposed"], cost["accepted"]) == (2, 1, 1)
        assert (cost["dollars"], cost["dollars_per_accepted"], cost["dollars_per_percent"]) == (0.0, None, None)
        assert (await agent.call("list_runs"))["runs"][0]["open"] == [three["proposal"]]

    drive(work)


def test_errors_are_one_sentence_and_the_server_goes_on(affine: str) -> None:
    async def work(agent: Agent) -> None:
        assert "unknown run 'none'" in await agent.refusal("ask", run="none")
        assert "unknown problem 'softmaxx'" in await agent.refusal("show_problem", name="softmaxx")
        run = (await agent.call("start_run", problem=affine, accelerator="reference"))["run"]
        proposal = (await agent.call("ask", run=run))["proposal"]
        said = await agent.refusal("tell", run=run, proposal=proposal, kernel="no kernel")
        assert "no header; a kernel file starts with" in said
        assert "Traceback" not in said
        assert "validation error" in await agent.refusal("tell", run=run)
        failed = await agent.call("tell", run=run, proposal=proposal, kernel=variant(5).replace("numpy", "os"))
        assert failed["outcome"] == "REJECTED"

    drive(work)


def test_knowledge_is_searched_and_read() -> None:
    async def work(agent: Agent) -> None:
        found = (await agent.call("search_knowledge", query="coalesced memory access local memory"))["pages"]
        assert found
        page = await agent.call("read_knowledge", page=found[0]["page"])
        assert page["title"] == found[0]["title"]
        assert len(page["text"]) > 100
        assert "unknown page" in await agent.refusal("read_knowledge", page="no/such/page")

    drive(work)


@pytest.mark.opencl
@pytest.mark.slow
def test_a_kernel_is_measured_on_a_real_device_while_the_protocol_goes_on() -> None:
    if registry.accelerator("opencl").probe().status is not Status.OK:
        pytest.skip("needs an OpenCL device")
    order: list[str] = []
    reported: list[str] = []

    async def progress(step: float, total: float | None, message: str | None) -> None:
        reported.append(message or "")

    async def work(agent: Agent) -> None:
        run = (await agent.call("start_run", problem="softmax", accelerator="opencl", workloads=["rows=512,cols=512"]))[
            "run"
        ]
        proposal = (await agent.call("ask", run=run))["proposal"]
        seed = (await agent.call("show_problem", name="softmax", language="opencl"))["seed"]
        kernel = seed.replace("#define GROUP 64", "#define GROUP 32").replace('block = ["64"]', 'block = ["32"]')

        async def tell() -> None:
            arguments = {"run": run, "proposal": proposal, "kernel": kernel}
            told = await agent.client.call_tool("tell", arguments, progress_callback=progress)
            assert told.structured_content["outcome"] in ("CORRECT", "UNSTABLE")  # a busy machine may say so
            order.append("told")

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            await anyio.sleep(0.5)
            await agent.call("list_problems")
            await agent.call("cost", run=run)
            order.append("answered meanwhile")

    drive(work)

    assert order == ["answered meanwhile", "told"]
    assert [message for message in reported if message.startswith("candidate 1:")]
    with Store.open() as store:
        (run,) = store.runs()
        assert len(list(store.candidates(run.id))) == 2


def test_nothing_but_the_protocol_is_written_to_standard_output(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "import os, sys\nfrom kernelevolve.testing import samples\nprint('noise', flush=True)\n"
        "os.write(1, b'more noise\\n')\naffine = samples.problem()\n"
    )
    meta = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    call = {"name": "show_problem", "arguments": {"name": f"{noisy}:affine"}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": meta},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    server = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    for message in messages:
        server.stdin.write(json.dumps(message) + "\n")
    server.stdin.flush()
    answers = [json.loads(server.stdout.readline()) for _ in range(2)]
    rest, errors = server.communicate(timeout=60)

    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["result"]["structuredContent"]["name"] == "affine"
    assert rest == ""
    assert "noise" in errors
    assert server.returncode == 0
