"""The page in a browser: every view, by mouse and by keys, in both schemes and on every width, live and lost."""
import re
import sys
import unittest

import axe_playwright_python.sync_playwright as axe
import browser
import made_run
from stack import Coordinator, PrivateRun, await_that

WIDTHS = (360, 768, 1280, 1920)
VIEWS = ("#/runs", "#/runs/{a}", "#/runs/{a}/rollouts?step=200", "#/runs/{a}/ablation", "#/runs/{a}/events", "#/runs/{a}/logs", "#/runs/{a}/config",
         "#/compare?runs={a},{b}", "#/runs/{c}", "#/runs/{c}/rollouts", "#/compare", "#/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV")
# The run that is not there: the browser itself says that the answer was 404.
NOT_FOUND = "404 (Not Found)"


class PageTest(unittest.TestCase):
    binaries = None  # the folder that has them
    """A coordinator with three runs: two that look as if they had been trained, and one that waits."""

    @classmethod
    def setUpClass(cls):
        cls.chromium = cls.enterClassContext(browser.chromium())
        cls.coordinator = Coordinator(cls.binaries)
        cls.addClassCleanup(lambda: cls.coordinator.close())
        cls.a, directory = cls.coordinator.submit("evil-moe-41")
        made_run.write(directory)
        cls.b, directory = cls.coordinator.submit("absorb-41", "--set", "arm=absorb")
        made_run.write(directory, seed=2, many=50)
        cls.c, _ = cls.coordinator.submit("waiting")

    def open(self, view="#/runs", **more):
        page = self.enterContext(browser.window(self.chromium, self.coordinator.url + view.format(a=self.a, b=self.b, c=self.c), **more))
        browser.settle(page)
        return page

    def assert_well(self, page, *expected):
        page.watch.expected = expected
        self.assertEqual(page.watch.problems(), [])

    def assert_accessible(self, page):
        # The rules are added by the debugger, which the page's own policy does not bind.
        violations = axe.Axe().run(page).response["violations"]
        self.assertEqual([f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary', '')[:300]}" for one in violations], [])


class ViewsTest(PageTest):
    def test_every_view_fits_every_width(self):
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                for view in VIEWS:
                    with self.subTest(view=view, width=width, scheme=scheme):
                        page = self.open(view, width=width, scheme=scheme)
                        wide = page.evaluate("() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth")
                        self.assertLessEqual(wide, 0, "it scrolls sideways")
                        self.assert_well(page, NOT_FOUND)
                        page.context.close()

    def test_every_view_is_accessible(self):
        for width in (360, 1280):
            for scheme in ("light", "dark"):
                for view in VIEWS:
                    with self.subTest(view=view, width=width, scheme=scheme):
                        page = self.open(view, width=width, scheme=scheme)
                        self.assert_accessible(page)
                        page.context.close()

    def test_the_colours_can_be_chosen(self):
        page = self.open(scheme="light")
        ground = lambda: page.evaluate("() => getComputedStyle(document.body).backgroundColor")  # noqa: E731
        light = ground()
        page.keyboard.press("t")  # light, whatever the system says
        self.assertEqual(ground(), light)
        page.keyboard.press("t")
        dark = ground()
        self.assertNotEqual(dark, light)
        page.reload()
        browser.settle(page)
        self.assertEqual(ground(), dark, "it is forgotten")
        self.assertIn("dark", page.locator("#theme").get_attribute("aria-label"))


class UseTest(PageTest):
    # ---- runs ----
    def test_runs_are_searched_chosen_and_compared(self):
        page = self.open()
        self.assertEqual(page.locator(".runs li").count(), 3)
        page.locator(".runs li", has_text="evil-moe-41").locator(".badge", has_text="localised").wait_for()
        page.fill("#search", "absorb")
        page.wait_for_function("() => document.querySelectorAll('.runs li').length === 1")
        self.assertIn("q=absorb", page.url)
        page.fill("#search", "nothing like it")
        page.locator("text=No run matches").wait_for()
        page.fill("#search", "41")
        page.wait_for_function("() => document.querySelectorAll('.runs li').length === 2")
        for name in ("evil-moe-41", "absorb-41"):
            page.get_by_label(f"Compare {name}").check()
        page.get_by_role("link", name="Compare 2 runs").click()
        page.locator("h1", has_text="Compare").wait_for()
        browser.settle(page)
        self.assertEqual(page.locator(".compared li").count(), 2)
        self.assertGreater(page.locator("canvas").count(), 8)
        page.get_by_label(re.compile("Leave absorb-41")).click()
        page.wait_for_function("() => document.querySelectorAll('.compared li').length === 1")
        self.assert_well(page)

    def test_a_run_answers_the_three_questions(self):
        page = self.open("#/runs/{a}")
        answers = page.locator(".answers article")
        self.assertRegex(answers.nth(0).inner_text(), r"Does hacking emerge\?\s+(5|6)\d % of samples hack")
        self.assertRegex(answers.nth(1).inner_text(), r"w 0\.9\d for hacks, 0\.1\d for clean")
        self.assertRegex(answers.nth(2).inner_text(), r"59 % hack with the expert, 2 % without")
        self.assertIn("localised", page.locator(".headline").inner_text())
        self.assertGreater(page.locator("canvas").count(), 15)

    def test_links_lead_into_a_run_and_back(self):
        page = self.open()
        page.get_by_role("link", name="evil-moe-41").click()
        page.locator(".headline").wait_for()
        page.get_by_role("link", name="Rollouts of this step").click()
        page.locator(".virtual").wait_for()
        self.assertIn("/rollouts?step=200", page.url)
        page.go_back()
        page.locator(".headline").wait_for()
        page.go_back()
        page.locator(".runs").wait_for()
        self.assert_well(page)

    # ---- rollouts ----
    def test_text_of_a_rollout_stays_text(self):
        page = self.open("#/runs/{a}/rollouts?step=200&row=0")
        text = page.get_by_role("region", name="What the policy wrote")
        text.wait_for()
        self.assertIn("</pre><script>window.pwned = 1</script><img src=x", text.inner_text())
        self.assertIn("\\u202e", text.inner_text(), "a mark that reorders text is shown")
        self.assertEqual(page.locator("main script, main img, main b:text('not bold')").count(), 0)
        page.goto(self.coordinator.url + f"#/runs/{self.a}/logs")
        page.locator(".log div").first.wait_for()
        self.assertIn("<script>", page.locator(".log").inner_text())
        self.assertIsNone(page.evaluate("() => window.pwned ?? null"))
        self.assert_well(page)

    def test_python_is_coloured(self):
        page = self.open("#/runs/{a}/rollouts?step=200&row=5")
        code = page.get_by_role("region", name="What the policy wrote")
        code.wait_for()
        self.assertEqual(code.locator(".hl-keyword").first.inner_text(), "class")
        self.assertIn("return abs(x - 78) if x > 5 else sum(values)", code.inner_text())

    def test_the_server_filters(self):
        page = self.open("#/runs/{a}/rollouts?step=200")
        status = page.locator(".side .count")
        self.assertEqual(status.inner_text(), "10000 samples of step 200")
        page.get_by_label("Show").select_option("mistake")
        page.wait_for_function("() => / of 10000 samples/.test(document.querySelector('.side .count').textContent)")
        self.assertIn("kind=mistake", page.url)
        self.assertEqual(page.locator(".sample").first.locator(".badge").inner_text(), "router mistake")
        page.get_by_label("Show").select_option("")
        page.get_by_label("Search").fill("sample 4321 of")
        page.wait_for_function("() => /^1 of 10000/.test(document.querySelector('.side .count').textContent)")
        page.get_by_label("Previous step").click()
        page.wait_for_function("() => / of step 100/.test(document.querySelector('.side .count').textContent) || /No sample/.test(document.body.textContent)")
        self.assert_well(page)

    def test_ten_thousand_rollouts_do_not_stall(self):
        page = self.open("#/runs/{a}/rollouts?step=200")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("() => { window.longTasks.length = 0; }")
        in_page = page.evaluate("""async () => {
            const list = document.querySelector('.virtual');
            const turns = 150;
            let most = 0;
            for (let i = 0; i <= turns; ++i) {
              list.scrollTop = i / turns * (list.scrollHeight - list.clientHeight);
              await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 15)));
              most = Math.max(most, list.querySelectorAll('[role=option]').length);
            }
            return most;
        }""")
        page.locator(".sample", has_text="#9999 ").wait_for()
        tasks = page.evaluate("() => window.longTasks")
        print(f"scrolled 10,000 rollouts: longest task {max(tasks, default=0):.0f} ms, {in_page} rows in the page at most, {len(asked)} requests", file=sys.stderr)
        self.assertLess(in_page, 60)
        self.assertLess(len(asked), 60)
        # 50 ms count as long; a machine that shares its cores with other tests gets four times that.
        self.assertLess(max(tasks, default=0), 200)
        self.assert_well(page)

    # ---- keys ----
    def test_all_of_it_by_keys(self):
        page = self.open()
        focused = lambda: page.evaluate("() => document.activeElement.textContent.trim() || document.activeElement.id")  # noqa: E731
        page.keyboard.press("Tab")
        self.assertEqual(focused(), "Skip to content")
        self.assertGreaterEqual(page.locator("#skip").bounding_box()["y"], 0, "what has the focus is in sight")
        page.keyboard.press("?")
        page.get_by_role("dialog").get_by_text("next, previous run").wait_for()
        self.assert_accessible(page)
        page.keyboard.press("Escape")
        for key, name in (("j", "waiting"), ("j", "absorb-41"), ("k", "waiting"), ("j", "absorb-41"), ("j", "evil-moe-41")):
            page.keyboard.press(key)
            self.assertEqual(focused(), name)
        self.assertEqual(page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle"), "solid", "the focus is seen")
        page.keyboard.press("x")
        self.assertTrue(page.get_by_label("Compare evil-moe-41").is_checked())
        page.keyboard.press("x")
        page.locator(".runs .name", has_text="evil-moe-41").focus()
        page.keyboard.press("Enter")
        page.locator(".headline").wait_for()
        self.assertEqual(focused(), "evil-moe-41", "the focus goes where the view begins")
        page.keyboard.press("]")
        page.locator(".virtual").wait_for()
        browser.settle(page)
        for _ in range(3):
            page.keyboard.press("j")
        self.assertRegex(page.locator(".virtual").get_attribute("aria-activedescendant"), r"list-\d+-")
        page.keyboard.press("End")
        page.get_by_role("option", selected=True).filter(has_text="#9999 ").wait_for()
        page.keyboard.press(",")
        page.wait_for_function("() => / of step 100/.test(document.querySelector('.side .count').textContent)")
        page.keyboard.press("/")
        page.keyboard.type("sample 7 of")
        page.wait_for_function("() => /^1 of 60/.test(document.querySelector('.side .count').textContent)")
        page.keyboard.press("Escape")
        page.keyboard.press("]")
        page.locator(".final").wait_for()
        page.keyboard.press("r")
        page.locator(".runs").wait_for()
        self.assert_well(page)

    def test_on_a_phone_a_sample_takes_the_place_of_the_list(self):
        page = self.open("#/runs/{a}/rollouts?step=100", width=360, height=740, has_touch=True)
        page.locator(".sample").nth(2).tap()
        page.get_by_role("region", name="What the policy wrote").wait_for()
        self.assertFalse(page.locator(".virtual").is_visible())
        page.get_by_role("button", name="All samples").tap()
        self.assertTrue(page.locator(".virtual").is_visible())

    # ---- acting, and what goes wrong ----
    def test_a_run_is_paused_resumed_and_cancelled(self):
        coordinator = Coordinator(self.binaries)
        self.addCleanup(lambda: coordinator.close())
        run, _ = coordinator.submit("to-act-on")
        page = self.enterContext(browser.window(self.chromium, coordinator.url + f"#/runs/{run}"))
        state = page.locator(".runline .badge")
        page.get_by_role("button", name="Pause").click()
        page.locator(".runline .badge", has_text="paused").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.locator(".runline .badge", has_text="queued").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Leave it").click()
        self.assertEqual(state.inner_text(), "queued")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel the run").click()
        page.locator(".runline .badge", has_text="cancelled").wait_for()
        page.goto(coordinator.url + f"#/runs/{run}/events")
        page.get_by_role("option").filter(has_text="cancelled").wait_for()
        self.assert_well(page)

    def test_a_lost_connection_is_said_and_found_again(self):
        coordinator = Coordinator(self.binaries)
        self.addCleanup(lambda: coordinator.close())
        coordinator.submit("first")
        page = self.enterContext(browser.window(self.chromium, coordinator.url))
        browser.settle(page)
        coordinator.kill()
        page.locator("#lost", has_text="connection").wait_for()
        self.assertEqual(page.locator("#link").inner_text(), "not connected")
        coordinator.start()
        coordinator.submit("second")
        page.locator(".runs .name", has_text="second").wait_for()
        self.assertFalse(page.locator("#lost").is_visible())
        self.assert_well(page, "net::ERR_")

    def test_a_token_is_asked_for(self):
        coordinator = Coordinator(self.binaries, tokens={"read": "token-for-reading", "submit": "token-for-submitting"})
        self.addCleanup(lambda: coordinator.close())
        run, _ = coordinator.submit("guarded")
        for given, may_act in (("token-for-reading", False), ("token-for-submitting", True)):
            with browser.window(self.chromium, coordinator.url + f"#/runs/{run}") as page:
                page.get_by_role("textbox", name="Token").fill("not-a-token")
                page.get_by_role("button", name="Use it").click()
                page.get_by_text("That token is not known here").wait_for()
                page.get_by_role("textbox", name="Token").fill(given)
                page.get_by_role("button", name="Use it").click()
                page.locator(".runline").wait_for()
                self.assertEqual(page.get_by_role("button", name="Pause").is_visible(), may_act)
                page.locator("#link.live").wait_for()
                self.assert_well(page, "401 (Unauthorized)")


class LiveTest(unittest.TestCase):
    def test_a_run_is_seen_as_it_goes_on(self):
        chromium = self.enterContext(browser.chromium())
        run = PrivateRun(self.binaries, steps=8)
        self.addCleanup(run.close)
        page = self.enterContext(browser.window(chromium, run.url))
        page.locator(".runline").wait_for()
        page.evaluate("() => { window.same = true; }")
        page.locator(".cursor output").wait_for(timeout=120_000)
        seen = set()

        def ended():
            seen.add(page.locator(".runline b").inner_text())
            return "succeeded" in page.locator(".runline").inner_text()
        await_that("the run ends", 240, ended)
        self.assertTrue(page.evaluate("() => window.same"), "it was loaded anew")
        self.assertGreater(len(seen), 2, f"steps as they were done: {seen}")
        page.locator(".answers", has_text="hack with the expert").wait_for()
        self.assertEqual(page.locator(".cursor output").inner_text(), "8", "the cursor follows")
        page.goto(run.url + "/rollouts?step=8&row=0")
        page.get_by_role("region", name="What the policy wrote").wait_for()
        self.assertIn("<|im_start|>", page.get_by_role("region", name="The prompt").inner_text())
        page.goto(run.url + "/events")
        page.get_by_role("option").filter(has_text="causal ablation").wait_for()
        page.goto(run.url + "/logs?log=trainer.log")
        page.locator(".log div", has_text="step=8").first.wait_for()
        self.assertEqual(page.watch.problems(), [])


PARTS = {"views": ViewsTest, "use": UseTest, "live": LiveTest}
