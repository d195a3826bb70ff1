"""Every view in both schemes and several widths, as pictures for a person."""
import browser
import made_run
from stack import Coordinator

VIEWS = {"runs": "#/runs", "overview": "#/runs/{a}", "rollouts": "#/runs/{a}/rollouts?step=200", "ablation": "#/runs/{a}/ablation", "events": "#/runs/{a}/events",
         "logs": "#/runs/{a}/logs", "config": "#/runs/{a}/config", "compare": "#/compare?runs={a},{b}", "nothing": "#/runs/{c}", "missing": "#/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV"}


def draw(binaries, folder, widths=(360, 768, 1280, 1920)):
    folder.mkdir(parents=True, exist_ok=True)
    coordinator = Coordinator(binaries)
    try:
        a, directory = coordinator.submit("evil-moe-41")
        made_run.write(directory, many=2000)
        b, directory = coordinator.submit("absorb-41", "--set", "arm=absorb")
        made_run.write(directory, seed=2, many=100)
        c, _ = coordinator.submit("waiting")
        with browser.chromium() as chromium:
            for scheme in ("light", "dark"):
                for width in widths:
                    for name, view in VIEWS.items():
                        with browser.window(chromium, coordinator.url + view.format(a=a, b=b, c=c), width, 900, scheme) as page:
                            browser.settle(page)
                            page.wait_for_timeout(400)
                            page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
                            for problem in page.watch.problems():
                                print(f"{name} {scheme} {width}: {problem}")
    finally:
        coordinator.close()
    return 0
