"""The `gatework` command for shell blocks, run in forks of a process that has imported torch, which takes seconds."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from tests.processes import Started

# Hands its folder, words and streams over, waits, and ends with the same code.
_COMMAND = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [json.dumps([os.getcwd(), sys.argv[1:]]).encode()], [0, 1, 2])
sys.exit(int(server.recv(9)))
"""


def command(folder: Path) -> Started:
    """Write `gatework` into a folder, and start the process that answers it; a signal ends that."""
    address, program = str(folder / "socket"), folder / "gatework"
    program.write_text(_COMMAND.format(python=sys.executable, address=address))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        return Started(folder / "said.txt", serve, listening)


def serve(listening: socket.socket) -> None:
    """Answer one command after the other, each in a fork."""
    from gatework.cli.main import main

    while True:
        client, _ = listening.accept()
        request, streams, _, _ = socket.recv_fds(client, 65536, 3)
        child = os.fork()
        if child == 0:
            folder, words = json.loads(request)
            os.chdir(folder)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            sys.exit(main(words))
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        client.sendall(str(os.waitstatus_to_exitcode(status) % 256).encode())
        client.close()
