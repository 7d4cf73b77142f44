"""The service under load: many clients at once, each answer compared with that to a lone client.

    python -m benchmarks.serving --clients 64 --seconds 120

Tells requests in a second, one after the other and all at once, their median and 95th percentile,
answers that are lost or another's, and the memory of the service before and after. It needs the
extra `app` and a free port.
"""

import argparse
import http.client
import io
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from siamese_mrcnn.service.photos import drawn_examples

BOX = (40, 40, 140, 140)  # of each picture, which is a reference too
PAGE = os.sysconf("SC_PAGE_SIZE")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="glyphs")
    parser.add_argument("--config")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    chosen = parser.parse_args(arguments)
    options = ["--weights", chosen.weights, *(["--config", chosen.config] if chosen.config else [])]
    with tempfile.TemporaryDirectory() as folder:
        process, port = start(options, folder)
        try:
            measure(chosen, process.pid, port)
        finally:
            process.terminate()
            print("ends with", process.wait(90))


def start(options, folder):
    """A service at a free port: its process and the port."""
    command = [sys.executable, "-m", "siamese_mrcnn.cli", "serve", "--port", "0", *options]
    log = open(Path(folder) / "log", "w")  # as long as the process lives
    process = subprocess.Popen(
        [*command, "--library", folder], stdout=subprocess.PIPE, stderr=log, text=True
    )
    line = process.stdout.readline()
    connection = http.client.HTTPConnection("127.0.0.1", int(line.rstrip("/\n").split(":")[-1]))
    connection.request("GET", "/api/health")
    connection.getresponse().read()
    return process, connection.port


def measure(chosen, pid, port):
    pictures = [drawn_examples().read(number) for number in range(12)]
    bodies = [form_of(picture, other) for picture in pictures for other in pictures[:4]]
    client = Client(port)
    expected = [client.ask(body)[1] for body in bodies]
    began = time.monotonic()
    alone = [client.ask(body)[2] for body in bodies]
    rate = len(bodies) / (time.monotonic() - began)
    print(f"one after the other: {rate:.1f} a second, {told(alone)}")
    before = memory(pid)
    held, watching = [], threading.Event()
    watcher = threading.Thread(target=watch, args=(pid, held, watching, chosen.seconds / 8))
    watcher.start()
    lost, mixed, waits, seconds = crowd(chosen, port, bodies, expected)
    watching.set()
    watcher.join()
    crowded = len(waits) / seconds
    print(f"{chosen.clients} at once, {seconds:.0f} s: {crowded:.1f} a second, {told(waits)}")
    print(f"{crowded / rate:.2f} times as many; {sum(lost.values())} lost {dict(lost)}")
    print(f"{mixed} answers of others")
    print(f"memory in MB: {before:.0f} before; {' '.join(f'{each:.0f}' for each in held)}")


def watch(pid, held, ended, interval):
    while not ended.wait(interval):
        held.append(memory(pid))


def crowd(chosen, port, bodies, expected):
    """All clients at once until the time is over: lost, others' answers, seconds of each, total."""
    lost, waits, mixed, lock = Counter(), [], [0], threading.Lock()
    began = time.monotonic()

    def work(number):
        client, rng = Client(port), np.random.default_rng(number)
        while time.monotonic() < began + chosen.seconds:
            index = int(rng.integers(len(bodies)))
            status, answer, seconds = client.ask(bodies[index])
            with lock:
                if status != 200:
                    lost[status] += 1
                elif not same(answer, expected[index]):
                    mixed[0] += 1
                waits.append(seconds)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(chosen.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lost, mixed[0], waits, time.monotonic() - began


class Client:
    """One connection, which is kept."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, form):
        """Status, what was found, and seconds."""
        kind, body = form
        began = time.monotonic()
        try:
            self.connection.request("POST", "/api/search", body, {"Content-Type": kind})
            answer = self.connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.connection.close()
            return type(error).__name__, None, time.monotonic() - began
        return answer.status, content.get("images"), time.monotonic() - began


def form_of(picture, reference):
    """Kind and body of a search, written by hand so that the clients take little time."""
    boundary = secrets.token_hex(16)
    parts = [("images", "p.png", png(picture)), ("references", "r.png", png(reference))]
    body = b""
    for field, name, data in parts:
        head = f'form-data; name="{field}"; filename="{name}"'
        body += f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + data + b"\r\n"
    for field, text in (("boxes", json.dumps([[BOX]])), ("threshold", "0.1")):
        head = f'form-data; name="{field}"'
        body += f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n{text}\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def same(answer, expected):
    """Whether two answers agree but for rounding, which batches may change."""
    (one,), (other,) = answer, expected
    best = abs(one["presence"]["reference"] - other["presence"]["reference"])
    boxes = [[each["box"] for each in found["instances"][:1]] for found in (one, other)]
    return best < 0.01 and np.allclose(*boxes, atol=1)


def told(seconds):
    parts = statistics.quantiles(seconds, n=20)
    return f"p50 {1000 * statistics.median(seconds):.0f} ms, p95 {1000 * parts[-1]:.0f} ms"


def memory(pid):
    """Megabytes that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


if __name__ == "__main__":
    main()
