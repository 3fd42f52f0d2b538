"""How long fetching images takes, as a ratio to `curl --parallel` with the same number of transfers at one time.

    python benchmarks/downloads.py [--files 2000] [--parallel 32] [--rounds 7] [--work build/downloads]

Both fetch the same JPEGs of about 100 KB, in turn, from a server on loopback in a process of its own that has them in
memory: once with answers at once, where nothing but the client's own work counts, and once with answers after 20 ms, as
over a network. Ours are looked at, summed, journaled, and renamed to their place; curl only writes what comes. Python's
start is not counted.
"""

import argparse
import asyncio
import io
import ipaddress
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from odtl.annotations.model import Origin  # noqa: E402
from odtl.fetching.policy import Policy  # noqa: E402
from odtl.fetching.shard import fetch_images  # noqa: E402

DELAYS = (0.0, 0.02)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def draw(count: int) -> list[bytes]:
    """Return JPEGs of about 100 KB, no two the same: 40 pictures, each with a comment of its own."""
    generator = np.random.default_rng(1)
    pictures = []
    for _ in range(40):
        small = Image.fromarray(generator.integers(0, 255, (48, 64, 3), dtype=np.uint8)).resize((640, 480))
        noise = generator.integers(-18, 18, (480, 640, 3))
        stream = io.BytesIO()
        Image.fromarray((np.asarray(small).astype(int) + noise).clip(0, 255).astype(np.uint8)).save(
            stream, "JPEG", quality=85
        )
        pictures.append(stream.getvalue())
    comments = (b"\xff\xfe\x00\x0a%08d" % number for number in range(count))
    return [pictures[number % 40][:2] + comment + pictures[number % 40][2:] for number, comment in enumerate(comments)]


def serve(pictures: list[bytes], ports) -> None:
    """Serve /{number} on one port for each delay; put the ports into a queue."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    answers = [head % len(picture) + picture for picture in pictures]

    class Protocol(asyncio.Protocol):
        delay = 0.0

        def connection_made(self, transport):
            self.transport, self.received = transport, b""

        def data_received(self, data):
            self.received += data
            while (end := self.received.find(b"\r\n\r\n")) >= 0:
                answer = answers[int(self.received[:end].split(b" ", 2)[1][1:])]
                self.received = self.received[end + 4 :]
                if self.delay:
                    asyncio.get_running_loop().call_later(self.delay, self.transport.write, answer)
                else:
                    self.transport.write(answer)

    async def run():
        loop = asyncio.get_running_loop()
        servers = []
        for delay in DELAYS:
            servers.append(await loop.create_server(type("Delayed", (Protocol,), {"delay": delay}), "127.0.0.1", 0))
        ports.put([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.gather(*(server.serve_forever() for server in servers))

    asyncio.run(run())


def time_curl(port: int, count: int, parallel: int, folder: Path) -> float:
    """Fetch all files with curl; return the seconds that it took."""
    folder.mkdir(parents=True)
    config = folder.parent / "curl.txt"
    lines = (f'url = "http://127.0.0.1:{port}/{n}"\noutput = "{folder}/{n}.jpg"\n' for n in range(count))
    config.write_text("".join(lines), encoding="utf-8")
    limits = ["--parallel", "--parallel-max", str(parallel)]
    began = time.perf_counter()
    subprocess.run(["curl", "--noproxy", "*", *limits, "--config", str(config)], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def time_ours(port: int, count: int, parallel: int, folder: Path) -> float:
    """Fetch all files; return the seconds that it took."""
    wanted = [(f"image-{number:06}", Origin(f"http://127.0.0.1:{port}/{number}")) for number in range(count)]
    policy = Policy(parallel=parallel, per_host=parallel, allow_addresses=LOOPBACK)
    began = time.perf_counter()
    rows = fetch_images(wanted, folder, "benchmark", policy, stream=io.StringIO())
    seconds = time.perf_counter() - began
    if any(row.error for row in rows):
        raise SystemExit(f"failed: {next(row for row in rows if row.error)}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--parallel", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", type=Path, default=ROOT / "build/downloads")
    arguments = parser.parse_args()
    os.environ["no_proxy"] = "127.0.0.1"
    pictures = draw(arguments.files)
    print(f"{len(pictures)} files, {sum(map(len, pictures)) / len(pictures) / 1000:.0f} KB on the mean")
    ports = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(pictures, ports), daemon=True)
    server.start()
    shutil.rmtree(arguments.work, ignore_errors=True)
    try:
        for delay, port in zip(DELAYS, ports.get(timeout=60), strict=True):
            times: dict[str, list[float]] = {"curl": [], "ours": []}
            for round_number in range(arguments.rounds):
                for name, measure in (("curl", time_curl), ("ours", time_ours)):
                    folder = arguments.work / f"{name}-{round_number}"
                    times[name].append(measure(port, arguments.files, arguments.parallel, folder))
                    shutil.rmtree(folder)
            curl, ours = (statistics.median(times[name]) for name in ("curl", "ours"))
            ratios = sorted(one / other for one, other in zip(times["ours"], times["curl"], strict=True))
            print(
                f"answers after {delay * 1000:.0f} ms: curl {curl:.2f} s, ours {ours:.2f} s; ratio of the medians "
                f"{ours / curl:.2f}, of single rounds {ratios[0]:.2f} to {ratios[-1]:.2f}"
            )
    finally:
        server.terminate()
        shutil.rmtree(arguments.work, ignore_errors=True)


if __name__ == "__main__":
    main()
