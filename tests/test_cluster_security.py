"""Nobody but who runs a plate may talk to its workers: they run what they are told."""

from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from distributed import Client, Scheduler, Worker
from distributed.security import Security

from gradcamo import GradcamoError
from gradcamo.plate.cluster import certificates, cluster


def pages(process):
    """Addresses below a process that speak HTTP."""
    for one in (process, *process.children(recursive=True)):
        for connection in one.net_connections(kind="inet"):
            if connection.status == "LISTEN":
                yield f"http://{connection.laddr.ip}:{connection.laddr.port}"


def test_local_workers_answer_their_own_client_alone():
    with cluster(None, workers=1, device="cpu") as client:
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises(OSError, match=r"(?i)timed out|closed|SSL"):
            Client(address.replace("tls://", "tcp://"), timeout=2, set_as_default=False)
        others = Security.temporary()
        with pytest.raises(OSError, match="certificate does not match"):
            Client(address, security=others, timeout=2, set_as_default=False)
        told = []
        for page in pages(psutil.Process()):
            for place in ("/info/main/workers.html", "/json/counts.json", "/metrics", "/status"):
                try:
                    told.append(urlopen(page + place, timeout=5).status)
                except (HTTPError, OSError):
                    continue
        assert told == []


@pytest.fixture
def keys(tmp_path):
    """An authority, a certificate and its key, as files."""
    made = Security.temporary()
    paths = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
    parts = (made.tls_ca_file, made.tls_client_cert, made.tls_client_key)
    for path, part in zip(paths, parts, strict=True):
        path.write_text(part)
    return made, paths


def test_a_scheduler_with_tls_is_joined_with_certificates(keys):
    import asyncio
    from threading import Event, Thread

    security, paths = keys
    ready, done, address = Event(), Event(), []

    async def serve():
        how = {"security": security, "dashboard": False}
        async with (
            Scheduler(protocol="tls://", host="127.0.0.1", port=0, **how) as scheduler,
            Worker(scheduler.address, security=security, nthreads=1),
        ):
            address.append(scheduler.address)
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.1)

    server = Thread(target=lambda: asyncio.run(serve()))
    server.start()
    try:
        assert ready.wait(30)
        with certificates(address[0], *paths), cluster(address[0], 0) as client:
            assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    finally:
        done.set()
        server.join(30)


def test_certificates_that_do_not_help_are_refused(keys):
    _, (ca, cert, key) = keys
    with pytest.raises(GradcamoError, match=r"tls://HOST:PORT, got tcp://"):
        certificates("tcp://127.0.0.1:1", ca, cert, key).__enter__()
    with pytest.raises(GradcamoError, match=r"--tls-key: no such file"):
        certificates("tls://127.0.0.1:1", ca, cert, None).__enter__()
    with certificates(None, None, None, None):
        pass
