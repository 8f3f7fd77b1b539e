"""All benchmarks, one after the other: `python -m benchmarks`."""

from benchmarks import choose, gateway, startup

for part in (choose, startup, gateway):
    print(f"\n== {(part.__doc__ or '').splitlines()[0]}", flush=True)
    part.main()
