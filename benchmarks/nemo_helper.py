"""An unchecked fetcher that behaves as the helper of NVIDIA NeMo Curator's image tutorial does, for reference.

In: `python nemo_helper.py MANIFEST OUT`, a Parquet file of `url` and `alt_text`. Out: tars of up to 1,000 `.jpg`
members, whatever the bytes are, each with a Parquet file of its rows. No image check, no hash, no outcome: a row
that fails three times is not stored. Processes over tars; in each, aiohttp with 256 connections, 16 to a host,
15 s in total for a request, three tries a second apart, and a whole tar gathered in memory.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import sys
import tarfile
from pathlib import Path

import aiohttp
import pyarrow as pa
import pyarrow.parquet as pq

TAR = 1000
TRIES = 3


async def get(session: aiohttp.ClientSession, url: str) -> bytes | None:
    """The body of a 200, or None after the last try."""
    for attempt in range(TRIES):
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=15)) as response:
                if response.status == 200:
                    return await response.read()
        except (aiohttp.ClientError, TimeoutError):
            pass
        if attempt + 1 < TRIES:
            await asyncio.sleep(1)
    return None


async def gather(urls: list[str]) -> list[bytes | None]:
    """All bodies of a tar, in order."""
    connector = aiohttp.TCPConnector(limit=256, limit_per_host=16)
    async with aiohttp.ClientSession(connector=connector) as session:
        return await asyncio.gather(*(get(session, url) for url in urls))


def store(task: tuple[int, list[str], list[str], str]) -> int:
    """Fetches and writes one tar; returns how many it stored."""
    number, urls, captions, out = task
    rows = []
    with tarfile.open(Path(out, f"{number:05d}.tar"), "w") as tar:
        for index, body in enumerate(asyncio.run(gather(urls))):
            if body:
                member = tarfile.TarInfo(f"{number * TAR + index:09d}.jpg")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
                rows.append({"key": member.name[:-4], "url": urls[index], "caption": captions[index]})
    pq.write_table(pa.Table.from_pylist(rows), Path(out, f"{number:05d}.parquet"))
    return len(rows)


def main(manifest: str, out: str) -> None:
    """Two processes over the tars of the manifest."""
    Path(out).mkdir(parents=True)
    columns = pq.read_table(manifest, columns=["url", "alt_text"]).to_pydict()
    urls, captions = columns["url"], columns["alt_text"]
    tasks = [(n // TAR, urls[n : n + TAR], captions[n : n + TAR], out) for n in range(0, len(urls), TAR)]
    with multiprocessing.Pool(2) as pool:
        Path(out, "stored").write_text(str(sum(pool.imap_unordered(store, tasks))))
        pool.close()
        pool.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
