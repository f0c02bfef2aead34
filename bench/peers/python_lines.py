"""The line loop of Python's socketserver: `for line in self.rfile`.

Reads all that a sender sends and prints "LINES BYTES SECONDS".
Usage: python_lines.py PORT
"""

import socket
import sys
import time


def main():
    # StreamRequestHandler makes its rfile the same way.
    rfile = socket.create_connection(("127.0.0.1", int(sys.argv[1]))).makefile("rb", -1)
    start = time.monotonic()
    lines = count = 0
    for line in rfile:
        lines += 1
        count += len(line)
    print(lines, count, time.monotonic() - start)


main()
