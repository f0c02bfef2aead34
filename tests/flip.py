"""Server and client write to a pipe, a Unix socket or a terminal that is made non-blocking and
blocking again while they write, and is read late and in parts: each byte must come once.

usage: flip.py pipe|unix|pty DENO [ARG...]
"""
import os
import pty
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty

kind, *deno = sys.argv[1:]
COUNT = 20_000 if kind == "pipe" else 5_000
LINES = [b"x" * (i * 7 % 61) + b"%d\n" % i for i in range(COUNT)]


def ends():
    """A reading end and a writing end, which doesn't block."""
    if kind == "pipe":
        reader, writer = os.pipe()
    elif kind == "unix":
        reader, writer = (end.detach() for end in socket.socketpair())
    else:
        reader, writer = pty.openpty()
        tty.setraw(writer)
    os.set_blocking(writer, False)
    return reader, writer


class Reading(threading.Thread):
    """Reads until the writer has gone, and flips the writing end meanwhile."""

    def __init__(self, reader, writer):
        super().__init__(daemon=True)
        self.reader, self.writer = reader, writer
        self.bytes = b""
        self.start()

    def run(self):
        # It is read once it is full, and its program has tried to write more.
        while select.select([], [self.writer], [], 0)[1]:
            time.sleep(0.01)
        time.sleep(0.05)
        blocks = False
        writer = self.writer
        for n in range(10**9):
            try:
                part = os.read(self.reader, [1, 100, 4096, 16384][n % 4])
            except OSError:  # a terminal whose last writer has gone
                part = b""
            if not part:
                return
            self.bytes += part
            if writer is None:
                continue
            if n % 10 == 9:
                blocks = not blocks
                os.set_blocking(writer, blocks)
            if len(self.bytes) > 20 * COUNT:  # from here on EOF comes with the program's end
                os.set_blocking(writer, False)
                os.close(writer)
                writer = None


reader, writer = ends()
server = subprocess.Popen(
    [*deno, "server.ts", "0", "--host=127.0.0.1"], stdout=writer, stderr=subprocess.PIPE)
port = server.stderr.readline().split(b":")[-1].split()[0]
reading = Reading(reader, writer)
with tempfile.TemporaryFile() as stdin:
    stdin.writelines(LINES)
    stdin.seek(0)
    reader, writer = ends()
    client = subprocess.Popen([*deno, "client.ts", "127.0.0.1", port], stdin=stdin, stdout=writer)
echoed = Reading(reader, writer)
assert client.wait() == 0
echoed.join()
assert echoed.bytes == b"".join(LINES), "the client's output: %d bytes" % len(echoed.bytes)
server.terminate()
assert server.wait() == 0
reading.join()
connected, _, rest = reading.bytes.partition(b"\n")
assert connected.startswith(b"Connected to (127.0.0.1, "), connected
assert rest == b"".join(b"server received %d bytes\n" % len(line) for line in LINES), (
    "the server's output: %d bytes" % len(reading.bytes))
