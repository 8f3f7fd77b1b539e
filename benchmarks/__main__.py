"""All benchmarks, one after the other: `python -m benchmarks`."""

from benchmarks import choose, classify, gateway, report, startup

for part in (choose, classify, report, startup, gateway):
    print(f"\n== {(part.__doc__ or '').splitlines()[0]}", flush=True)
    part.main()
