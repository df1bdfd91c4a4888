"""The benchmarks that are not about the pixels: start-up, a web-like mix, a limited host, hostile bodies, flat memory.

In: the `Bench` of rebuild.py. Out: a table on stdout and an entry in the JSON file for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import measure
import ours
import peer
import webmix
from duel import Side, manifest, once, say
from hostile import BOMBS
from measure import Usage

if TYPE_CHECKING:
    from rebuild import Bench

MIX_PER_IMAGE, MIX_THREADS = 3, (64, 128, 256)  # URLs of the mix for each image of the farm: 12,000
LIMITED_URLS = 1_000
FEW, MANY = 2_000, 20_000


def sides(bench: Bench, threads: int = 64) -> list[Side]:
    """Ours and every peer, making 256 px JPEG files."""
    return [bench.own("ours", ours.EXACT), *(bench.other(p, peer.PIXELS, threads) for p in bench.peers)]


def startup(bench: Bench) -> None:
    """A manifest of one row: what it costs to begin and to end."""
    work = bench.work("startup")
    one = manifest(work / "one.parquet", bench.urls("http")[:1])
    tools = sides(bench)
    runs: dict[str, list[Usage]] = {side.name: [] for side in tools}
    for _ in range(max(3, bench.rounds)):
        for side in tools:
            runs[side.name].append(once(side, one, work))
    result: dict[str, Any] = {}
    for name, used in runs.items():
        result[name] = {
            "cpu_s": round(measure.median(u.cpu for u in used), 2),
            "wall_s": round(measure.median(u.wall for u in used), 2),
            "tree_mb": round(measure.median(u.tree_mb for u in used)),
            "wanted_cpu_s": 1.1 if name == "ours" else None,
        }
    rows = [[name, r["cpu_s"], "<= 1.1" if name == "ours" else "", r["wall_s"], r["tree_mb"]]
            for name, r in result.items()]  # fmt: skip
    print(measure.table("Start-up: a manifest of one row", ["tool", "CPU s", "wanted", "wall s", "MB"], rows))
    measure.save(bench.results, "startup", result)


def mix(bench: Bench) -> None:
    """Ours as it comes against the peer at its best number of threads, on what the web is like."""
    work = bench.work("mix")
    with webmix.serving(bench.images.root) as web:
        listed = web.web_like(MIX_PER_IMAGE * len(bench.images.names))
        urls = manifest(work / "mix.parquet", listed)
        reachable = sum("/ok/" in url or "/flaky/" in url for url in listed)

        def run(side: Side) -> dict[str, float]:
            web.ask("_reset")
            used = once(side, urls, work)
            kept = side.kept(work / side.name)
            asked = sum(web.ask("_counts").values())
            say(
                f"mix {side.name}: {kept} kept in {used.wall:.1f} s, {kept / used.wall:.0f}/s, {asked} requests"
            )
            return {"kept": kept, "wall_s": round(used.wall, 1), "kept_per_s": round(kept / used.wall, 1),
                    "cpu_s": round(used.cpu, 1), "tree_mb": round(used.tree_mb), "requests": asked}  # fmt: skip

        def theirs(which: peer.Peer, threads: int) -> Side:
            return bench.other(which, peer.PIXELS, threads, retries=1)

        tried = {(p.python, t): run(theirs(p, t)) for p in bench.peers[:1] for t in MIX_THREADS}
        best = max(tried, key=lambda key: tried[key]["kept_per_s"], default=None)
        rounds = []
        for _ in range(bench.rounds):
            rounds.append({"ours": run(bench.own("ours", ours.EXACT, retries=1))})
            if best is not None:
                rounds[-1]["peer"] = run(theirs(bench.peers[0], best[1]))
    speed = measure.median(r["peer"]["kept_per_s"] and r["ours"]["kept_per_s"] / r["peer"]["kept_per_s"]
                           for r in rounds if "peer" in r)  # fmt: skip
    rows = [
        [name, *(measure.median(r[name][key] for r in rounds) for key in rounds[0][name])]
        for name in rounds[0]
    ]
    against = f"ours {speed:.2f}x, wanted >= 2x; peer with {best[1]} threads" if best else "no peer"
    title = f"Web-like mix: {len(listed)} URLs, {reachable} reachable; {against}"
    print(measure.table(title, ["tool", *rounds[0]["ours"]], rows))
    threads = {f"{python}, {count} threads": found for (python, count), found in tried.items()}
    measure.save(
        bench.results, "mix", {"ratio": speed, "reachable": reachable, "rounds": rounds, "peer": threads}
    )


def limited(bench: Bench) -> None:
    """A host that accepts 50 requests a second and answers 429 beyond, with Retry-After or without."""
    work, rows, result = bench.work("limited"), [], {}
    with webmix.serving(bench.images.root, hosts=4) as web:
        for kind in ("limit", "quiet"):
            urls = manifest(
                work / f"{kind}.parquet", [web.url(0, f"/{kind}/{i}") for i in range(LIMITED_URLS)]
            )
            tools = [bench.own("ours", ours.EXACT, retries=2)]
            tools += [bench.other(p, peer.PIXELS, 32, retries=10) for p in bench.peers[:1]]
            for side in tools:
                web.ask("_reset")
                used = once(side, urls, work)
                asked, kept = web.ask("_counts"), side.kept(work / side.name)
                found = {"kept": kept / LIMITED_URLS, "requests_per_url": sum(asked.values()) / LIMITED_URLS,
                         "most_for_one_url": max(asked.values()), "wall_s": round(used.wall, 1)}  # fmt: skip
                result[f"{kind} {side.name}"] = found
                said = "with Retry-After" if kind == "limit" else "without"
                rows.append([side.name, said, f"{found['kept']:.1%}", *list(found.values())[1:]])
    header = ["tool", "429", "kept (wanted >= 99 %)", "requests per URL (wanted <= 1.05)", "most", "wall s"]
    print(measure.table(f"A host limited to {webmix.RATE:.0f} requests/s, {LIMITED_URLS} URLs", header, rows))
    measure.save(bench.results, "limited", result)


def hostile(bench: Bench) -> None:
    """How much more memory a run takes when one of its 201 rows is made to exhaust it."""
    work = bench.work("hostile")
    normal = bench.urls("http")[:200]
    rows, result = [], {}
    with webmix.serving(bench.images.root, hosts=4) as web:
        for name in ("gzip", "png"):  # made on first request
            urlopen(web.url(0, f"/bomb/{name}"), timeout=300).close()
        for side in sides(bench)[:2]:
            plain = [once(side, manifest(work / "normal.parquet", normal), work) for _ in range(3)]
            base = measure.median(u.tree_mb for u in plain), measure.median(u.process_mb for u in plain)
            for name, text in BOMBS.items():
                urls = [*normal[:100], web.url(1, f"/bomb/{name}"), *normal[100:]]
                used = once(side, manifest(work / f"{name}.parquet", urls), work, timeout=600)
                growth = round(used.tree_mb - base[0]), round(used.process_mb - base[1])
                kept = side.kept(work / side.name)
                result[f"{side.name} {name}"] = {"tree_mb": growth[0], "process_mb": growth[1], "kept": kept}
                rows.append([side.name, text, f"{growth[0]:+d}", f"{growth[1]:+d}", "<= +100" * (side.name == "ours"),
                             f"{kept}/{len(urls)}", f"{used.wall:.1f}"])  # fmt: skip
                say(f"hostile {side.name} {name}: {growth[0]:+d} MB")
    header = ["tool", "one row is", "MB, whole tree", "MB, largest process", "wanted", "kept", "wall s"]
    print(measure.table("Memory beyond a run without the hostile row", header, rows))
    measure.save(bench.results, "hostile", result)


def flat(bench: Bench) -> None:
    """Peak memory with ten times the rows."""
    work, rows, result = bench.work("flat"), [], {}
    urls = [bench.site.url("http", f"small/{i % 256:04d}.jpg?row={i}", i) for i in range(MANY)]
    few, many = manifest(work / "few.parquet", urls[:FEW]), manifest(work / "many.parquet", urls)
    for side in sides(bench)[:2]:
        runs = [(once(side, few, work), once(side, many, work)) for _ in range(bench.rounds)]
        small, large = (measure.median(pair[i].tree_mb for pair in runs) for i in (0, 1))
        growth = measure.median(b.tree_mb / a.tree_mb for a, b in runs)
        result[side.name] = {"few_mb": round(small), "many_mb": round(large), "ratio": round(growth, 3)}
        wanted = "<= 1.1x" if side.name == "ours" else ""
        kept = f"{side.kept(work / side.name)}/{MANY}"
        rows.append([side.name, round(small), round(large), f"{growth:.2f}x", wanted, kept])
    header = ["tool", f"MB at {FEW} rows", f"MB at {MANY} rows", "growth", "wanted", "kept"]
    print(measure.table("Peak memory of the whole tree, small pictures", header, rows))
    measure.save(bench.results, "flat", result)
